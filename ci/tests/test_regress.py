# SPDX-License-Identifier: GPL-2.0
"""Cases that vanish or turn to skips, and proofs over boots that could not be judged."""

import pathlib
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import Fixture  # noqa: E402
from harness import proof, regress  # noqa: E402
from lib.series import Patch  # noqa: E402
from lib.verdict import Verdict  # noqa: E402


def entry(step, **keys):
    """A Proof of the patch of a step."""
    patch = Patch(step, "t", f"t/000{step}-p.patch", pathlib.Path("p"))
    empty = {"cases": [], "adds": [], "drops": [], "splats": [], "nothing": ""}
    return proof.Proof(patch, **{**empty, **keys})


def ran(text, ended=True):
    """A boot whose cases went as "a b- c!": pass, skip, fail."""
    words = {"x/main/end": "pass" if ended else "fail"}
    for case in text.split():
        words[f"x/main/t/{case.strip('-!')}"] = {"-": "skip", "!": "fail"}.get(case[-1], "pass")
    return regress.Ran(words, {c: "no device" for c, w in words.items() if w == "skip"}, "log")


def judge(history, first=0, proofs=(), known=lambda case: ""):
    """{step: (verdict word, reason)} of a history {step: text or Ran}."""
    history = {k: v if isinstance(v, regress.Ran) else ran(v) for k, v in history.items()}
    found = regress.judge("x", "main", history, first, proofs, known, lambda a, b: f"again {a} {b}")
    return {j.step: (j.verdict.value, j.reason, j.command) for j in found}


class JudgeTest(unittest.TestCase):
    def test_what_stays(self):
        self.assertEqual(judge({0: "a b! c-", 1: "a b c", 2: "a b c d"}),
                         {1: ("pass", "", ""), 2: ("pass", "", "")})

    def test_what_goes_is_a_failure_of_the_step_where_it_goes(self):
        found = judge({0: "a b", 1: "a b", 2: "a", 3: "a"})
        self.assertEqual(found[2], ("fail", "x/main/t/b passed on step 1 and is gone", "again 1 2"))
        self.assertEqual([w for w, _, _ in found.values()], ["pass", "fail", "pass"])

    def test_a_pass_that_turns_to_a_skip(self):
        self.assertEqual(judge({0: "a b", 1: "a b-"})[1][1],
                         "x/main/t/b passed on step 0 and is skipped: no device")

    def test_what_fails_is_the_boot_s_matter(self):
        self.assertEqual(judge({0: "a b", 1: "a b!", 2: "a"})[1][0], "pass")

    def test_what_a_patch_between_the_two_steps_drops(self):
        for patch, word in ((4, "fail"), (5, "pass"), (9, "pass"), (10, "fail")):
            found = judge({0: "a b", 4: "a b", 9: "a"}, proofs=[entry(patch, drops=["x/*/b"])])
            self.assertEqual(found[9][0], word, patch)

    def test_what_is_known_to_come_and_go(self):
        found = judge({0: "a b", 1: "a"}, known=lambda case: "why" if case.endswith("/b") else "")
        self.assertEqual(found[1][0], "pass")

    def test_a_boot_that_died_says_nothing_of_what_it_did_not_reach(self):
        found = judge({0: "a b c", 1: ran("a", ended=False), 2: "a b", 3: "a b"})
        self.assertEqual(found.keys(), {2, 3})
        self.assertEqual(found[2][1], "x/main/t/c passed on step 0 and is gone")

    def test_a_step_of_another_run_is_only_compared_with(self):
        self.assertEqual(judge({4: "a b", 5: "a"}, first=5).keys(), {5})

    def test_many_are_counted(self):
        found = judge({0: " ".join(f"c{n}" for n in range(9)), 1: ""})
        self.assertEqual(found[1][1].count("is gone"), 6)
        self.assertTrue(found[1][1].endswith("; and 3 more"))

    def test_a_module_that_does_not_build_is_named(self):
        found = judge({0: "a b", 1: regress.Ran(ran("a").words, remarks=["the module m: error: x"])})
        self.assertTrue(found[1][1].endswith("; the module m: error: x"))


