# SPDX-License-Identifier: GPL-2.0
"""The files that carry the policy are read strictly: lanes, proofs, known failures, needs of guest tests."""

import pathlib
import shutil
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import LANE  # noqa: E402
from harness import expectations, needs, splat  # noqa: E402
from lib import lane, proofs, series  # noqa: E402
from lib.command import Failed  # noqa: E402
from lib.series import Patch, Series  # noqa: E402
from lib.verdict import Verdict  # noqa: E402

SERIES = Series("v7.3", [], {}, [
    Patch(n, "t", f"t/000{n}-p{n}.patch", pathlib.Path(f"t/000{n}-p{n}.patch")) for n in (1, 2)])


class TableTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        (self.top / "ci/lanes").mkdir(parents=True)
        (self.top / "kconfig-fragments").mkdir()
        (self.top / "kconfig-fragments/fake.config").touch()

    def write(self, name, text):
        (self.top / name).write_text(text)

    def refused(self, words, function, *arguments):
        """The function refuses, in one line that names the file."""
        with self.assertRaises(Failed) as caught:
            function(*arguments)
        self.assertIn(words, str(caught.exception))
        self.assertTrue(str(caught.exception).startswith("ci/"), caught.exception)

    # --- lanes

    def lane(self, old="", new=""):
        self.assertIn(old, LANE)
        self.write("ci/lanes/x.toml", LANE.replace(old, new, 1) if old else new + LANE)
        return lane.read(self.top, "x")

    def test_lane(self):
        self.assertTrue(self.lane().default)
        self.assertFalse(self.lane(new="default = false\n").default)
        for old, new, words in (
                ('arch = "fake"', "arch = 1", "arch = 1 is not a string that is not empty"),
                ('arch = "fake"\n', "", "arch is missing"),
                ('tests = ["unit"]', 'tests = "unit"', "boot main: tests = 'unit' is not a list of strings"),
                ('tests = ["unit"]', 'tests = ["a,b"]', "'a,b' is not a valid name"),
                ("seconds = 60", 'seconds = "60"', "boot main: seconds = '60' is not a whole number"),
                ("seconds = 60", "seconds = true", "seconds = True is not a whole number"),
                ("seconds = 60", "seconds = 0", "seconds = 0 is not a whole number above 0"),
                ("seconds = 60", "secs = 60", "boot main: unknown: secs"),
                ("silence = 20\n", 'silence = 20\n[[boot]]\nname = "main"\ntests = []\nseconds = 1\n',
                 "two boots have the name main"),
                ("[[boot]]", "[boot]", "boot = {"),
                ("", 'foreign = { architecture = "arm64" }\n', "foreign: library is missing"),
                ("", 'strip = "yes"\n', "strip = 'yes' is not true or false"),
                ("", 'fragments = "x"\n', "unknown: fragments"),
                ("", "arch = [\n", "ci/lanes/x.toml: "),
                ('"fake.config"', '"nope.config"', "no such file: kconfig-fragments/nope.config")):
            with self.subTest(new):
                self.refused(words, self.lane, old, new)

    def test_the_lane_that_is_no_default_is_read_strictly_as_well(self):
        self.write("ci/lanes/x.toml", LANE.replace("[[boot]]", "[[boot"))
        self.refused("ci/lanes/x.toml: ", lane.default, self.top)

    # --- proofs

    def proofs(self, text):
        self.write("ci/proofs.toml", text + '\n[[proof]]\npatch = "t/p2"\nnothing = "why"\n')
        return proofs.read(self.top, SERIES)

    def test_proof(self):
        start = '[[proof]]\npatch = "t/p1"\n'
        one, _ = self.proofs(start + 'cases = ["a"]\nadds = ["b"]\ndrops = ["c"]\n')
        self.assertEqual((one.cases, one.adds, one.drops), (["a"], ["b"], ["c"]))
        self.proofs(start + 'nothing = "why"\ndrops = ["a/b/t@step/c"]\n')
        for text, words in (
                (start, "t/p1: it has neither cases, adds, splats nor nothing"),
                (start + "cases = []\n", "it has neither cases, adds, splats nor nothing"),
                (start + 'drops = ["c"]\n', "it has neither cases, adds, splats nor nothing"),
                (start + 'cases = ["a"]\nnothing = "why"\n', "it has cases and nothing"),
                (start + 'nothing = ""\n', "nothing = '' is not a string that is not empty"),
                (start + 'case = ["a"]\n',
                 "t/p1: unknown: case; there are: adds, built, cases, drops, nothing"),
                (start + 'cases = ["a"]\nsplats = ["x|.*"]\n', "t/p1: splats: 'x|.*' matches every line"),
                (start + 'cases = "a"\n', "cases = 'a' is not a list of strings"),
                (start + 'cases = ["a"]\nsplats = ["("]\n', "t/p1: splats: '('"),
                (start + 'cases = ["a/b/t@step/c"]\n', "t/p1: 'a/b/t@step/c': only drops may name the"),
                (start + 'cases = ["a"]\nadds = ["*@step/c"]\n', "t/p1: '*@step/c': only drops may name"),
                ('[[proof]]\ncases = ["a"]\n', "a [[proof]]: patch is missing"),
                ('[[proof]]\npatch = "t/nope"\nnothing = "why"\n', "no patch 't/nope' in series"),
                (start + 'nothing = "why"\n' + start + 'nothing = "why"\n', "t/p1 is listed twice"),
                ('[[proofs]]\npatch = "t/p1"\n', "unknown: proofs"),
                ("", "no table for t/p1")):
            with self.subTest(text):
                self.refused(words, self.proofs, text)

    def test_the_proofs_and_known_failures_of_this_repository(self):
        found = series.read(TOP)
        self.assertEqual(len(proofs.read(TOP, found)), len(found.patches))
        self.assertTrue(expectations.known(TOP))

    # --- known failures

    ENTRY = '[[known]]\ncase = "a/*/c"\nreason = "why"\nuntil = "v7.3"\n'

    def known(self, text):
        self.write("ci/known.toml", text)
        self.write("ci/proofs.toml", "".join(f'[[proof]]\npatch = "t/p{n}"\nnothing = "why"\n'
                                             for n in (1, 2)))
        return expectations.Expectations(self.top, SERIES, splat.Patterns([], ""))

    def test_known(self):
        self.assertEqual(self.known(self.ENTRY + 'link = "https://lore/x"\n').excuse("a/b/c"), "why")
        for text, words in ((self.ENTRY.replace('reason = "why"\n', ""), "a/*/c: reason is missing"),
                            (self.ENTRY.replace('until = "v7.3"\n', ""), "a/*/c: until is missing"),
                            (self.ENTRY.replace("case", "cases"), "entry 1: unknown: cases"),
                            (self.ENTRY.replace('"why"', '" "'), "reason = ' ' is not a string"),
                            (self.ENTRY + 'sometimes = "yes"\n', "sometimes = 'yes' is not true or false"),
                            (self.ENTRY + "sometimes = 1\n", "sometimes = 1 is not true or false")):
            with self.subTest(text):
                self.refused(words, self.known, text)

    def test_a_known_failure_that_is_none_any_more(self):
        def unused(text, cases, lost=False, excused=(), left_out=()):
            expectations = self.known(text)
            for case in excused:
                expectations.excuse(case)
            [one] = expectations.unused({0: dict.fromkeys(cases, "pass")}, lost, left_out)
            return one.verdict, one.reason

        self.assertEqual(unused(self.ENTRY, ["a/b/c"], excused=["a/b/c"]), (Verdict.PASS, ""))
        needless = ("ci/known.toml: no case a/*/c fails or is gone: delete the entry, or set "
                    "sometimes = true if it fails now and then")
        self.assertEqual(unused(self.ENTRY, ["a/b/c"]), (Verdict.FAIL, needless))
        self.assertEqual(unused(self.ENTRY, ["a/b/c"], excused=["a/b/d"]), (Verdict.FAIL, needless))
        self.assertEqual(unused(self.ENTRY + "sometimes = false\n", ["a/b/c"])[0], Verdict.FAIL)
        self.assertEqual(unused(self.ENTRY, ["a/b/c"], lost=True),
                         (Verdict.LOST, "ci/known.toml: no case a/*/c fails or is gone"))
        flaky = self.ENTRY + "sometimes = true\n"
        self.assertEqual(unused(flaky, ["a/b/c"]), (Verdict.PASS, ""))
        self.assertEqual(unused(flaky, ["a/b/d"])[0], Verdict.FAIL)
        self.assertEqual(unused(self.ENTRY, ["a/b/d"]),
                         (Verdict.FAIL, "ci/known.toml: no case a/*/c ran: delete the entry"))
        self.assertEqual(unused(self.ENTRY, ["a/b/d"], lost=True)[0], Verdict.LOST)
        self.assertEqual(unused(self.ENTRY, ["d/b/c"], left_out=["a"]),
                         (Verdict.SKIP, "ci/known.toml: a/*/c: a plain run leaves out lane a"))
        self.assertEqual(unused(self.ENTRY, ["d/b/c"], left_out=["b"])[0], Verdict.FAIL)
        old = self.ENTRY.replace("v7.3", "v7.2")
        verdict, reason = unused(old, ["a/b/c"])
        self.assertEqual(verdict, Verdict.FAIL)
        self.assertIn("is known until v7.2, but the base is v7.3", reason)
        self.assertEqual(self.known(old).excuse("a/b/c"), "")

    # --- needs of guest tests

    def test_wrong_needs(self):
        good = (TOP / "ci/guest/needs.toml").read_text()
        shutil.copytree(TOP / "ci/guest", self.top / "ci/guest")
        self.assertEqual(needs.read(self.top)["coherent-heap-selftest"].selftests, ("dmabuf-heaps",))
        for old, new, words in (
                ("", "[x]\n", "x: no such file in ci/guest/tests"),
                ("", "top = 1\n", "top = 1 is not a table"),
                ("[vfio]\n", "[vfio2]\n", "vfio: a file of ci/guest/tests without a table"),
                ('["heap_hold"]', '["nope"]', "coherent-heap-cgroup: no program 'nope'"),
                ('scripts = ["vfio.sh"]', 'scripts = ["no.sh"]', "vfio-dmabuf: no script 'no.sh'"),
                ("step = true", "step = 1", "dmabuf-heaps: step = 1 is not true or false"),
                ("last = true", "lastly = true", "kmemleak: unknown: lastly")):
            with self.subTest(words):
                self.write("ci/guest/needs.toml", good.replace(old, new, 1))
                self.refused(words, needs.read, self.top)

    def test_modules_that_no_lane_has(self):
        good = (TOP / "ci/guest/needs.toml").read_text()
        shutil.copytree(TOP / "ci/guest", self.top / "ci/guest")
        lanes = [lane.read(TOP, name) for name in lane.names(TOP)]
        needs.check(needs.read(self.top), lanes, lanes)
        for old, new, words in (
                ('"coherent_owner"', '"coherent_o"', "coherent-heap: no lane has a module 'coherent_o'"),
                ('"nvgrace-gpu-vfio-pci"', '"nvgrace"', "vfio-grace: no lane has a module 'nvgrace'"),
                ('"videobuf2-*"', '"video3-*"', "coherent-heap-capture: no lane has a module 'video3-*'")):
            with self.subTest(words):
                self.write("ci/guest/needs.toml", good.replace(old, new, 1))
                self.refused(words, needs.check, needs.read(self.top), lanes, lanes)


