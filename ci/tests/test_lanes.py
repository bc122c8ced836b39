# SPDX-License-Identifier: GPL-2.0
"""ci/run on the fake kernel: what the lanes' builds say of objects, and lanes of objects alone."""

import json
import pathlib
import re
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from fixture import Fixture, base_lines  # noqa: E402
from marks import slow  # noqa: E402
from lib import lane  # noqa: E402
from lib.kernel import kconfig  # noqa: E402

OBJECTS = """\
builds = "objects"
arch = "fake"
config = "allnoconfig"
fragment = "fake.config"
targets = ["lib/"]
"""


class SharedKernelTest(unittest.TestCase):
    def test_viommu_has_the_kernel_of_x86_64(self):
        """What the key of a build is made from, so that one lane's build is the other's."""
        one, other = (lane.read(TOP, name) for name in ("x86_64", "viommu"))
        for field in ("builds", "arch", "cross", "llvm", "linker", "objcopy", "config", "fragment", "targets",
                      "image", "strip", "sizes", "test_patches", "kernel_modules"):
            with self.subTest(field):
                self.assertEqual(getattr(one, field), getattr(other, field))
        self.assertLessEqual(set(other.modules), set(one.modules))


class FragmentsTest(unittest.TestCase):
    def test_symbols_of_all_lanes_are_known(self):
        """To the base, or to a patch of the series or of the lane. ci/run and ci/bench refuse one that
        is not, but a lane may run seldom."""
        known = set(re.findall(r"(?m)^\s*(?:menu)?config\s+(\w+)", base_lines(
            r"^\s*(menu)?config\s", "*Kconfig*")))
        self.assertGreater(len(known), 10000)
        for path in [*(TOP / "patches").rglob("*.patch"), *(TOP / "ci/lanes").glob("*.patch")]:
            for name, diff in re.findall(r"(?ms)^\+\+\+ b/(\S+)$(.*?)(?=^diff |\Z)", path.read_text()):
                if "Kconfig" in name:
                    known |= set(re.findall(r"(?m)^\+\s*(?:menu)?config\s+(\w+)", diff))
        for name in lane.names(TOP):
            with self.subTest(name):
                wanted = kconfig.wanted(lane.read(TOP, name).fragment)
                self.assertEqual(sorted({w.removeprefix("CONFIG_") for w in wanted} - known), [])