class ProofTest(unittest.TestCase):
    def turned(self, one, results, **kwargs):
        [found] = proof.turned([one], {k: ran(v).words for k, v in results.items()}, **kwargs)
        return found.verdict, found.reason

    def test_drops(self):
        one = entry(1, nothing="why", drops=["x/main/t/b"])
        self.assertEqual(self.turned(one, {0: "a b", 1: "a"})[0], Verdict.PASS)
        self.assertEqual(self.turned(one, {0: "a b", 1: "a b-"})[0], Verdict.PASS)
        self.assertIn("x/main/t/b is said to be dropped, but does not pass on step 0",
                      self.turned(one, {0: "a", 1: "a"})[1])
        self.assertIn("x/main/t/b passes on step 2, but is said to be dropped",
                      self.turned(one, {0: "a b", 1: "a", 2: "a b"})[1])

    def test_a_case_that_a_later_patch_drops_is_proven_until_then(self):
        both = [entry(1, cases=["x/main/t/b"]), entry(3, nothing="why", drops=["x/main/t/b"])]
        results = {k: ran(v).words for k, v in {0: "a b!", 1: "a b", 2: "a b", 3: "a"}.items()}
        self.assertEqual({j.verdict for j in proof.turned(both, results)}, {Verdict.PASS})

    def test_what_does_not_hold_where_a_boot_was_lost_is_lost(self):
        one = entry(1, cases=["x/main/t/b"])
        results = {0: "a b!", 1: "a b", 2: "a"}
        self.assertEqual(self.turned(one, results)[0], Verdict.FAIL)
        verdict, reason = self.turned(one, results, unjudged={(2, "x/main")})
        self.assertEqual(verdict, Verdict.LOST)
        self.assertIn("not all its boots could be judged: step 2 x/main", reason)
        self.assertEqual(self.turned(one, results, unjudged={(2, "y/main"), (2, "x/other")})[0],
                         Verdict.FAIL)
        self.assertEqual(self.turned(one, {0: "b!", 1: "b"}, unjudged={(2, "x/main")})[0], Verdict.PASS)


class RunTest(unittest.TestCase):
    """ci/run on the fake kernel."""

    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        self.fixture.mend()

    def test_case_and_its_place_in_the_plan_go(self):
        self.fixture.patch("drop a case", "boot.sh", "1..2\nok 1 always\nok 2", "1..1\nok 1")
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        self.assertIn("fail: step 2 fake cases:main: fake/main/unit/always passed on step 1 and is gone",
                      text)
        command = "ci/run --no-static --again --lane fake --step 1 --step 2 --boot main"
        self.assertIn(f"again: {command}", text)
        code, text = self.fixture.run(*command.split()[2:])
        self.assertEqual((code, text.count("boot main pass"), text.count("(kept)")), (1, 2, 2), text)
        # alone, it is compared with what another run judged
        code, text = self.fixture.run("--step", "2")
        self.assertEqual(code, 1, text)
        self.assertIn("fake/main/unit/always passed on step 1 and is gone", text)
        # and where the patch says so
        proofs = self.fixture.top / "ci/proofs.toml"
        proofs.write_text(proofs.read_text() + 'drops = ["fake/main/unit/always"]\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)

    def test_case_that_turns_to_a_skip_over_a_step_that_the_boot_is_not_due_at(self):
        self.fixture.patch("comment 2", "main.c", "return 0;", "return 0; /* 2 */")
        self.fixture.patch("skip", "boot.sh", "ok 1 always", "ok 1 always # SKIP no device")
        lane = self.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text() + 'at = "ends"\n')
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        self.assertIn("fail: step 3 fake cases:main: fake/main/unit/always passed on step 1 and is "
                      "skipped: no device", text)
        self.assertIn("skip: step 3 fake/main/unit/always: no device", text)


if __name__ == "__main__":
    unittest.main()
