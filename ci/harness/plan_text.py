# SPDX-License-Identifier: GPL-2.0
"""The plan of a run for people: what ci/run --plan prints."""

from collections.abc import Iterator, Mapping, Sequence

from lib.lane import Boot
from lib.series import last

from .needs import Needs
from .plan import Due, Plan, Policy
from .spans import spans


def text(plan: Plan, policy: Policy, needs: Mapping[str, Needs]) -> str:
    """The plan for people: the order of builds, then lane by lane what is due where and why."""
    cells = plan.cells
    builds = sum(bool(c.due) for c in cells)
    boots = sum(bool(due) for c in cells for _, due in c.boots)
    lines = [f"{policy.series.base}, {last(policy.series)} patches; steps {spans(plan.steps) or '-'} in "
             f"{', '.join(lane.name for lane in plan.lanes)}: {builds} builds, {boots} boots", "",
             "order of builds:"]
    for phase in plan.phases:
        lines.append(f"  {_path(phase.steps)} in {', '.join(phase.lanes)}: {phase.title}")
    for lane in plan.lanes:
        of_lane = [c for c in cells if c.lane == lane.name]
        lines += ["", lane.name, *_rows("build", {c.step: c.due for c in of_lane})]
        for boot in policy.boots(lane):
            due = {c.step: dict(c.boots)[boot.name] for c in of_lane if c.due}
            lines += _rows(f"boot {boot.name}", due)
            lines += _own_rows(boot, [s for s, d in due.items() if d], policy, needs)
    return "\n".join(lines) + "\n"


def _rows(name: str, due: Mapping[int, Due]) -> Iterator[str]:
    """A row for each reason: where it is due, then where it is not."""
    for wanted, word in ((True, "on"), (False, "not on")):
        reasons: dict[str, list[int]] = {}
        for step, one in due.items():
            if one.due is wanted:
                reasons.setdefault(one.why, []).append(step)
        for why, steps in reasons.items():
            yield f"  {name:18} {word:6} {spans(steps)}: {why}"
            name = ""


def _own_rows(boot: Boot, steps: Sequence[int], policy: Policy,
              needs: Mapping[str, Needs]) -> Iterator[str]:
    """A row for each test that runs again with the step's own selftests."""
    for test in boot.tests:
        if test in needs and needs[test].step:
            own = [s for s in steps if policy.own(needs[test].selftests, s)]
            yield (f"  {'':18} on     {spans(own) or 'none'}: {test}@step, where it differs from "
                   "the last step's")


def _path(steps: Sequence[int]) -> str:
    """Steps in the order of their builds: "63, 40", "18..34, 36..39", "16..0"."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step - runs[-1][-1] in (1, -1) and \
                (len(runs[-1]) == 1 or step - runs[-1][-1] == runs[-1][-1] - runs[-1][-2]):
            runs[-1].append(step)
        else:
            runs.append([step])
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
