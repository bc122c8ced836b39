# SPDX-License-Identifier: GPL-2.0
"""The plan of a run: what is due where and why, in which order; results do not depend on it."""

import dataclasses
import json
import pathlib
import re
import sys
import tempfile
import threading
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from harness import cost, guest, needs, plan, plan_text, prune, session, spans, step_boot  # noqa: E402
from harness.cell import Cell  # noqa: E402
from harness.jobs import Jobs  # noqa: E402
from harness.scope import Scope  # noqa: E402
from lib import lane as lanes  # noqa: E402
from lib import proofs, series, store  # noqa: E402
from lib.command import Failed  # noqa: E402
from lib.verdict import Judgement, Verdict  # noqa: E402

ASCENDING = '''

def _ascending(self, steps, chosen):
    cells = [self._cell(lane, step) for step in sorted(steps) for lane in chosen]
    return Plan(tuple(sorted(steps)), tuple(chosen), (Phase("upwards", tuple(c for c in cells if c.due)),),
                tuple(c for c in cells if not c.due))


Policy.plan = _ascending
'''


def boot(name="main", **keys):
    """A Boot of a lane."""
    plain = {"append": "", "qemu": [], "devicetree": None, "tests": ["unit"], "seconds": 9,
             "silence": 9, "test_seconds": 9, "at": "every", "topics": [], "confirms": False}
    return lanes.Boot(name, **{**plain, **keys})


def lane(name, *boots, at="every"):
    """A Lane with boots."""
    empty = dict.fromkeys(("arch", "cross", "llvm", "linker", "objcopy", "config", "image", "busybox",
                           "append"), "")
    lists = {n: [] for n in ("fragments", "targets", "sizes", "test_patches", "modules", "kernel_modules",
                             "qemu")}
    return lanes.Lane(name=name, builds="image", at=at, default=True, strip=False,
                      foreign={}, boots=list(boots), source=pathlib.Path(name), **empty, **lists)


