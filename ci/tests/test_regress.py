# SPDX-License-Identifier: GPL-2.0
"""Cases that vanish or turn to skips, and proofs over boots that could not be judged."""

import pathlib
import re
import sys
import types
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from harness import proof, regress  # noqa: E402
from lib import proofs  # noqa: E402
from lib.series import Patch  # noqa: E402
from lib.verdict import Verdict  # noqa: E402


def entry(step, **keys):
    """A Proof of the patch of a step."""
    patch = Patch(step, "t", f"t/000{step}-p.patch", pathlib.Path("p"))
    empty = {"cases": [], "adds": [], "drops": [], "splats": [], "nothing": ""}
    return proofs.Proof(patch, **{**empty, **keys})


def ran(text, ended=True, own=None):
    """A boot whose cases went as "a b- c!": pass, skip, fail; own: its step's own selftests."""
    def words(text, test):
        return {f"x/main/{test}/{case.strip('-!')}": {"-": "skip", "!": "fail"}.get(case[-1], "pass")
                for case in text.split()}

    both = words(text, "t"), words(text if own is None else own, "t@step")
    reasons = {c: "no device" for found in both for c, w in found.items() if w == "skip"}
    end = {"x/main/end": "pass" if ended else "fail"}
    return regress.Ran(end | both[0], both[1], reasons, "log")


def judge(history, steps=range(99), proofs=(), known=lambda case: ""):
    """{step: (verdict word, reason, command)} of a history {step: text or Ran}."""
    history = {k: v if isinstance(v, regress.Ran) else ran(v) for k, v in history.items()}
    found = regress.judge("x", "main", history, steps, proofs, known, lambda a, b: f"again {a} {b}")
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
        self.assertEqual(judge({0: "a b", 1: "a b!", 2: "a b"}),
                         {1: ("pass", "", ""), 2: ("pass", "", "")})

    def test_what_fails_and_then_goes(self):
        for between in ("a b!", ran("a b!", ended=False)):
            found = judge({0: "a b", 1: "a b", 2: between, 3: "a b!", 4: "a", 5: "a"})
            self.assertEqual([k for k, (word, _, _) in found.items() if word == "fail"], [4])
            self.assertEqual(found[4][1:], ("x/main/t/b passed on step 1 and is gone", "again 1 4"))
        # what never passed is not missed
        self.assertEqual(judge({0: "a b!", 1: "a b!", 2: "a"})[2][0], "pass")

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
        self.assertEqual(judge({4: "a b", 5: "a"}, steps={5}).keys(), {5})
        self.assertEqual(judge({3: "a b", 4: "a", 5: "a"}, steps={5})[5][1],
                         "x/main/t/b passed on step 3 and is gone")
        self.assertEqual(judge({3: "a", 4: "a b", 5: "a"}, steps={3, 5})[5][1],
                         "x/main/t/b passed on step 4 and is gone")

    def test_many_are_counted(self):
        found = judge({0: " ".join(f"c{n}" for n in range(9)), 1: ""})
        self.assertEqual(found[1][1].count("is gone"), 6)
        self.assertTrue(found[1][1].endswith("; and 3 more"))

    def test_a_module_that_does_not_build_is_named(self):
        found = judge({0: "a b", 1: regress.Ran(ran("a").words, remarks=["the module m: error: x"])})
        self.assertTrue(found[1][1].endswith("; the module m: error: x"))


