# SPDX-License-Identifier: GPL-2.0
"""What a step's results say beside those of the step before: new diagnostics, cases that are gone.

Each comparison is of two steps that are both judged, in whichever order they were.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from lib.kernel.record import Said
from lib.lane import Boot, Lane
from lib.verdict import Judgement, Verdict

from . import added, coverage, regress
from .cell import Built, Cell, again
from .expectations import Expectations
from .lane_run import LaneRun
from .plan import Policy
from .work import Work

# (lane, step, boot) of a step that a run does not judge: what others found, None where nobody did.
Elsewhere = Callable[[str, int, Boot], regress.Ran | None]


def new_diagnostics(lane: LaneRun, built: Mapping[int, Built], step: int) -> tuple[Judgement, ...]:
    """Whether a step has diagnostics that the step before has not; none where it was not built.

    built: of the lane's steps in this run.
    """
    here = built[step].good
    if here is None:
        return ()
    earlier = lane.work.policy.before(lane.lane, step)
    return tuple(added.judge(lane.builds.builder, step, _before(lane, built, earlier),
                             here["diagnostics"], str(lane.work.paths.log(here["log"])),
                             lane.builds.no_sparse, earlier,
                             functools.partial(again, lane.lane.name)))


def _before(lane: LaneRun, built: Mapping[int, Built], step: int) -> Said | None:
    """The diagnostics of a step, or of the last one before it that builds; None for unknown."""
    step = passed_over(lane, built, step)
    record = built[step].good if step in built else lane.builds.kept(step, ()) if step >= 0 else None
    return record["diagnostics"] if record else None


def passed_over(lane: LaneRun, built: Mapping[int, Built], step: int) -> int:
    """The step itself, or where it does not build, the last one before it that does or is not in
    this run."""
    while step in built and built[step].good is None and not built[step].unknown:
        step = lane.work.policy.before(lane.lane, step)
    return step


def still_there(policy: Policy, expectations: Expectations, lane: Lane, cells: Sequence[Cell],
                elsewhere: Elsewhere) -> list[Judgement]:
    """Whether the cases of each boot that passed are still there on the next step of the boot.

    cells: of the lane. A step whose predecessors are no part of this run is compared with what
    other runs judged of them.
    """
    judgements: list[Judgement] = []
    mine = {c.step: c for c in cells}
    for boot in policy.boots(lane):
        history = {k: c.ran[boot.name] for k, c in mine.items() if boot.name in c.ran}
        earlier: dict[int, regress.Ran] = {}
        for step in history:
            due = (k for k in range(step - 1, -1, -1) if k in history or k not in mine and
                   policy.lane(lane, k) and policy.boot(lane, boot, k))
            earlier |= _earlier(due, history.keys(), functools.partial(elsewhere, lane.name), boot)
        judgements += regress.judge(
            lane.name, boot.name, earlier | history, history.keys(), expectations.proofs,
            expectations.excuse, functools.partial(again, lane.name, boot=boot.name))
    return judgements


def _earlier(due: Iterable[int], ran_on: Collection[int],
             elsewhere: Callable[[int, Boot], regress.Ran | None], boot: Boot) -> dict[int, regress.Ran]:
    """What other runs judged of a boot below a step: {step: Ran}, back to where it was good.

    due: the steps below it that the boot is due on, downwards, without those of this run that it did
    not run on; ran_on: those that it ran on, before which it is not looked for.
    """
    found: dict[int, regress.Ran] = {}
    for k in due:
        if k in ran_on:
            break
        if ran := elsewhere(k, boot):
            found[k] = ran
            if ran.good and not ran.idle:
                break
    return found


def covered(work: Work, steps: Collection[int], cells: Iterable[Cell]) -> list[Judgement]:
    """Whether each source that a patch touches is built in some lane."""
    built: dict[int, set[str]] = {step: set() for step in steps}
    unjudged: dict[int, set[str]] = {}
    for cell in cells:
        if cell.record:
            built[cell.step] |= set(cell.record["sources"])
        elif any(j.verdict is not Verdict.SKIP for j in cell.judgements):
            unjudged.setdefault(cell.step, set()).add(cell.lane)
    return coverage.judge(work.series, work.commits, built, unjudged, work.expectations.proofs)