class PolicyTest(unittest.TestCase):
    """On eight patches: a 1-3, b 4-6, c 7-8; patch 5 touches selftests, patch 8 the UAPI."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        top = pathlib.Path(directory.name)
        touched = {5: "tools/testing/selftests/vfio/x.c", 8: "include/uapi/linux/x.h"}
        listing = ["# base: v7.3"]
        for step in range(1, 9):
            topic = "aaabbbcc"[step - 1]
            name, file = f"{topic}/{step:04}-p{step}.patch", touched.get(step, "kernel/x.c")
            (top / "patches" / topic).mkdir(parents=True, exist_ok=True)
            (top / "patches" / name).write_text(
                f"Subject: p\n\ndiff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n")
            listing += [f"# topic: {topic}"] * (step in (1, 4, 7)) + [name]
        (top / "series").write_text("\n".join(listing) + "\n")
        self.series = series.read(top)
        proven = proofs.Proof(self.series.patches[4], ["x/main/unit/a"], [], [], [], "")
        self.policy = plan.Policy(self.series, [proven])

    def due(self, one, *, of="x", policy=None):
        """{reason: steps} where a boot is due, and where it is not."""
        found = {True: {}, False: {}}
        for step in range(9):
            said = (policy or self.policy).boot(lane(of, one), one, step)
            found[said.due].setdefault(said.why, []).append(step)
        return [{why: spans.spans(steps) for why, steps in found[word].items()} for word in (True, False)]

    def test_order(self):
        chosen = [lane("e", boot(), at="ends"), lane("x", boot()), lane("y", boot())]
        made = self.policy.plan(range(9), chosen)
        self.assertEqual([(p.steps, p.lanes, p.first) for p in made.phases],
                         [([8], ["x"], True), ([8], ["y"], True), ([8, 6, 3], ["e"], True),
                          ([7, 6, 5, 4, 3, 2, 1, 0], ["x", "y"], False)])
        self.assertEqual([c.step for c in made.idle], [0, 1, 2, 4, 5, 7])
        self.assertEqual([(c.step, c.lane) for c in made.cells],
                         [(step, name) for step in range(9) for name in "exy"])
        self.assertEqual(made.phases[0].cells[0].boots[0][1].why, "every step of the lane")
        made = self.policy.plan(range(9), [lane("e", boot(), at="last")])
        self.assertEqual([p.steps for p in made.phases], [[8]])
        self.assertEqual({c.due.why for c in made.idle},
                         {"the lane is due on the last step, and where a case of it is a proof"})
        made = self.policy.plan(range(9), [lane("x", boot(at="last"), at="last")])
        self.assertEqual([p.steps for p in made.phases], [[8, 5, 4]], "step 5 is proven by a case of it")
        forced = plan.Policy(self.series, [], forced=["e"]).plan([4, 5], [lane("e", boot(), at="ends")])
        self.assertEqual([(p.steps, p.lanes) for p in forced.phases], [([5], ["e"]), ([4], ["e"])])

    def test_a_lane_is_due_around_what_it_proves(self):
        made = self.policy.plan(range(9), [lane("x", boot(at="last"), boot(at="ends"), at="last"),
                                           lane("z", boot(), at="ends")])
        self.assertEqual([(p.steps, p.lanes) for p in made.phases], [([8, 6, 5, 4, 3], ["x", "z"])])
        self.assertEqual({c.step: c.due.why for c in made.cells if c.lane == "x" and c.due},
                         {8: "the last step", 4: "before and after a patch that a case of this lane proves",
                          5: "before and after a patch that a case of this lane proves"})

    def test_every_boot_is_due_for_a_reason_and_left_out_for_one(self):
        proves, ends = plan._PROOF, plan._ITS_ENDS  # pylint: disable=protected-access
        self.assertEqual(self.due(boot()), [{"every step of the lane": "0-8"}, {}])
        self.assertEqual(self.due(boot(at="ends")),
                         [{ends: "0,6,8", proves: "4-5"},
                          {"is due on the base, and at the end of topics and around patches that it proves":
                           "1-3,7"}])
        self.assertEqual(self.due(boot(at="last"))[0], {proves: "4-5", "the last step": "8"})
        self.assertEqual(self.due(boot(at="last"), of="y")[0], {"the last step": "8"})
        self.assertEqual(self.due(boot(topics=["c"]), of="y"),
                         [{ends: "0", "the steps of c": "7-8"},
                          {"is due in c, and at the end of topics and around patches that it proves":
                           "1-6"}])
        self.assertEqual(self.due(boot(at="last"), policy=plan.Policy(self.series, [], ["main"]))[0],
                         {"asked for by name": "0-8"})

    def test_own_selftests_run_where_they_can_tell(self):
        for directory, steps in (("vfio", [0, 3, 4, 5, 6, 7, 8]), ("iommu", [0, 3, 6, 7, 8])):
            self.assertEqual([k for k in range(9) if self.policy.own_selftests(directory, k)], steps)

    def test_a_lane_of_objects_that_has_nothing_to_build_is_no_command_away(self):
        objects = dataclasses.replace(lane("o"), builds="objects")
        ends = lane("e", boot(), at="ends")
        forced = plan.Policy(self.series, [], forced=("o",))
        said = {c.lane: Cell(c).judgements[0] for c in forced.plan([5], [objects, ends]).idle}
        self.assertEqual({name: (j.verdict, j.command) for name, j in said.items()}, {
            "o": (Verdict.SKIP, ""), "e": (Verdict.SKIP, "ci/run --lane e --step 5")})

    def test_a_topic_that_is_not_in_the_series_is_refused(self):
        with self.assertRaisesRegex(Failed, "^ci/lanes/y.toml: boot main: no topic 'd' in series; "
                                                "there are: a, b, c$"):
            self.policy.plan(range(9), [lane("y", boot(topics=["a", "d"]))])

    def test_text(self):
        kinds = {"unit": needs.Needs(("unit",), (), (), ("vfio",), True, False)}
        chosen = [lane("e", boot(), at="ends"), lane("x", boot(at="ends"))]
        text = plan_text.text(self.policy.plan(range(9), chosen), self.policy, kinds)
        for line in ("v7.3, 8 patches; steps 0-8 in e, x: 12 builds, 8 boots",
                     "  8 in x: the last step, which has all before it",
                     "  8, 6, 3 in e: the steps that they are due on, downwards",
                     "  7..0 in x: the steps before it, downwards",
                     "  build              on     3,6,8: the end of each topic",
                     "                     not on 0-2,4-5,7: the lane is due on the last step of each topic",
                     "  boot main          on     0,6,8: the base, the last step, and the end of a topic "
                     "that it is for",
                     "                     on     0,4-6,8: unit@step, where it differs from the last step's"):
            self.assertIn(line, text.splitlines())


class OwnSelftestsTest(unittest.TestCase):
    """The archives of a boot have the step's own selftests only where they are due."""

    def test_archives(self):
        made = guest.Guest.__new__(guest.Guest)
        made.lock, made.boots, made.trees = threading.RLock(), {}, mock.Mock()
        made.needs = {"vfio": needs.Needs((), (), (), ("vfio",), True, False)}
        differs = mock.Mock(return_value=True)
        with mock.patch.multiple(guest.Guest, base=lambda s: "base", scripts=lambda s, n: "scripts",
                                 selftests=lambda s, c, d, p: f"{p} of {c}", _differs=differs):
            self.assertEqual(made.archives("k", "last", ["vfio"]),
                             (["base", "scripts", "selftests of last", "selftests.step of k"],
                              ["vfio", "vfio@step"]))
            differs.reset_mock()
            self.assertEqual(made.archives("k", "last", ["vfio"], own=lambda d: d != "vfio"),
                             (["base", "scripts", "selftests of last"], ["vfio"]))
            differs.assert_not_called()  # nothing is built to know it


