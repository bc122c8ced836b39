# SPDX-License-Identifier: GPL-2.0
"""The walk over the plan: builds in its order, boots beside them."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterable

from lib import lane as lanes
from lib import process
from lib.command import CannotJudge, Failed
from lib.verdict import Judgement, Verdict, worst

from . import accelerator, compare
from .cell import Booted, Built, Cell, again
from .jobs import Jobs
from .lane_run import LaneRun
from .plan import CellPlan, Phase, Plan
from .regress import Ran
from .spans import spans
from .work import Work, ends_the_run

Boot = concurrent.futures.Future[Booted | None]


class Run:
    """A plan that is carried out. unable: why lanes cannot run here, by name; accelerators:
    what the others boot under."""

    def __init__(self, work: Work, plan: Plan) -> None:
        self.work, self.plan = work, plan
        self.lanes: dict[str, LaneRun] = {}
        self.unable: dict[str, str] = {}
        self._built: dict[str, dict[int, Built]] = {lane.name: {} for lane in plan.lanes}
        self._compared: dict[tuple[str, int], tuple[Judgement, ...]] = {}
        self._boots: dict[tuple[str, int], list[Boot]] = {}
        self._prepared: dict[str, concurrent.futures.Future[None]] = {}
        for lane in plan.lanes:
            try:
                self.lanes[lane.name] = LaneRun(lane, work)
            except Failed:
                raise
            except Exception as error:  # pylint: disable=broad-except
                self._cannot(lane.name, error)
        self.accelerators = {name: run.boots.accelerator for name, run in self.lanes.items()
                             if run.lane.boots and run.boots.accelerator}
        for said in accelerator.sentences(self.accelerators):
            work.progress.note(said)

    def _cannot(self, name: str, error: Exception) -> None:
        """Note that a lane cannot run here: it is LOST, and the others run. What ends the whole run
        is raised."""
        if ends_the_run(error):
            raise error
        said = str(error) if isinstance(error, (CannotJudge, FileNotFoundError)) else \
            f"{type(error).__name__}: {error}"
        self.lanes.pop(name, None)
        self.unable[name] = " ".join(said.split())
        self.work.progress.note(f"lane {name} cannot run here: {self.unable[name]}")

    def walk(self, beside: Callable[[], None]) -> list[Cell]:
        """Build every step in every lane, boot what built; returns the cells, step by step.
        beside: begins what else runs beside the walk; called when nothing of a first answer waits.

        Builds go one after the other with all cores, in the order of the plan; boots of finished
        steps run beside them, one a core and one more, since they wait a lot: those of an
        earlier phase first, of one phase the longest first. The boots of a first answer are all
        begun before other steps are built. A failing step does not end the walk, nor does a lane
        that cannot run. Where the walk is interrupted, what runs is ended and nothing else begins.
        """
        jobs = Jobs(self.work.jobs + 1)
        try:
            self._prepared = {name: jobs.submit((-1.0,), self._prepare, name) for name in list(self.lanes)}
            watchers = []
            phases = list(enumerate(self.plan.phases))
            answer = sum(phase.first for _, phase in phases)
            for number, phase in phases[:answer]:
                watchers.append(self._phase(number, phase, jobs))
                jobs.all_begun()
            beside()
            for number, phase in phases[answer:]:
                watchers.append(self._phase(number, phase, jobs))
            for lane in list(self.lanes.values()):
                self._lend(lane)
            for boots in self._boots.values():
                for boot in boots:
                    boot.result()
        except BaseException:
            jobs.drop()
            process.kill_all()
            raise
        jobs.close()
        for watcher in watchers:
            watcher.join()
        return [self._cell(planned) for planned in self.plan.cells]

    def _prepare(self, name: str) -> None:
        """Make what the boots of a lane share, beside the first builds; where that cannot be, the
        lane cannot run here. Where a file of the series or of ours is wrong, such as a selftest that
        does not build, each boot that needs it says so."""
        lane = self.lanes[name]
        steps = [c.step for c in self.plan.cells if c.lane == name and c.due]
        try:
            for boot in self.work.policy.boots(lane.lane) if steps else []:
                lane.boots.parts(steps[-1], boot)
        except Failed:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self._cannot(name, error)

    def _phase(self, number: int, phase: Phase, jobs: Jobs) -> threading.Thread:
        """Build the cells of a phase and let their boots wait; returns what reports their end."""
        for planned in phase.cells:
            if self.work.broken:
                raise self.work.broken
            if lane := self.lanes.get(planned.lane):
                self._begin(number, planned, lane, jobs)
            else:
                self.work.progress.end(None, cell=True)
        watcher = threading.Thread(target=self._watch, args=(phase,), daemon=True)
        watcher.start()
        return watcher

    def _begin(self, number: int, planned: CellPlan, lane: LaneRun, jobs: Jobs) -> None:
        """Build a cell, compare what can be compared, let its boots wait."""
        step = planned.step
        due = {name for name, one in planned.boots if one}
        boots = [b for b in lane.lane.boots if b.name in due]
        built = self._built[planned.lane][step] = lane.build(step, boots)
        self._prepared[planned.lane].result()
        if planned.lane in self.unable:
            self.work.progress.end(None, cell=True)
            return
        self._compare(lane)
        self._boots[planned.lane, step] = futures = [
            jobs.submit((number, -lane.boots.seconds(step, boot)), lane.boot, step, boot, built)
            for boot in boots if built.image]
        threading.Thread(target=self._count, args=(futures,), daemon=True).start()

    def _compare(self, lane: LaneRun) -> None:
        """Compare the diagnostics of each step of a lane whose step before is there by now."""
        name, built = lane.lane.name, self._built[lane.lane.name]
        planned = self._planned(name)
        for step in sorted(planned & built.keys()):
            before = self._before(lane, step)
            if (name, step) not in self._compared and (
                    before in built or before not in planned and not self._lends(lane, before)):
                found = self._compared[name, step] = compare.new_diagnostics(lane, built, step)
                for one in found:
                    if one.verdict is Verdict.FAIL:
                        self.work.progress.note(f"step {step} {name}: {one.gate} fail: {one.reason}")

    def _planned(self, name: str) -> set[int]:
        """The steps that a lane is built on."""
        return {c.step for phase in self.plan.phases for c in phase.cells if c.lane == name}

    def _before(self, lane: LaneRun, step: int) -> int:
        """The step that a step of a lane is compared with, as far as is known by now; below 0 for none."""
        return compare.passed_over(lane, self._built[lane.lane.name],
                                   self.work.policy.before(lane.lane, step))

    def _lends(self, lane: LaneRun, step: int) -> bool:
        """Whether a step is built that another machine judges, if a step here is compared with it."""
        return step in self.work.lent and bool(self.work.policy.lane(lane.lane, step))

    def _lend(self, lane: LaneRun) -> None:
        """Build the steps that steps of this run are compared with and that another machine judges:
        one, or where that does not build, the ones before it."""
        name, built = lane.lane.name, self._built[lane.lane.name]
        while True:
            wanted = {self._before(lane, step) for step in self._planned(name) & built.keys()
                      if (name, step) not in self._compared} - built.keys()
            if not (lent := [step for step in wanted if self._lends(lane, step)]):
                return
            if self.work.broken:
                raise self.work.broken
            for step in sorted(lent, reverse=True):
                built[step] = lane.build(step, [])
            self._compare(lane)

    def _count(self, boots: list[Boot]) -> None:
        concurrent.futures.wait(boots)
        self.work.progress.end(None, cell=True)

    def _watch(self, phase: Phase) -> None:
        """Report what a phase says that is a first answer, unless it is the whole run."""
        cells = [c for c in phase.cells if c.lane in self.lanes]
        boots = [b for c in cells for b in self._boots[c.lane, c.step]]
        concurrent.futures.wait(boots)
        if not phase.first or not cells or len(self.plan.phases) == 1 or any(b.exception() for b in boots):
            return
        said = [j for c in cells for j in self._cell(c).judgements if j.verdict is not Verdict.SKIP]
        bad = sorted({j.step for j in said if j.verdict is not Verdict.PASS})
        steps = sorted(phase.steps)
        what = f"the series up to step {steps[0]}" if len(steps) == 1 else \
            f"the ends of topics ({', '.join(map(str, steps))})"
        self.work.progress.note(
            f"{what} in {', '.join(phase.lanes)}: "
            f"{worst(j.verdict for j in said).value}" + (f" (step {spans(bad)})" if bad else ""))

    def _cell(self, planned: CellPlan) -> Cell:
        """The cell of what was planned, when its boots have ended."""
        name, step = planned.lane, planned.step
        if planned.due and name in self.unable:
            return Cell(planned, self._built[name].get(step), self._compared.get((name, step), ()),
                        unable=Judgement(step, name, "lane", Verdict.LOST, self.unable[name],
                                         command=again(name, step)))
        if not planned.due:
            return Cell(planned)
        made = {b.boot: b for f in self._boots[name, step] if (b := f.result())}
        return Cell(planned, self._built[name][step], self._compared.get((name, step), ()),
                    tuple(made[boot] for boot, _ in planned.boots if boot in made))

    def elsewhere(self, lane: str, step: int, boot: lanes.Boot) -> Ran | None:
        """A boot on a step that this run does not judge, where the store has it."""
        return self.lanes[lane].ran(step, boot)

    def covered(self, cells: Iterable[Cell]) -> list[Judgement]:
        """Whether each source that a patch touches is built in some lane."""
        return compare.covered(self.work, self.plan.steps, cells)