class OwnTest(unittest.TestCase):
    """The selftests of the step's own tree, which a patch may change."""

    def test_a_case_that_a_patch_takes_from_its_tree(self):
        found = judge({0: ran("a b c", own="a b"), 1: ran("a b c", own="a"), 2: ran("a b c")})
        self.assertEqual(found, {1: ("fail", "x/main/t@step/b passed on step 0 and is gone", "again 0 1"),
                                 2: ("pass", "", "")})

    def test_a_case_that_turns_to_a_skip(self):
        found = judge({0: ran("a b", own="a b"), 1: ran("a b", own="a b-")})
        self.assertEqual(found[1][1], "x/main/t@step/b passed on step 0 and is skipped: no device")

    def test_where_it_is_the_last_step_s(self):
        # from step 1 on the two are the same programs and run once
        self.assertEqual(judge({0: ran("a b", own="a c"), 1: ran("a b")})[1][1],
                         "x/main/t@step/c passed on step 0 and is gone")
        self.assertEqual(judge({0: ran("a b", own="a"), 1: ran("a b")})[1][0], "pass")
        self.assertEqual(judge({0: ran("a b"), 1: ran("a b", own="a")})[1][1],
                         "x/main/t@step/b passed on step 0 and is gone")

    def test_what_goes_with_both_is_told_once(self):
        self.assertEqual(judge({0: "a b", 1: "a b-"})[1][1],
                         "x/main/t/b passed on step 0 and is skipped: no device")

    def test_what_a_patch_drops(self):
        history = {0: ran("a b", own="a b"), 1: ran("a b", own="a")}
        for drops, word in (("x/main/t@step/b", "pass"), ("x/main/t/b", "pass"), ("*/t@step/*", "pass"),
                            ("x/main/t@step/a", "fail"), ("x/main/u@step/b", "fail")):
            with self.subTest(drops):
                self.assertEqual(judge(history, proofs=[entry(1, drops=[drops])])[1][0], word)

    def test_what_is_known_to_come_and_go(self):
        asked = []
        found = judge({0: ran("a b", own="a b"), 1: ran("a b", own="a")},
                      known=lambda case: asked.append(case) or "why")
        self.assertEqual((found[1][0], asked), ("pass", ["x/main/t/b"]))

    @staticmethod
    def due(proofs, boot):
        """The steps around the patches that a boot of lane x proves."""
        return proof.milestones(proof.of_boot(proofs, "x", boot))

    def test_where_the_boot_of_what_is_dropped_is_due(self):
        boot = types.SimpleNamespace(name="main", tests=["t"], confirms=False)
        self.assertEqual(self.due([entry(4, drops=["x/main/t@step/b"])], boot), {3, 4})

    def test_where_the_boots_of_a_pattern_without_a_lane_are_due(self):
        boot = types.SimpleNamespace(name="main", tests=["t", "u"], confirms=False)
        for pattern, expected in (("*/t/b", {3, 4}), ("*/main/t/b", {3, 4}), ("*/u/*", {3, 4}),
                                  ("*/v/b", set()), ("*/other/t/b", set()), ("x/main/end", {3, 4}),
                                  ("x/other/t/b", set()), ("y/main/t/b", set())):
            with self.subTest(pattern):
                self.assertEqual(self.due([entry(4, cases=[pattern])], boot), expected)

    def test_a_boot_that_confirms_is_due_where_a_proof_names_its_lane(self):
        boot = types.SimpleNamespace(name="main", tests=["t"], confirms=True)
        for patterns, expected in ((["*/t/b"], set()), (["x/main/t/b"], {3, 4}),
                                   (["*/main/t/a", "x/main/t/b"], {3, 4}), (["y/main/t/b"], set())):
            with self.subTest(patterns):
                self.assertEqual(self.due([entry(4, cases=patterns)], boot), expected)