class StepRangeTest(unittest.TestCase):
    """One reader of K, K.., K..M and ..M for scripts/check and ci/run."""

    def test_words(self):
        for word, steps in (("4", [4]), ("4..", [4, 5]), ("2..4", [2, 3, 4]), ("5..5", [5])):
            self.assertEqual(list(series.step_range(word, 1, 5)), steps)
            self.assertEqual(list(series.step_range(word, 0, 5)), steps)
        self.assertEqual(list(series.step_range("..2", 0, 5)), [0, 1, 2])
        self.assertEqual(list(series.step_range("..2", 1, 5)), [1, 2])
        for word in ("", "..", "x", "1.", "1...2", "-1", "1..x", "a/0001-x.patch"):
            self.assertIsNone(series.step_range(word, 0, 5), word)
        for word in ("6", "0..6", "4..2", "..6"):
            with self.assertRaisesRegex(series.Failed, rf"^{word}: the series has the steps 0\.\.5"):
                series.step_range(word, 0, 5)

    def test_both_readers(self):
        patches = [series.Patch(k, "t", f"t/{k}", pathlib.Path("p")) for k in range(1, 6)]
        found = series.Series("v7.3", [], {"t": ""}, patches)
        self.assertEqual([p.step for p in series.select(found, ["4..", "..1"])], [1, 4, 5])
        self.assertEqual(list(session.step_range("4..", found)), [4, 5])
        self.assertEqual(list(session.step_range("..1", found)), [0, 1])
        for word, said in (("x", "--step x: not K, K.., K..M or ..M"),
                           ("6", "--step 6: the series has the steps 0..5")):
            with self.assertRaisesRegex(Failed, said):
                session.step_range(word, found)


class ScopeTest(unittest.TestCase):
    def test_a_boot_without_lanes_is_of_the_lanes_that_have_it(self):
        both = ("arm-display", "x86_64")
        for chosen, names in ((Scope(boots=("neighbour",)), both[:1]), (Scope(both), both),
                              (Scope(both, boots=("neighbour",)), both)):
            self.assertEqual([one.name for one in chosen.chosen_lanes(TOP)], [*names])
        with self.assertRaisesRegex(Failed, "no boot .swiotlbb.; there are: .*swiotlb"):
            Scope(boots=("swiotlbb",)).chosen_lanes(TOP)


class KeepTest(unittest.TestCase):
    def test_two_runs_fit_into_what_pruning_leaves(self):
        chosen = [lanes.read(TOP, name) for name in lanes.default(TOP)]
        found = series.read(TOP)
        cells = plan.Policy(found, proofs.read(TOP, found)).plan(range(series.last(found) + 1), chosen).cells
        images = [lane.name for lane in chosen if lane.builds == "image"]
        boots = sum(bool(due) for cell in cells for _, due in cell.boots)
        self.assertGreater(prune.KEEP["artifacts"], 1.5 * sum(bool(c.due) for c in cells if c.lane in images))
        self.assertGreater(prune.KEEP["logs"], 2 * (sum(bool(c.due) for c in cells) + 2 * boots))


class JobsTest(unittest.TestCase):
    def test_the_most_urgent_first(self):
        jobs, gate, ran = Jobs(1), threading.Event(), []
        jobs.submit((0.0,), gate.wait)
        made = [jobs.submit((phase, -seconds), ran.append, (phase, seconds))
                for phase, seconds in ((1, 5), (0, 3), (1, 9), (0, 400))]
        gate.set()
        for one in made:
            one.result()
        self.assertEqual(ran, [(0, 400), (0, 3), (1, 9), (1, 5)])
        self.assertRaises(ZeroDivisionError, jobs.submit((0,), lambda: 1 / 0).result)
        gate.clear()
        jobs.submit((0.0,), gate.wait)
        behind = jobs.submit((0.0,), ran.clear)
        threading.Timer(0.05, gate.set).start()
        jobs.all_begun()
        behind.result()
        self.assertEqual((gate.is_set(), ran), (True, []))
        jobs.close()


