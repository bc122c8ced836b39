# SPDX-License-Identifier: GPL-2.0
"""ci/bisect on the fake kernel: five seeded defects, by steps and by git bisect; results.xml."""

import dataclasses
import pathlib
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from harness import bisection  # noqa: E402
from harness.cell import Booted, Built  # noqa: E402
from harness.regress import Ran  # noqa: E402
from lib.verdict import Judgement, Verdict  # noqa: E402

# The defects: (subject, file, text, its replacement), each in a step of its own; and what
# shows each: the target, and the first step on which it is bad.
DEFECTS = (
    ("comment", "main.c", "return 0;", "return 0; /* one */"),
    ("warn", "boot.sh", 'echo "@@ begin',
     'echo "WARNING: CPU: 0 PID: 1 at fake.c:1 f+0x1/0x2"\necho "@@ begin'),
    ("fail a case", "boot.sh", "ok 1 always", "not ok 1 always"),
    ("comment again", "main.c", "/* one */", "/* two */"),
    ("lose a case", "boot.sh", "1..3\n", "1..2\n"),
    ("comment once more", "main.c", "/* two */", "/* three */"),
    ("die", "boot.sh", 'echo "@@ done" >&3', "exit 0"),
    ("not built", "main.c", "/* three */", "+ none"),
)
SHOWN = {"fake/main/unit/always": 3, "fake/main": 2, "fake/main/unit/third": 5, "fake/main/end": 7,
         "fake": 8}


class Series(Fixture):
    """The defects, on a kernel that has a third case."""

    def __init__(self):
        super().__init__()
        boot = self.linux / "boot.sh"
        boot.write_text(boot.read_text().replace("1..2", "1..3").replace(
            "not ok 2 mended", "ok 2 mended\nok 3 third"))
        git(self.linux, "commit", "-q", "-a", "-m", "Linux 7.3")
        git(self.linux, "tag", "-f", "v7.3")
        for subject, *change in DEFECTS:
            if subject == "lose a case":
                self._both(subject)
            else:
                self.patch(subject, *change)

    def _both(self, subject):
        self.patch(subject, "boot.sh", "\nok 3 third", "")


class BisectTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fixture = Series()
        cls.addClassCleanup(cls.fixture.close)

    def bisect(self, expected, *words):
        code, text = self.fixture.run(*words, script="ci/bisect")
        self.assertEqual(code, expected, text)
        self.assertNotIn("Traceback", text)
        return text

    def latest(self):
        """{name in the store: the key of the last record of a build or boot}."""
        place = self.fixture.directory / "cache/linux-dmabuf-series/verdicts/latest"
        return {str(path): path.read_text() for kind in ("build", "boot")
                for path in (place / kind).iterdir()}

    def found(self, target, step, *words):
        text = self.bisect(0, target, *words)
        self.assertIn(f"first step on which {target} fails: {step}\n      patch: "
                      f"{self.fixture.patches[step - 1]}\n", text)
        self.assertIn("      again: ci/run --no-static --again --lane fake ", text)
        return text

    def test_1_the_search_judges_only_the_steps_that_it_needs(self):
        text = self.found("fake/main/unit/always", 3, "--bad", "6")
        self.assertEqual(len(re.findall(r"^\[.*\] step \d+ fake: boot", text, re.M)), 4, text)
        self.assertIn("fake/main/unit/always: pass 0, pass 2, fail 3, fail 6\n", text)
        # of the other cases of the same boots the store has most
        text = self.found("fake/main/unit/third", 5, "--bad", "6")
        built = re.findall(r"^\[.*\] step \d+ fake: build pass (?!\(kept)", text, re.M)
        self.assertLessEqual(len(built), 2, text)

    @slow
    def test_2_each_defect_by_steps_and_from_the_store(self):
        self.fixture.run()
        for target, step in SHOWN.items():
            with self.subTest(target):
                # a case of a step that does not build cannot be told
                bad = [] if target == "fake" else ["--bad", "7"]
                text = self.found(target, step, *bad)
                self.assertIn("; the store had them all", text)
                self.assertNotRegex(text, r"(?m)^\[.*\] step")
        self.assertIn("fails: 3", self.bisect(0, "fake/main/unit/always", "--good", "2", "--bad", "7"))
        text = self.bisect(125, "fake/main/unit/always")
        self.assertIn("step 8: fake/main/unit/always: does not build: ", text)

    @slow
    def test_3_wrong_use(self):
        for words, said in ((["other/main"], "no lane 'other'"),
                            (["fake/x/unit/a"], "no boot 'x'; there are: main"),
                            (["fake/main", "--good", "99"], "--good 99: the series has the steps 0..8"),
                            (["fake/main", "--bad", "3..5"], "--bad 3..5: name one step"),
                            (["fake/main", "--good", "3"], "is not good on step 3: fail"),
                            (["fake/main/unit/always2", "--bad", "6"], "there are: fake/main/unit/always"),
                            (["fake/main", "--a", "HEAD"], "unrecognized arguments: --a HEAD"),
                            (["fake/main", "--at", "HEAD", "--good", "1"], "--at judges one commit")):
            code = 125 if {"--at", "--a"} & {*words} else 1
            self.assertIn(said, self.bisect(code, *words), words)

    @slow
    def test_4_git_bisect_run_in_a_kernel_tree(self):
        tree = self.fixture.directory / "theirs"
        git(self.fixture.directory, "clone", "-q", self.fixture.linux, tree)
        git(tree, "switch", "-q", "-c", "mine", "v7.3")
        # not the series' own commits: each has a note of its own beside it
        for name in self.fixture.patches:
            git(tree, "am", "-q", self.fixture.top / "patches" / name)
            (tree / "note").write_text(name)
            git(tree, "add", "note")
            git(tree, "commit", "-q", "--amend", "--no-edit")
        commits = git(tree, "rev-list", "--reverse", "v7.3..mine").split()
        self.fixture.run()  # the store then has steps with each case
        before = git(tree, "for-each-ref") + git(tree, "count-objects")
        latest = self.latest()
        for target, step in SHOWN.items():
            with self.subTest(target):
                bad = "mine" if target == "fake" else "mine~1"
                git(tree, "bisect", "start", bad, "v7.3")
                done = subprocess.run(
                    ["git", "bisect", "run", self.fixture.top / "ci/bisect", "--at", "HEAD", target],
                    text=True, capture_output=True, env=self.fixture.environment, check=False,
                    timeout=300, cwd=tree)
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode, 0, said)
                self.assertIn(f"{commits[step - 1]} is the first bad commit", said)
                git(tree, "bisect", "reset")
        self.assertEqual(git(tree, "for-each-ref") + git(tree, "count-objects"), before)
        # with what ci/run compares a step, is still a step
        self.assertEqual({name: text for name, text in self.latest().items() if name in latest}, latest)
        for revision, words in (("none", "git does not know none"),
                                ("mine", "not to be judged: does not build")):
            self.assertIn(words, self.bisect(125, "--at", revision, "--tree", str(tree), "fake/main"))
        text = self.bisect(125, "--at", "mine~2", "--tree", str(tree), "fake/main/unit/always2")
        self.assertRegex(text, "no case fake/main/unit/always2 on REV, .*; there are: fake/main/unit/always")
        git(tree, "switch", "-q", "--orphan", "alone")
        git(tree, "commit", "-q", "--allow-empty", "-m", "alone")
        self.assertIn("does not descend from the base", self.bisect(
            125, "--at", "alone", "--tree", str(tree), "fake/main"))