class LanesTest(unittest.TestCase):
    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)

    def run_all(self, expect, *words):
        code, text = self.fixture.run(*words)
        self.assertEqual(code, expect, text)
        path = self.fixture.top / "out/results.json"
        found = json.loads(path.read_text())["judgements"]
        return {(j["step"], j["lane"], j["gate"]): j for j in found}, text

    def failing(self, found):
        return {key for key, j in found.items() if j["verdict"] == "fail"}

    @slow
    def test_sparse_reads_what_the_series_touches(self):
        self.fixture.mend()
        self.fixture.patch("mix up", "main.c", "return 0;", "return 0; /* bitwise */")
        found, _ = self.run_all(1)
        self.assertEqual(self.failing(found), {(2, "fake", "sparse")})
        self.assertIn("main.c: warning: mixed up", found[2, "fake", "sparse"]["reason"])
        # what was not read because nothing touched it is read when a patch does
        other = Fixture()
        self.addCleanup(other.close)
        self.fixture = other
        other.mend()
        self.run_all(0)
        other.patch("mix up", "main.c", "return 0;", "return 0; /* bitwise */")
        found, text = self.run_all(1)
        self.assertEqual(self.failing(found), {(2, "fake", "sparse")})
        self.assertIn("step 0 fake: build pass (kept)", text)

    @slow
    def test_without_sparse_it_is_no_pass(self):
        (self.fixture.directory / "bin/sparse").write_text("#!/bin/sh\necho fake 0\n")
        self.fixture.environment["LINUX_DEBIAN"] = "no"
        self.fixture.mend()
        found, _ = self.run_all(0)
        self.assertEqual((found[1, "fake", "sparse"]["verdict"], found[1, "fake", "sparse"]["avoidable"]),
                         ("skip", True))
        self.assertEqual(found[1, "fake", "w1"]["verdict"], "pass")

    @slow
    def test_the_same_warning_again_is_new(self):
        self.fixture.mend()
        self.fixture.patch("warn", "main.c", "\treturn 0;", "\tint unused;\n\n\treturn 0;")
        self.fixture.patch("warn again", "main.c", "int main", "void f(void)\n{\n\tint unused;\n}\nint main")
        found, _ = self.run_all(1)
        self.assertEqual(self.failing(found), {(2, "fake", "w1"), (3, "fake", "w1")})

    @slow
    def test_no_make_for_a_step_that_changes_no_source(self):
        self.fixture.mend()
        self.fixture.patch("credit", "MAINTAINERS", "THE REST\n", "THE REST\nM:\tme\n")
        found, text = self.run_all(0)
        self.assertIn("step 1 fake: build pass (kept)", text)
        self.assertNotIn("step 2 fake: build pass (kept)", text)
        self.assertEqual(found[2, "fake", "w1"]["verdict"], "pass")

    @slow
    def test_rust_that_cannot_be_had_is_a_lost_column(self):
        other = Fixture(lanes=("fake", "second"))
        self.addCleanup(other.close)
        self.fixture = other
        other.mend()
        (other.top / "kconfig-fragments/rust.config").write_text("CONFIG_RUST=y\n")
        lane = other.top / "ci/lanes/second.toml"
        lane.write_text(lane.read_text().replace('"fake.config"', '["fake.config", "rust.config"]'))
        for tool, words in (("rustc", "exit 0"), ("bindgen", "exit 1")):
            (other.directory / "bin" / tool).write_text(f"#!/bin/sh\necho {tool} 1.0\n{words}\n")
            (other.directory / "bin" / tool).chmod(0o755)
        found, text = self.run_all(125)
        self.assertIn("lane second cannot run here: lane second needs a bindgen that works without a home "
                      "directory", text)
        self.assertEqual(found[1, "fake", "boot:main"]["verdict"], "pass")
        (other.directory / "bin/bindgen").write_text("#!/bin/sh\necho bindgen 1.0\n")
        found, _ = self.run_all(125)
        self.assertEqual((found[1, "second", "build"]["verdict"], found[1, "fake", "build"]["verdict"]),
                         ("lost", "pass"))
        self.assertIn("no effect in lane second: CONFIG_RUST=y (is n); make rustavailable: "
                      "Rust compiler is too old.", found[1, "second", "build"]["reason"])

    @slow
    def test_source_that_no_lane_builds(self):
        self.fixture.mend()
        self.fixture.patch("vax", "arch/vax/a.c", "int a;\n", "int b;\n")
        found, _ = self.run_all(1)
        self.assertEqual(self.failing(found), {(2, "series", "built")})
        self.assertIn("built in no lane: arch/vax/a.c", found[2, "series", "built"]["reason"])
        proofs = self.fixture.top / "ci/proofs.toml"
        proofs.write_text(proofs.read_text() + 'built = "by hand"\n')
        found, _ = self.run_all(0)
        self.assertEqual(found[2, "series", "built"]["reason"], "arch/vax/a.c: by hand")

    @slow
    def test_lane_of_objects(self):
        (self.fixture.top / "ci/lanes/other.toml").write_text(OBJECTS)
        self.fixture.mend()
        self.fixture.patch("warn", "lib/a.c", "{\n", "{\n\tint unused;\n\n")
        self.fixture.patch("comment", "main.c", "return 0;", "return 0; /* 3 */")
        self.fixture.patch("break", "lib/a.c", "return 1;", "return nothing;")
        found, text = self.run_all(1)
        self.assertEqual(self.failing(found), {(2, "other", "w1"), (4, "other", "build")})
        for step in (1, 3):
            self.assertEqual(found[step, "other", "build"]["reason"], "touches nothing that the lane builds")
        self.assertIn("lib/a.c: warning: unused variable", found[2, "other", "w1"]["reason"])
        self.assertNotIn((2, "other", "sparse"), found)
        self.assertNotIn((2, "fake", "w1"), self.failing(found), text)
        _, text = self.run_all(1)
        self.assertIn("step 2 other: build pass (kept)", text)


if __name__ == "__main__":
    unittest.main()