class DurationTest(unittest.TestCase):
    """How long a boot will take: as the last time, else its limit."""

    def test_seconds(self):
        with tempfile.TemporaryDirectory() as directory:
            kept = store.Store(pathlib.Path(directory))
            kept.put("boot", {"k": 1}, {"attempts": [{"seconds": 30.0}, {"seconds": 12.0}]}, "3/x/main")
            made = step_boot.Boots.__new__(step_boot.Boots)
            made.lane, made.work = lane("x"), mock.Mock(store=kept)
            made.work.name = lambda *words: "/".join(map(str, words))
            self.assertEqual(made.seconds(3, boot(seconds=400)), 42)
            self.assertEqual(made.seconds(4, boot(seconds=400)), 400)


class CostTest(unittest.TestCase):
    def test_what_this_run_made_is_counted_beside_the_budget(self):
        def judged(gate, seconds, cpu, cached=False, name="x"):
            return Judgement(1, name, gate, Verdict.PASS, seconds=seconds, cpu=cpu, cached=cached)
        made = [judged("build", 10, 18), judged("build", 20, 30), judged("build", 99, 99, cached=True),
                judged("boot:main", 40, 35), judged("diagnostics", 0, 0), judged("w1", 5, 0, name="static")]
        rows = cost.spent(made)
        self.assertEqual([(r.lane, r.gate, r.count, r.wall, r.cpu) for r in rows],
                         [("x", "build", 2, 30, 48), ("x", "boot:main", 1, 40, 35),
                          ("static", "w1", 1, 5, 0)])
        one = cost.Cost(rows, 60.0, 100.0, True, plan.DISK, 10)
        self.assertEqual(one.rest, 17)
        self.assertRegex("\n".join(one.lines()), r"cost: x build +2 +30 +48\n")
        self.assertRegex("\n".join(one.lines()),
                         r"cost: everything else +17\ncost: the whole run +60 +100\n")
        budget = 10 * plan.BUDGET_OF_A_PATCH
        self.assertEqual(f"within the budget of {budget} s CPU and 18 GiB: 100 s (floor: 83 s) and 18.0 GiB",
                         one.verdict)
        above = cost.Cost(rows, 60.0, budget + 5.0, True, 0, 10)
        self.assertRegex(above.verdict,
                         rf"^above the budget .*: {budget + 5} s \(floor: 83 s\) and 0\.0 GiB$")
        full = cost.Cost(rows, 60.0, 100.0, True, plan.DISK + 1, 10)
        self.assertRegex(full.verdict, "^above the budget ")
        self.assertEqual((one.data()["within"], above.data()["within"]), (True, False))
        part = cost.Cost(rows, 60.0, 9999.0, False, 0, 10)
        self.assertIn("which this was not", part.verdict)
        self.assertIsNone(part.data()["within"])


class EmptyTest(unittest.TestCase):
    def test_a_cache_with_verdicts_is_not_empty(self):
        for name, expected in (("linux.git", True), ("verdicts/steps", True), ("verdicts/build", False),
                               ("lanes/x", False)):
            with tempfile.TemporaryDirectory() as holder, self.subTest(name):
                (pathlib.Path(holder) / name).mkdir(parents=True)
                with mock.patch("lib.cache.directory", lambda: pathlib.Path(holder)):
                    self.assertEqual(cost.empty(), expected)


