# SPDX-License-Identifier: GPL-2.0
"""What a run has cost, in seconds of CPU and wall time, beside its budget."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from lib import cache, usage
from lib.command import run
from lib.verdict import Judgement

from .plan import BUDGET_OF_A_PATCH, DISK


@dataclasses.dataclass(frozen=True)
class Spent:
    """What the judgements of a gate in a lane took that this run made; count: how many."""

    lane: str
    gate: str
    count: int
    wall: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """rows: what was spent on what; wall, cpu: of the whole run with all its commands, so that what
    no judgement counts is in them (test modules, selftests, git); judged: whether this was a
    complete run with an empty cache, for which the budget is; disk: bytes that the cache takes,
    0 where that is not judged; patches: how many the series has."""

    rows: tuple[Spent, ...]
    wall: float
    cpu: float
    judged: bool
    disk: int
    patches: int

    @property
    def budget(self) -> int:
        """CPU seconds that a complete run with an empty cache may take."""
        return BUDGET_OF_A_PATCH * self.patches

    @property
    def floor(self) -> float:
        """CPU seconds of the compilers and the guests: a run of the same builds and boots does not
        get below it."""
        return sum(row.cpu for row in self.rows if row.gate == "build" or row.gate.startswith("boot:"))

    @property
    def within(self) -> bool:
        """Whether the run kept within the budget."""
        return self.cpu <= self.budget and self.disk <= DISK

    @property
    def rest(self) -> float:
        """CPU seconds that no row has."""
        return max(self.cpu - sum(row.cpu for row in self.rows), 0.0)

    @property
    def verdict(self) -> str:
        """A sentence on the budget."""
        limits = f"the budget of {self.budget} s CPU and {DISK / 2**30:g} GiB"
        if not self.judged:
            return f"{limits} is for a complete run with an empty cache, which this was not"
        took = f"{self.cpu:.0f} s (floor: {self.floor:.0f} s) and {self.disk / 2**30:.1f} GiB"
        return f"{'within' if self.within else 'above'} {limits}: {took}"

    def table(self) -> list[tuple[str, str, str, str]]:
        """(what, how many, wall seconds, CPU seconds) of each row, of the rest and of the whole."""
        rows = [(f"{row.lane} {row.gate}", str(row.count), f"{row.wall:.0f}", f"{row.cpu:.0f}")
                for row in self.rows]
        return [*rows, ("everything else", "", "", f"{self.rest:.0f}"),
                ("the whole run", "", f"{self.wall:.0f}", f"{self.cpu:.0f}")]

    def lines(self) -> list[str]:
        """For table.txt; each line begins with "cost:"."""
        table = [("", "made", "wall s", "CPU s"), *self.table()]
        width = max(len(row[0]) for row in table)
        return [f"cost: {what:{width}} {count:>5} {wall:>7} {cpu:>7}" for what, count, wall, cpu in table] \
            + [f"cost: {self.verdict}"]

    def data(self) -> dict[str, Any]:
        """For results.json."""
        return {"spent": [dataclasses.asdict(row) for row in self.rows], "rest_cpu": round(self.rest, 1),
                "wall": round(self.wall, 1), "cpu": round(self.cpu, 1), "budget": self.budget,
                "floor": round(self.floor, 1), "disk": self.disk, "disk_budget": DISK,
                "complete_and_cold": self.judged, "within": self.within if self.judged else None}


def empty() -> bool:
    """Whether the cache has nothing that a lane was built or judged with."""
    return not any(path.is_dir() for path in (cache.lanes(), cache.store() / "build"))


def spent(judgements: Iterable[Judgement]) -> tuple[Spent, ...]:
    """What each gate took in each lane: of the judgements that this run made, and that took time."""
    rows: dict[tuple[str, str], Spent] = {}
    for j in judgements:
        if not j.cached and (j.seconds or j.cpu):
            old = rows.get((j.lane, j.gate), Spent(j.lane, j.gate, 0, 0.0, 0.0))
            rows[j.lane, j.gate] = Spent(j.lane, j.gate, old.count + 1, old.wall + j.seconds,
                                         old.cpu + j.cpu)
    return tuple(rows.values())


def measured(judgements: Iterable[Judgement], wall: float, judged: bool, patches: int) -> Cost:
    """The cost of this process and of all commands that it ran. wall: seconds since its start;
    patches: of the series."""
    disk = 0
    if judged:  # du ends with 1 where a file goes while it looks
        disk = int(run(["du", "-s", "--block-size=1", cache.directory()], check=False).stdout.split()[0])
    return Cost(spent(judgements), wall, usage.cpu(), judged, disk, patches)
