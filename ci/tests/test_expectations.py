# SPDX-License-Identifier: GPL-2.0
"""What is wrong with one boot's record, beside what is excused in it."""

import pathlib
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import expectations, splat  # noqa: E402
from lib.lane import Boot  # noqa: E402
from lib.series import Patch, Series  # noqa: E402

KNOWN = """\
[[known]]
case = "x/main/t/known"
reason = "why"
until = "v7.3"
"""
PROOFS = """\
[[proof]]
patch = "t/p"
cases = ["x/main/t/mended", "x/main/u/end"]
splats = ['^BUG: cycle < .*\\bfault']
"""


class ProblemsTest(unittest.TestCase):
    """Step 0 of lane x, whose one patch is step 1."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        top = pathlib.Path(directory.name)
        (top / "ci").mkdir()
        (top / "ci/known.toml").write_text(KNOWN)
        (top / "ci/proofs.toml").write_text(PROOFS)
        series = Series("v7.3", [], {}, [Patch(1, "t", "t/0001-p.patch", top / "p")])
        self.expectations = expectations.Expectations(top, series, splat.Patterns([], ""))
        self.boot = Boot("main", "", [], None, ["t"], 60, 20, 20, "every", [], False)

    def problems(self, rc, text, test="t", step=0):
        """What is wrong with a test that ended with rc and whose cases went as "a b- c!"."""
        words = {f"{test}/{case.strip('-!')}": {"-": "skip", "!": "fail"}.get(case[-1], "pass")
                 for case in text.split()}
        tests = {"t": {"rc": 0, "cases": {"t/a": "pass"}, "reasons": {}},
                 test: {"rc": rc, "cases": words, "reasons": {}}}
        return self.expectations.problems(step, "x", self.boot, {
            "ended": "done", "complete": True, "splats": [], "missing": [], "tests": tests})

    def test_what_is_as_it_should_be(self):
        for rc, text in ((0, "a b-"), (4, "b-"), (1, "a known!"), (1, "a known! mended!"), (0, "known!")):
            with self.subTest(text):
                self.assertEqual(self.problems(rc, text), [])

    def test_a_case_that_nothing_excuses(self):
        self.assertEqual(self.problems(1, "a b! known!"), ["t/b fails: "])
        self.assertEqual(self.problems(1, "mended!", step=1), ["t/mended fails: "])

    def test_a_program_that_breaks_beside_a_failure_that_is_excused(self):
        for rc, said in ((139, "139 (SIGSEGV)"), (134, "134 (SIGABRT)"), (129, "129 (SIGHUP)"), (255, "255"),
                         (2, "2"), (126, "126"), (127, "127")):
            for text in ("a", "a known!", "a mended!", "known! mended!"):
                with self.subTest(rc=rc, text=text):
                    self.assertEqual(self.problems(rc, text), [f"t ended with {said}"])
            self.assertEqual(self.problems(rc, "b! known!"), ["t/b fails: ", f"t ended with {said}"])
            self.assertEqual(self.problems(rc, "a known!", test="t@step"), [f"t@step ended with {said}"])

    def test_a_splat_is_excused_by_the_functions_of_its_trace(self):
        for frames, step, expected in ((["lock", "fault", "entry"], 0, []),
                                       (["lock", "entry"], 0, ["BUG: cycle"]),
                                       ([], 0, ["BUG: cycle"]), (["fault"], 1, ["BUG: cycle"])):
            with self.subTest(frames=frames, step=step):
                one = {"line": "BUG: cycle", "excerpt": [], "frames": frames}
                self.assertEqual([s["line"] for s in self.expectations.unexpected(step, {"splats": [one]})],
                                 expected)

    def test_a_failure_that_no_case_shows(self):
        self.assertEqual(self.problems(1, "a b-"), ["t ended with 1"])

    def test_other_ends(self):
        for rc in (124, 137, 143):
            self.assertEqual(self.problems(rc, "a known!"), ["t took longer than its limit"])
        self.assertEqual(self.problems(None, "known!"), ["t did not end"])
        self.assertEqual(self.problems(0, ""), ["t reported no case"])

    def test_only_what_excuses_is_needed(self):
        self.problems(0, "a known")
        self.problems(1, "a mended!")
        self.assertEqual(self.expectations.needed, set())
        self.problems(1, "a known!", test="t@step")
        self.assertEqual([entry.case for entry in self.expectations.needed], ["x/main/t/known"])


if __name__ == "__main__":
    unittest.main()
