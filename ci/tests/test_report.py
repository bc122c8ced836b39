# SPDX-License-Identifier: GPL-2.0
"""ci/run --shard on several machines, and ci/report, which makes one run of them."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from fixture import TOP, Fixture
from marks import slow
from test_screen import EMULATOR

sys.path.insert(0, str(TOP / "ci"))

from harness import portion  # noqa: E402
from lib.command import Failed  # noqa: E402


class PortionTest(unittest.TestCase):
    def test_parts_are_neighbours_and_miss_nothing(self):
        for weights in ([1] * 7, [5, 1, 1, 1, 1, 1, 9], [0] * 5, [1, 100, 1, 1], [3, 1, 4, 1, 5, 9, 2, 6]):
            for count in range(1, len(weights) + 1):
                of = dict(enumerate(weights))
                parts = [portion.Portion(n, count).of(of) for n in range(1, count + 1)]
                self.assertEqual([step for part in parts for step in part], sorted(of), (weights, count))
                self.assertTrue(all(parts), (weights, count))

    def test_parts_weigh_the_same(self):
        self.assertEqual(portion.bounds([1] * 12, 3), [0, 4, 8, 12])
        self.assertEqual(portion.bounds([1] * 8 + [8], 2), [0, 8, 9])
        self.assertEqual(portion.bounds([9, 1, 1, 1], 2), [0, 1, 4])

    def test_wrong_words(self):
        self.assertEqual(portion.read("2/3"), portion.Portion(2, 3))
        for word in ("0/2", "3/2", "2", "1/", "a/b", "-1/2", "1/2/3"):
            with self.assertRaisesRegex(Failed, "not I/N"):
                portion.read(word)
        with self.assertRaisesRegex(Failed, "--shard 1/3: there are only 2 steps"):
            portion.Portion(1, 3).of({0: 1, 1: 1})


class MergeTest(unittest.TestCase):
    """A series with a proof, a new warning, a step that does not build, a case that is gone, a case that
    is known to fail, a flaky boot and one that hangs, at and around the border of two parts; each
    machine has a display."""

    @classmethod
    def setUpClass(cls):
        cls.fixture = made = Fixture(lanes=("fake", "second"))
        cls.addClassCleanup(made.close)
        (made.top / "kconfig-fragments/second.config").write_text("CONFIG_SECOND=y\n")
        lane = made.top / "ci/lanes/second.toml"
        lane.write_text('at = "ends"\n' + lane.read_text().replace(
            '"fake.config"', '["fake.config", "second.config"]'))
        for path in (made.top / "ci/lanes").glob("*.toml"):
            path.write_text(path.read_text().replace('image = "image"', 'image = "image"\ndtb = "image"')
                            .replace("silence = 20", "silence = 20\nscreen = true"))
        (made.top / "ci/lanes/fake-qemu").write_text(EMULATOR)
        made.patch("comment", "main.c", "return 0;", "return 0; /* 1 */")
        made.patch("lose a case", "boot.sh", "ok 1 always\n", "")
        made.patch("break the build", "main.c", "return 0;", "return 0")
        made.patch("mend and warn", "main.c", "return 0", "int unused;\n\treturn 0;")
        made.patch("mend the case", "boot.sh", "not ok 2 mended", "ok 2 mended",
                   'cases = ["*/main/unit/mended"]')
        made.patch("splat", "boot.sh", 'echo "@@ done" >&3',
                   'echo "[    1.000000] WARNING: kernel/x.c:1 at f"\necho "@@ done" >&3')
        (made.top / "ci/known.toml").write_text("".join(
            f'[[known]]\ncase = "fake/main/unit/{case}"\nreason = "seeded"\nuntil = "v7.3"\n'
            for case in ("always", "never")))
        cls.code, cls.text = made.run()
        cls.whole = made.directory / "whole"
        (made.top / "out").rename(cls.whole)
        cls.parts = [cls.part(number) for number in (1, 2)]

    @classmethod
    def part(cls, number, *words):
        """Run a part with a cache of its own: the directory of its report."""
        made, keep = cls.fixture, cls.fixture.environment["XDG_CACHE_HOME"]
        out = made.directory / f"part-{number}{'-'.join(words)}"
        made.environment["XDG_CACHE_HOME"] = str(made.directory / f"cache-{number}")
        try:
            code, text = made.run("--shard", f"{number}/2", "--output", str(out), *words)
        finally:
            made.environment["XDG_CACHE_HOME"] = keep
        assert (out / "outcome.json").exists(), (code, text)
        return out

    def report(self, *directories, expect=None):
        """ci/report: its output."""
        shutil.rmtree(self.fixture.top / "out", ignore_errors=True)
        code, text = self.fixture.run(*map(str, directories), script="ci/report")
        self.assertEqual(code, self.code if expect is None else expect, text)
        self.assertNotIn("Traceback", text)
        return text

    @staticmethod
    def verdicts(directory):
        """All that results.json says, without places, times and caches."""
        told = json.loads((directory / "results.json").read_text())
        return [{k: v for k, v in j.items() if k not in ("log", "seconds", "cpu", "cached")}
                for j in told["judgements"]], told["accelerators"]

    @staticmethod
    def pictures(directory):
        """All that index.html shows of displays."""
        page = (directory / "index.html").read_text()
        return re.findall('<figure class="(?:pass|fail)">.*?</figure>', page)

    def steps(self, directory):
        return {j["step"] for j in self.verdicts(directory)[0]}

    def test_two_parts_are_one_run(self):
        for words in ("fail: step 3 fake build", "fail: step 4 fake w1: new: main.c: ",
                      "fail: step 6 fake boot:main", "fail: step 0 series known: ci/known.toml: no case",
                      "proof of step 5: fake/main/unit/mended: fail 0-2, fail 4, pass 5-6"):
            self.assertIn(words, self.text)
        self.report(*self.parts)
        merged = self.fixture.top / "out"
        self.assertEqual(self.verdicts(merged), self.verdicts(self.whole))
        for name in ("results.ktap", "results.xml"):
            self.assertEqual((merged / name).read_text(), (self.whole / name).read_text())
        self.assertEqual({p.name for p in (merged / "logs").iterdir()},
                         {p.name for p in (self.whole / "logs").iterdir()})
        self.assertIn("pixels differ", "".join(self.pictures(self.whole)))
        self.assertEqual(self.pictures(merged), self.pictures(self.whole))
        for path in self.fixture.directory.glob("cache-*/*/logs/*.png"):
            path.unlink()  # as on another machine
        # the order of the directories does not count, nor does it where they lie
        first = self.verdicts(merged)
        moved = [shutil.copytree(part, self.fixture.directory / f"far/{part.name}", dirs_exist_ok=True)
                 for part in reversed(self.parts)]
        text = self.report(*moved)
        self.assertEqual(self.verdicts(merged), first)
        self.assertEqual(self.pictures(merged), self.pictures(self.whole))
        self.assertIn("the whole run", text)

    def test_each_part_judges_its_steps_and_builds_what_it_compares_with(self):
        one, two = map(self.steps, self.parts)
        self.assertEqual((one & two, one | two), (set(), set(range(7))))
        self.assertEqual(max(one) + 1, min(two))
        self.assertIn(4, two, "step 4 is compared with step 2, since step 3 does not build")
        self.assertLess(min(two), 5)

    def test_a_report_is_made_anew_of_itself(self):
        self.report(self.whole)
        self.assertEqual(self.verdicts(self.fixture.top / "out"), self.verdicts(self.whole))

    def test_the_table_of_the_cover_letter(self):
        letter = self.fixture.top / "COVER-LETTER.txt"
        before = letter.read_text() if letter.exists() else None
        self.addCleanup(lambda: letter.unlink() if before is None else letter.write_text(before))
        letter.write_text("all: of it\n\n[results of ci/run]\nold\n[end of the results]\n\nMore.\n")
        self.report("--cover-letter", *self.parts)
        lines = letter.read_text().splitlines()
        self.assertRegex(lines.pop(7), r"^  41 pass, 8 fail, \d+ skip$")
        self.assertEqual(lines, [
            "all: of it", "", "[results of ci/run]",
            "  topic     steps  fake         second",
            "  the base  0      1/1          -",
            "  fake      1-6    5/1 (6 bad)  1/0 (1 bad)",
            "",
            "[end of the results]", "", "More."])
        letter.write_text("all: of it\n\n[results of ci/run]\n")
        text = self.report("--cover-letter", *self.parts, expect=1)
        self.assertIn("COVER-LETTER.txt has the line [end of the results] 0 times, not once", text)
        self.assertEqual(letter.read_text(), "all: of it\n\n[results of ci/run]\n")

    def test_a_part_that_is_missing_is_lost(self):
        text = self.report(self.parts[0], self.fixture.directory / "nothing", expect=1)
        self.assertIn("outcome.json is missing: no ci/run came to its end there", text)
        told = self.verdicts(self.fixture.top / "out")[0]
        lost = {j["step"] for j in told if j["verdict"] == "lost" and j["lane"] == "fake"}
        self.assertEqual(lost, self.steps(self.parts[1]))
        self.assertIn("not among the results; missing: shard 2/2", text)
        self.assertIn("again: ci/run --no-static --shard 2/2", text)
        self.assertNotIn("fail: step 5 series proof", text)

    @slow
    def test_what_is_no_part_of_one_run_is_refused(self):
        one, two = self.parts
        self.assertIn("have the same steps: ci/run --no-static --shard 1/2",
                      self.report(one, shutil.copytree(one, self.fixture.directory / "twin"), expect=1))
        self.assertIn("are no parts of one run", self.report(one, self.whole, expect=1))
        other = self.part(1, "--lane", "fake")
        self.assertIn("are no parts of one run: ci/run --lane fake --no-static --shard 1/2 and ci/run",
                      self.report(other, two, expect=1))
        self.assertIn("outcome.json is missing", self.report(self.fixture.directory, expect=125))
        data = json.loads((one / "outcome.json").read_text())
        for change, words in ({"version": 0}, "another version of ci/run: repeat ci/run --no-static"), \
                ({"base": "0" * 40}, "was run on the base 000000000000"), ({"cells": 1}, "cannot be read"):
            place = self.fixture.directory / "changed"
            place.mkdir(exist_ok=True)
            (place / "outcome.json").write_text(json.dumps({**data, **change}))
            code, text = self.fixture.run(str(two), str(place), script="ci/report")
            self.assertNotEqual(code, 0)
            self.assertIn(words, text)
        lane = self.fixture.top / "ci/lanes/fake.toml"
        text = lane.read_text()
        lane.write_text(text + "\n")
        self.addCleanup(lane.write_text, text)
        self.assertIn("its verdicts are of other patches, tests or lanes", self.report(one, two, expect=1))

    def test_it_does_not_write_where_it_reads(self):
        code, text = self.fixture.run(str(self.parts[0]), "--output", str(self.parts[0]), script="ci/report")
        self.assertEqual(code, 1, text)
        self.assertIn("is read and cannot be written to", text)

    def test_wrong_shards(self):
        for word, words in ("3/2", "--shard 3/2: not I/N"), ("1/99", "--shard 1/99: there are only 7 steps"):
            code, text = self.fixture.run("--shard", word)
            self.assertEqual(code, 1, text)
            self.assertIn(words, text)

    def test_the_plan_of_a_part(self):
        code, text = self.fixture.run("--plan", "--shard", "1/2", static=True)
        self.assertEqual(code, 0, text)
        self.assertIn(f"steps 0-{max(self.steps(self.parts[0]))} in fake, second", text)


class RefusedTest(unittest.TestCase):
    """A patch that does not apply is the same failure in each part."""

    def test_two_parts_are_one_run(self):
        made = Fixture()
        self.addCleanup(made.close)
        made.mend()
        for number in range(1, 4):
            path = made.patch(f"comment {number}", "main.c", "return 0;", f"return 0; /* {number} */")
            if number == 2:
                path.write_text(path.read_text().replace("int main(void)", "int niam(void)"))
        code, text = made.run("--output", str(made.directory / "whole"))
        self.assertEqual(code, 1, text)
        parts = [str(made.directory / f"part-{number}") for number in (1, 2)]
        for number, part in enumerate(parts, 1):
            made.run("--shard", f"{number}/2", "--output", part)
        code, text = made.run(*parts, script="ci/report")
        self.assertEqual(code, 1, text)
        self.assertEqual(MergeTest.verdicts(made.top / "out"),
                         MergeTest.verdicts(made.directory / "whole"))


CHECK = """\
#!/usr/bin/env python3
import sys
open(sys.argv[sys.argv.index("--json") + 1], "w").write("[]")
"""


class DefinitionTest(unittest.TestCase):
    """The commands of .github/workflows/series.yml and .gitlab-ci.yml, as those systems run them."""

    def setUp(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no module yaml: ci/install installs Debian's package python3-yaml")
        self.read = lambda name: yaml.safe_load((TOP / name).read_text())

    def machine(self, made, number, commands, **variables):
        """Run commands on one machine, in a cache of its own; the exit code of the last one."""
        env = {**made.environment, **variables,
               "XDG_CACHE_HOME": str(made.directory / f"machine-{number}")}
        for words in commands:
            self.assertNotIn("${{", words)
            done = subprocess.run(["sh", "-ec", words], cwd=made.top, env=env, text=True, timeout=400,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                self.fail(f"{words} ended with {done.returncode}\n{done.stdout}")
        return done.stdout

    def series(self):
        made = Fixture()
        self.addCleanup(made.close)
        (made.top / "scripts/check").write_text(CHECK)
        made.mend()
        for number in range(1, 5):
            made.patch(f"comment {number}", "main.c", "return 0;", f"return 0; /* {number} */")
        return made

    def assertWhole(self, made, text):
        self.assertTrue(text.rstrip().endswith("verdict: pass"), text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1-5", text)
        self.assertTrue((made.top / "out/index.html").exists())

    @slow
    def test_github(self):
        jobs = self.read(".github/workflows/series.yml")["jobs"]
        shards = jobs["shard"]["strategy"]["matrix"]["shard"]
        self.assertEqual(shards, list(range(1, len(shards) + 1)))
        made = self.series()
        for number, job in [*((n, jobs["shard"]) for n in shards), (0, jobs["report"])]:
            self.assertEqual(job["container"], "debian:trixie")
            found = [step["run"].replace("${{ matrix.shard }}", str(number))
                     .replace("${{ strategy.job-total }}", str(len(shards)))
                     for step in job["steps"] if "run" in step]
            self.assertEqual(found[0], "ci/install")
            text = self.machine(made, number, found)
        self.assertWhole(made, text)
        saved = [step["with"] for step in jobs["shard"]["steps"] if "cache" in step.get("uses", "")]
        self.assertEqual(len(saved), 2)
        self.assertEqual(saved[0]["path"], saved[1]["path"])
        for path in saved[0]["path"].split():
            where = pathlib.Path(path).relative_to(jobs["shard"]["env"]["XDG_CACHE_HOME"])
            self.assertTrue((made.directory / "machine-1" / where).exists(), path)

    @slow
    def test_gitlab(self):
        told = self.read(".gitlab-ci.yml")
        self.assertEqual(told["default"], {"image": "debian:trixie", "before_script": ["ci/install"]})
        made, total = self.series(), told["shard"]["parallel"]
        for number in range(1, total + 1):
            self.machine(made, number, ["ci/install", *told["shard"]["script"]],
                         CI_NODE_INDEX=str(number), CI_NODE_TOTAL=str(total))
        self.assertWhole(made, self.machine(made, 0, ["ci/install", *told["report"]["script"]]))
        for path in told["shard"]["cache"]["paths"]:
            where = pathlib.Path(path).relative_to(".cache")
            self.assertTrue((made.directory / "machine-1" / where).exists(), path)


if __name__ == "__main__":
    unittest.main()