class RunTest(unittest.TestCase):
    """ci/run on the fake kernel."""

    def series(self):
        """A lane on every step and one at ends; two topics with what each comparison can find."""
        made = Fixture(lanes=("fake", "second"))
        self.addCleanup(made.close)
        (made.top / "kconfig-fragments/second.config").write_text("CONFIG_SECOND=y\n")
        second = made.top / "ci/lanes/second.toml"
        second.write_text('at = "ends"\n' + second.read_text().replace(
            '"fake.config"', '["fake.config", "second.config"]'))
        made.mend()
        (made.linux / "extra.c").write_text("int extra(void)\n{\n\tint unused;\n\treturn 0;\n}\n")
        git(made.linux, "add", "extra.c")
        makefile = made.linux / "Makefile"
        makefile.write_text(makefile.read_text() + "\n$(O)/extra.o: $(srctree)/extra.c\n\t@cd $(O) && "
                            "gcc -Wall -c -o extra.o $(srctree)/extra.c\n")
        made.patch("add a file that warns", "Makefile", "image: $(O)/main.o",
                   "image: $(O)/main.o $(O)/extra.o")
        made.patch("break the build", "main.c", "return 0;", "return 0")
        made.patch("mend the build", "main.c", "return 0\n", "int more;\n\treturn 0;\n", topic="more")
        made.patch("lose a case", "boot.sh", "1..2\nok 1 always\nok 2", "1..1\nok 1", topic="more")
        made.patch("comment", "main.c", "return 0;", "return 0; /* done */", topic="more")
        return made

    @staticmethod
    def told(made):
        """What the report says but for times, and which of equal boots was made."""
        data = json.loads((made.top / "out/results.json").read_text())
        judgements = [{k: v for k, v in j.items() if k not in ("seconds", "cpu", "cached")}
                      for j in data["judgements"]]
        return [re.sub(r"[0-9a-f]{32}", "KEY", text.replace(str(made.directory), ""))
                for text in (json.dumps(judgements, indent=1), made.table())]

    @slow
    def test_results_do_not_depend_on_the_order(self):
        made, ascending = self.series(), self.series()
        policy = ascending.top / "ci/harness/plan.py"
        policy.write_text(policy.read_text() + ASCENDING)
        code, text = made.run()
        self.assertEqual(code, 1, text)
        begun = [line.split("]")[1].split(":")[0].strip() for line in text.splitlines() if ": build " in line]
        self.assertEqual(begun, ["step 6 fake"] + [f"step {k} second" for k in (6, 3)]
                         + [f"step {k} fake" for k in range(5, -1, -1)])
        for answer in ("the series up to step 6 in fake: pass",
                       "the ends of topics (3, 6) in second: fail (step 3)"):
            self.assertIn(answer, text)
        _, other = ascending.run()
        self.assertIn("step 0 fake: build", other.split("step 1 fake: build")[0])
        self.assertNotIn("the ends of topics (", other)
        self.assertNotIn("the series up to", other)
        found, plain = self.told(made), self.told(ascending)
        for here, there in zip(found, plain, strict=True):
            self.assertEqual(here, there)
        said = [(j["step"], j["gate"], j["reason"]) for j in json.loads(found[0])
                if j["verdict"] == "fail" and j["lane"] == "fake"]
        self.assertEqual([s[:2] for s in said], [(2, "w1"), (3, "build"), (4, "w1"),
                                                 (5, "cases:main")])
        self.assertIn("extra.c", said[0][2])

    def test_plan_is_printed_and_nothing_runs(self):
        made = self.series()
        code, text = made.run("--plan", "--step", "3..", static=True)
        self.assertEqual(code, 0, text)
        self.assertTrue(text.startswith(
            "v7.3, 6 patches; steps 3-6 in fake, second: 6 builds, 6 boots\n"), text)
        self.assertIn("\n  6 in fake: the last step, which has all before it\n"
                      "  6, 3 in second: the steps that they are due on, downwards\n"
                      "  5..3 in fake: the steps before it, downwards\n", text)
        for words, said in ((["--plan", "--shell"], "give one of them"),
                            (["--plan"], "--no-static says how steps are judged; --plan judges nothing"),
                            (["--shell", "--shard", "1/2"], "--shard shares out the steps of a run")):
            code, text = made.run(*words)
            self.assertEqual((code, said in text), (1, True), text)
        path = next((made.top / "ci/lanes").glob("fake.toml"))
        path.write_text(path.read_text().replace('tests = ["unit"]', 'tests = ["unitt"]'))
        code, text = made.run("--plan", static=True)
        self.assertEqual(code, 1)
        self.assertIn("fake: boot main: no test 'unitt' in ci/guest/tests", text)
        self.assertFalse((made.directory / "cache").exists())
        self.assertFalse((made.top / "out").exists())

    @slow
    def test_cost_is_in_the_report(self):
        made = Fixture()
        self.addCleanup(made.close)
        made.mend()
        code, text = made.run()
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"\ncost: fake build +2 ")
        data = json.loads((made.top / "out/results.json").read_text())["cost"]
        self.assertEqual([(r["lane"], r["gate"], r["count"]) for r in data["spent"]],
                         [("fake", "build", 2), ("fake", "boot:main", 2)])
        self.assertGreater(data["cpu"], 0)
        self.assertFalse(data["complete_and_cold"])  # without the static gates
        self.assertIn(f"the budget of {plan.BUDGET_OF_A_PATCH * len(made.patches)} s CPU",
                      (made.top / "out/index.html").read_text())


if __name__ == "__main__":
    unittest.main()
