# SPDX-License-Identifier: GPL-2.0
"""Steps as ci/run judges them, with nothing kept that it was not there to see: for a measurement.

The same as `ci/run --no-static --lane NAME --step K..M --boot NAME` in the lane's own tree, but that
the verdicts are kept in a store of their own.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from lib import cache
from lib.command import CannotJudge, output
from lib.series import Series
from lib.usage import Meter, Usage
from lib.verdict import Judgement, Verdict

from . import compare
from .expectations import Expectations
from .lane_run import LaneRun
from .paths import Paths
from .plan import Policy
from .progress import Progress
from .runner import Run
from .trees import Trees
from .work import Work
from .workload import Workload


class Apart(Paths):
    """The paths of a run whose verdicts nobody else takes."""

    @property
    def store(self) -> pathlib.Path:
        return cache.directory() / "ktest-verdicts"

    def forget(self) -> None:
        """Remove the verdicts."""
        output(["rm", "-rf", self.store], timeout=600)


@dataclasses.dataclass(frozen=True)
class Judged:
    """What ci/run says of steps. judgements: all; usage: of the whole run."""

    judgements: tuple[Judgement, ...]
    usage: Usage

    @property
    def wrong(self) -> list[Judgement]:
        """Those that make a run fail, or say that it could not judge."""
        return [j for j in self.judgements if j.verdict in (Verdict.FAIL, Verdict.LOST)]


class OwnRun:
    """found, commits: the series and its steps; workload: of the measurement."""

    def __init__(self, workload: Workload, found: Series, commits: Sequence[str], expectations: Expectations,
                 show: Progress) -> None:
        self._workload, self._series, self._commits = workload, found, list(commits)
        self._expectations, self._show = expectations, show
        self._policy = Policy(found, expectations.proofs, [workload.boot.name], [workload.lane.name])

    def _work(self, commits: Sequence[str]) -> Work:
        paths = Apart()
        return Work(paths, Trees(paths), self._series, list(commits), self._policy, self._expectations,
                    self._show)

    def judge(self, steps: Sequence[int], faulty: str = "") -> Judged:
        """Judge steps. faulty: the commit that stands for the last of them, in place of its own."""
        meter = Meter()
        commits = self._commits.copy()
        if faulty:
            commits[steps[-1]] = faulty
        run = Run(self._work(commits), self._policy.plan(steps, [self._workload.lane]))
        cells = run.walk(lambda: None)
        found = [j for cell in cells for j in cell.judgements]
        for name, one in run.lanes.items():
            found += compare.still_there(self._policy, self._expectations, one.lane,
                                         [c for c in cells if c.lane == name], run.elsewhere)
        return Judged(tuple(found), meter.read())

    def clean(self, steps: Sequence[int]) -> Judged:
        """Judge steps that have to be good; CannotJudge where they are not."""
        judged = self.judge(steps)
        if wrong := judged.wrong:
            first = wrong[0]
            raise CannotJudge(f"step {first.step} {first.lane}: {first.gate} is {first.verdict.value} where "
                              f"nothing is seeded: {first.reason}; log: {first.log or '-'}; "
                              f"again: {first.command}")
        return judged

    def lane_run(self) -> LaneRun:
        """The lane, for its modules, its initramfs and its machine. CannotJudge where it cannot run here."""
        return LaneRun(self._workload.lane, self._work(self._commits))