class AnswerTest(unittest.TestCase):
    """Without a machine."""

    TARGET = bisection.Target("fake", "main", "unit/always")

    @staticmethod
    def built(step, verdict=Verdict.PASS, unknown=False):
        return Built(Judgement(step, "fake", "build", verdict), unknown=unknown)

    def answer(self, verdict, ran=None):
        booted = Booted("main", Judgement(1, "fake", "boot:main", verdict, "a reason"), ran)
        return bisection.answer(self.TARGET, self.built(1), booted)

    def test_what_is_not_the_kernels_fault_cannot_be_told(self):
        self.assertIs(self.answer(Verdict.FAIL, Ran({"fake/main/unit/always": "fail"})).good, False)
        for one in (self.answer(Verdict.FAIL), self.answer(Verdict.LOST), self.answer(Verdict.FLAKY, Ran({})),
                    bisection.answer(bisection.Target("fake", "", ""),
                                     self.built(1, Verdict.FAIL, True), None)):
            self.assertIsNone(one.good, one)

    def test_a_case_of_the_steps_own_selftests(self):
        target = bisection.Target("fake", "main", "unit@step/always")
        for ran, good, word in (
                (Ran({}, own={str(target): "fail"}), False, "fail"),
                (Ran({}, own={str(target): "pass"}), True, "pass"),
                (Ran({}, own={"fake/main/unit@step/other": "pass"}), False, "gone"),
                (Ran({}, idle=frozenset({"fake/main/unit@step/"})), None, "not due")):
            one = bisection.answer(target, self.built(1), Booted(
                "main", Judgement(1, "fake", "boot:main", Verdict.PASS), ran))
            self.assertEqual((one.good, one.word), (good, word))

    def test_the_cases_of_the_steps_own_selftests_are_told_of(self):
        boot = mock.Mock()
        boot.name = "main"
        run = mock.Mock(lane=mock.Mock(boots=[boot]))
        run.build.return_value = dataclasses.replace(self.built(0), image=pathlib.Path("image"))
        run.boot.return_value = Booted("main", Judgement(0, "fake", "boot:main", Verdict.PASS),
                                       Ran({}, own={"fake/main/unit@step/always": "pass"}))
        steps = bisection.Steps(bisection.Target("fake", "main", "unit@step/always2"), run)
        self.assertEqual(steps.judge(0).word, "gone")
        self.assertEqual(steps.near(), "; there are: fake/main/unit@step/always")

    def test_a_lane_of_objects_builds_only_the_steps_that_touch_it(self):
        run = mock.Mock(lane=mock.Mock(boots=[]))
        run.work.progress.done = 0
        run.work.policy.before = lambda lane, step: max(k for k in (0, 2, 5) if k < step)
        run.builds.judged = lambda step, patterns: None
        run.build.side_effect = lambda step, boots: self.built(
            step, Verdict.FAIL if step >= 5 else Verdict.PASS)
        steps = bisection.Steps(bisection.Target("fake", "", ""), run)
        steps.judge_kept(range(8))
        self.assertEqual(steps.search(0, 7), (4, 5))
        self.assertEqual([call.args[0] for call in run.build.call_args_list], [0, 5, 2])
        self.assertEqual(steps.story(), "pass 0, pass 2-4, fail 5, fail 7")


class MendedTest(unittest.TestCase):
    @slow
    def test_the_step_that_mends_a_case_and_results_xml(self):
        fixture = Fixture()
        self.addCleanup(fixture.close)
        fixture.patch("comment", "main.c", "return 0;", "return 0; /* one */")
        fixture.mend()
        fixture.patch("skip one", "boot.sh", "1..2\nok 1 always",
                      "1..3\nok 3 new # SKIP no \x02 device\nok 1 always")
        code, text = fixture.run()
        self.assertEqual(code, 0, text)
        code, text = fixture.run("fake/main/unit/mended", script="ci/bisect")
        self.assertEqual(code, 0, text)
        self.assertIn("fake/main/unit/mended: fail 0-1, pass 2-3; the store had them all", text)
        self.assertIn("first step on which fake/main/unit/mended passes: 2\n", text)
        self._good(fixture)
        fixture.patch("break it", "boot.sh", "ok 1 always", "not ok 1 always")
        fixture.patch("not built", "main.c", "return 0;", "return none;")
        self.assertEqual(fixture.run()[0], 1)
        self._bad(fixture)

    def _read(self, fixture):
        """{(suite, ..., case): the element} and the root of results.xml."""
        root = ET.parse(fixture.top / "out/results.xml").getroot()
        found = {}

        def walk(suite, path):
            for element in suite:
                name = (*path, element.get("name"))
                if element.tag == "testsuite":
                    walk(element, name)
                else:
                    self.assertEqual(element.tag, "testcase")
                    found[name] = element
        walk(root, ())
        self.assertEqual(int(root.get("tests")), len(found))
        for count, tag in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
            self.assertEqual(int(root.get(count)), len(list(root.iter(tag))), count)
        return root, found

    def _good(self, fixture):
        root, found = self._read(fixture)
        self.assertEqual((root.get("name"), root.get("failures"), root.get("errors")), ("v7.3", "0", "0"))
        self.assertEqual(list(found["fake", "step 2", "boot:main"]), [])
        self.assertIn("the base adds nothing", found["fake", "step 0", "diagnostics"].find("skipped").text)
        self.assertEqual(list(found["fake/main, step 3", "fake/main/unit/always"]), [])
        # what XML cannot hold does not make it unreadable
        skipped = found["fake/main, step 3", "fake/main/unit/new"].find("skipped")
        self.assertIn("no \ufffd device", skipped.text)

    def _bad(self, fixture):
        _, found = self._read(fixture)
        failure = found["fake", "step 4", "boot:main"].find("failure")
        self.assertIn("unit/always fails", failure.get("message"))
        self.assertIn("again: ci/run --no-static --again --lane fake --step 4", failure.text)
        self.assertIsNotNone(found["fake/main, step 4", "fake/main/unit/always"].find("failure"))
        self.assertIsNotNone(found["fake", "step 5", "build"].find("failure"))


if __name__ == "__main__":
    unittest.main()
