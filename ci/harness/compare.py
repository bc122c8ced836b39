# SPDX-License-Identifier: GPL-2.0
"""What a step's results say beside those of the step before: new diagnostics, cases that are gone.

Each comparison is of two steps that are both judged, in whichever order they were.
"""

import functools
from collections.abc import Mapping, Sequence

from lib.verdict import Judgement, Verdict

from . import diagnostics, regress
from .cell import Built, Cell, again
from .lane_run import LaneRun
from .work import Work


def new_diagnostics(lane: LaneRun, built: Mapping[int, Built], step: int) -> Judgement | None:
    """Whether a step has diagnostics that the step before has not; None where it was not built.

    built: of the lane's steps in this run.
    """
    here = built[step].good
    if here is None:
        return None
    name, log, said = lane.lane.name, here["log"], here["diagnostics"]
    if step == 0:
        return Judgement(step, name, "diagnostics", Verdict.SKIP,
                         f"the base adds nothing; it has {len(said)}", log, again(name, step))
    earlier = lane.work.policy.before(lane.lane, step)
    before = _before(lane, built, earlier)
    if before is None:
        return Judgement(step, name, "diagnostics", Verdict.SKIP,
                         "the step before was not built, nothing to compare with", log, again(name, step))
    added = diagnostics.new(before, said)
    return Judgement(step, name, "diagnostics", Verdict.FAIL if added else Verdict.PASS,
                     f"new: {'; '.join(added)}" if added else "", log, again(name, earlier, step))


def _before(lane: LaneRun, built: Mapping[int, Built], step: int) -> list[str] | None:
    """The diagnostics of a step, or of the last one before it that builds; None for unknown."""
    step = passed_over(lane, built, step)
    record = built[step].good if step in built else lane.builds.kept(step) if step >= 0 else None
    return record["diagnostics"] if record else None


def passed_over(lane: LaneRun, built: Mapping[int, Built], step: int) -> int:
    """The step itself, or where it does not build, the last one before it that does or is not in
    this run."""
    while step in built and built[step].good is None and not built[step].unknown:
        step = lane.work.policy.before(lane.lane, step)
    return step


def still_there(work: Work, lane: LaneRun, cells: Sequence[Cell]) -> list[Judgement]:
    """Whether the cases of each boot that passed are still there on the next step of the boot.

    cells: of the lane. The first step of the run is compared with the one before, if that was
    judged once.
    """
    judgements: list[Judgement] = []
    mine = {c.step: c for c in cells}
    for boot in work.policy.boots(lane.lane):
        history = {k: c.ran[boot.name] for k, c in mine.items() if boot.name in c.ran}
        if not history:
            continue
        first = min(history)
        earlier = [k for k in range(first) if k not in mine and work.policy.lane(lane.lane, k)
                   and work.policy.boot(lane.lane, boot, k)]
        if earlier and (ran := lane.ran(earlier[-1], boot)):
            history[earlier[-1]] = ran
        judgements += regress.judge(
            lane.lane.name, boot.name, history, first, work.expectations.proofs,
            work.expectations.reason_known,
            functools.partial(again, lane.lane.name, boot=boot.name))
    return judgements