class ProofTest(unittest.TestCase):
    def turned(self, one, results, **kwargs):
        found = {k: v if isinstance(v, regress.Ran) else ran(v) for k, v in results.items()}
        [found] = proof.turned([one], {k: {**r.words, **r.own} for k, r in found.items()}, **kwargs)
        return found.verdict, found.reason

    def test_drops(self):
        one = entry(1, nothing="why", drops=["x/main/t/b"])
        self.assertEqual(self.turned(one, {0: "a b", 1: "a"})[0], Verdict.PASS)
        self.assertEqual(self.turned(one, {0: "a b", 1: "a b-"})[0], Verdict.PASS)
        self.assertIn("x/main/t/b is said to be dropped, but does not pass on step 0",
                      self.turned(one, {0: "a", 1: "a"})[1])
        self.assertIn("x/main/t/b passes on step 2, but is said to be dropped",
                      self.turned(one, {0: "a b", 1: "a", 2: "a b"})[1])

    def test_drops_of_the_step_s_own_selftests(self):
        one = entry(1, nothing="why", drops=["x/*@step/b"])
        self.assertEqual(self.turned(one, {0: ran("a b", own="a b"), 1: ran("a b", own="a")}),
                         (Verdict.PASS, ""))
        self.assertIn("x/main/t@step/b passes on step 1, but is said to be dropped",
                      self.turned(one, {0: "a b", 1: ran("a", own="a b")})[1])
        # and they prove nothing else: the other patterns are of the last step's
        for pattern in ("x/main/*/b", "x/main/t*b"):
            one = entry(1, cases=[pattern])
            self.assertEqual(self.turned(one, {0: ran("b!", own="b"), 1: "b"}), (Verdict.PASS, ""))

    def test_the_command_repeats_each_step_that_shows_it(self):
        one = entry(2, cases=["x/main/t/b"])
        [found] = proof.turned([one], {k: ran(v).words for k, v in
                                       {0: "b", 1: "b!", 2: "b", 3: "b", 4: "b!"}.items()})
        self.assertIn("passes before the patch", found.reason)
        self.assertIn("does not pass on step 4", found.reason)
        self.assertEqual(found.command, "ci/run --no-static --again --step 0 --step 1 --step 2 --step 4")

    def test_splats_that_no_boot_shows(self):
        both = [entry(1, cases=["a"]), entry(2, cases=["b"], splats=[re.compile("^one"), re.compile("two")])]

        def unseen(seen, unjudged=()):
            [found] = proof.unseen(both, seen, unjudged)
            self.assertEqual((found.step, found.lane, found.gate), (2, "series", "splats"))
            return found.verdict, found.reason

        self.assertEqual(unseen({0: {"one: 1"}, 1: {"a two"}, 2: set()}), (Verdict.PASS, ""))
        said = "ci/proofs.toml: t/p: no boot before step 2 shows the splats "
        self.assertEqual(unseen({0: {"one"}, 2: {"two"}}),
                         (Verdict.FAIL, f"{said}'two': correct or delete them"))
        self.assertEqual(unseen({}), (Verdict.FAIL, f"{said}'^one', 'two': correct or delete them"))
        self.assertEqual(unseen({0: {"one"}}, {(1, "x/main")}),
                         (Verdict.LOST, f"{said}'two'; not all boots could be judged: step 1 x/main"))
        self.assertEqual(unseen({0: {"one"}}, {(2, "x/main")})[0], Verdict.FAIL)

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

    @slow
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

    @slow
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

    @slow
    def test_a_step_is_compared_with_the_latest_that_was_judged(self):
        self.fixture.patch("add a case", "boot.sh", "1..2\n", "1..3\nok 3 new\n")
        self.fixture.patch("comment", "boot.sh", "KTAP version 1\n", "KTAP version 1\n# 3\n")
        self.fixture.patch("drop two", "boot.sh", "1..3\nok 3 new\nok 1 always\nok 2", "1..1\nok 1")

        def reason(*words):
            code, text = self.fixture.run(*words)
            self.assertEqual(code, 1, text)
            [said] = re.findall(r"fail: step 4 fake cases:main: (.*)", text)
            return sorted(said.split("; "))

        self.assertEqual(self.fixture.run("--step", "1")[0], 0)
        # steps 2 and 3 were never judged
        self.assertEqual(reason("--step", "4"), ["fake/main/unit/always passed on step 1 and is gone"])
        self.assertEqual(self.fixture.run("--step", "2")[0], 0)
        # step 2 was, and is between the two
        both = [f"fake/main/unit/{case} passed on step 2 and is gone" for case in ("always", "new")]
        self.assertEqual(reason("--step", "1", "--step", "4"), both)
        self.assertEqual(reason("--step", "4"), both)


class OwnRunTest(unittest.TestCase):
    """ci/run on a fake kernel whose step has selftests of its own."""

    FRAME = """\
echo "@@ begin unit@step" >&3
cat >&3 <<'END'
KTAP version 1
1..3
ok 1 own
ok 2 older
ok 3 always
END
echo "@@ end unit@step 0 0.1" >&3
"""

    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        boot = self.fixture.linux / "boot.sh"
        boot.write_text(boot.read_text().replace('echo "@@ done"', self.FRAME + 'echo "@@ done"'))
        git(self.fixture.linux, "commit", "-q", "-a", "-m", "Linux 7.3")
        git(self.fixture.linux, "tag", "-f", "v7.3")
        self.fixture.mend()

    @slow
    def test_cases_that_go_from_the_step_s_own_selftests(self):
        one = "1..3\nok 1 own\nok 2 older\nok 3", "1..2\nok 1 older\nok 2"
        self.fixture.patch("drop a case", "boot.sh", *one)
        # from the next one on the last step's selftests are the step's own
        frame = self.FRAME.replace(*one)
        self.fixture.patch("drop another", "boot.sh", frame, "")
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        said = re.findall(r"fail: (.* is gone)\n", text)
        self.assertEqual(said, [
            "step 2 fake cases:main: fake/main/unit@step/own passed on step 1 and is gone",
            "step 3 fake cases:main: fake/main/unit@step/older passed on step 2 and is gone"])
        code, text = self.fixture.run("fake/main/unit@step/own", script="ci/bisect")
        self.assertEqual(code, 0, text)
        self.assertIn("first step on which fake/main/unit@step/own fails: 2\n", text)
        proofs = self.fixture.top / "ci/proofs.toml"
        proofs.write_text(proofs.read_text().replace(
            '"a seeded defect"\n', '"x"\ndrops = ["fake/main/unit@step/own"]\n', 1).replace(
            '"a seeded defect"\n', '"x"\ndrops = ["fake/main/unit@step/older"]\n', 1))
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