class ExampleTest(unittest.TestCase):
    """The numbers of steps in the examples are those of the patches that they are about."""

    def test_steps(self):
        patches = series.read(TOP).patches
        for name, examples in (
                ("the-bounce-buffer", (
                    ("README.md", "which step is that patch? {0}\n"),
                    ("README.md", "--gate checkpatch {0} "),
                    ("README.md", "--step {1}..{0} --boot swiotlb\n"),
                    ("README.md", "] step {0} x86_64: boot swiotlb"),
                    ("README.md", "proof of step {0}: "),
                    ("README.md", ": fail {1}, pass {0}\n"),
                    ("CONTRIBUTING.md", "    ci/run --lane x86_64 --step {0} --boot swiotlb --shell\n"),
                    ("CONTRIBUTING.md", "| ci/run --lane x86_64 --step {0} --boot swiotlb --shell\n"),
                    ("CONTRIBUTING.md", "--step {1}..{0}` judges it"))),
                ("dma-heap/0010", (
                    ("README.md", "fail: step {0} arm64 boot:iommu"),
                    ("README.md", "--step {0} --boot iommu\n"))),
                ("drm-tests-test-drm_prime", (
                    ("ci/lanes/README.md", "--lane drm --step {1}..{0}`"),)),
                ("Call-the-core-reset-and-resume", (
                    ("ci/lanes/README.md", "--lane variants --step {1}..{0}`"),)),
                ("iommu-dma-Add-KUnit-tests-for-DMA-attributes", (
                    ("ci/ktest/defects.toml", "\nlast = {0}\n"),))):
            number = next(patch.step for patch in patches if name in patch.name)
            for file, text in examples:
                with self.subTest(file=file, text=text):
                    self.assertIn(text.format(number, number - 1), (TOP / file).read_text())


if __name__ == "__main__":
    unittest.main()
