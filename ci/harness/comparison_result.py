# SPDX-License-Identifier: GPL-2.0
"""The result of the comparison with ktest.pl, as a text and as JSON values."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from lib.usage import Usage

from .defect import Defect
from .measure import aligned
from .workload import Workload


@dataclasses.dataclass(frozen=True)
class Word:
    """What one of the two says of a fault. noticed: that something is wrong; reason: what, or ""; usage: of
    its run; log: where to look, or ""."""

    noticed: bool
    reason: str
    usage: Usage
    log: str = ""


@dataclasses.dataclass(frozen=True)
class DefectRow:
    """A fault, and what ci/run and ktest.pl say of it."""

    defect: Defect
    own: Word
    ktest: Word


@dataclasses.dataclass(frozen=True)
class ComparisonResult:
    """floor, own, ktest: what all steps took; alarm: what ktest.pl said is wrong where nothing is, or "";
    done: the steps that it came to; jobs: of make; accelerator: what the boots run under, or ""."""

    workload: Workload
    release: str
    floor: Usage
    own: Usage
    ktest: Usage
    alarm: str
    done: int
    rows: Sequence[DefectRow]
    jobs: int
    accelerator: str

    @property
    def _counts(self) -> list[tuple[str, Usage, int]]:
        """(who, what it took, for how many steps)."""
        count = len(self.workload.steps)
        return [("make and one boot", self.floor, count), ("ci/run", self.own, count),
                ("ktest.pl", self.ktest, self.done)]

    def _spent(self) -> str:
        head = ["", "steps", "wall s", "CPU s", "wall s a step", "CPU s a step"]
        body = []
        for who, usage, count in self._counts:
            each = usage.each(count)
            body.append([who, str(count), f"{usage.wall:.0f}", f"{usage.cpu:.0f}", f"{each.wall:.1f}",
                         f"{each.cpu:.1f}"])
        return aligned([head, *body])

    def sentence(self) -> str:
        """What ci/run costs beside the least that a step can cost, and beside ktest.pl."""
        floor, own, ktest = [usage.each(count) for _, usage, count in self._counts]
        return (f"ci/run costs {own.wall:.1f} s a step ({own.cpu:.1f} s CPU), "
                f"{_times(own.wall, floor.wall)} what an incremental make and one boot cost "
                f"(CPU: {_times(own.cpu, floor.cpu)}), and {_times(own.wall, ktest.wall)} what ktest.pl "
                f"costs (CPU: {_times(own.cpu, ktest.cpu)}).")

    def _defects(self) -> str:
        head = ["fault in step " + str(self.workload.last), "ci/run", "ktest.pl", "what it is"]
        body = [[row.defect.name, _noticed(row.own), _noticed(row.ktest), row.defect.kind]
                for row in self.rows]
        own, ktest = ([getattr(row, who) for row in self.rows] for who in ("own", "ktest"))
        for name, words in (("noticed", [_share(own), _share(ktest)]),
                            ("wall s", [f"{_sum(w).wall:.0f}" for w in (own, ktest)]),
                            ("CPU s", [f"{_sum(w).cpu:.0f}" for w in (own, ktest)])):
            body.append([name, *words, ""])
        said = "".join(f"{row.defect.name}:\n  ci/run: {row.own.reason or 'nothing'}\n"
                       f"  ktest.pl: {row.ktest.reason or 'nothing'}\n" for row in self.rows)
        return f"{aligned([head, *body])}\n{said}"

    def _alarm(self) -> str:
        """What ktest.pl said of steps that are good, or ""."""
        last = self.workload.first + self.done - 1
        return f"ktest.pl stops at step {last}, where nothing is seeded: {self.alarm}\n" if self.alarm else ""

    def text(self) -> str:
        """All of it, for people."""
        workload = self.workload
        under = f", {self.accelerator}" if self.accelerator else ""
        parts = [f"ci/run beside ktest.pl of {self.release} (patchcheck, no sleeps): steps "
                 f"{workload.first}..{workload.last} of lane {workload.lane.name}, "
                 f"boot {workload.boot.name}\n"
                 f"make -j{self.jobs}{under}; both begin with the objects of step {workload.first - 1}\n",
                 self._spent(), self.sentence() + "\n",
                 self._alarm(), self._defects() if self.rows else ""]
        return "\n".join(part for part in parts if part)

    def data(self) -> dict[str, Any]:
        """All of it, as JSON values; seconds."""
        return {"steps": [self.workload.first, self.workload.last], "lane": self.workload.lane.name,
                "boot": self.workload.boot.name, "jobs": self.jobs, "accelerator": self.accelerator,
                "floor": dataclasses.asdict(self.floor), "ci/run": dataclasses.asdict(self.own),
                "ktest.pl": {**dataclasses.asdict(self.ktest), "steps": self.done, "alarm": self.alarm},
                "defects": [{"name": row.defect.name, "kind": row.defect.kind, "file": row.defect.file,
                             "ci/run": dataclasses.asdict(row.own), "ktest.pl": dataclasses.asdict(row.ktest)}
                            for row in self.rows]}


def _times(one: float, other: float) -> str:
    """How many times the other a value is."""
    return f"{one / other:.2f} times" if other else "- times"


def _noticed(word: Word) -> str:
    return "noticed" if word.noticed else "-"


def _share(words: Sequence[Word]) -> str:
    return f"{sum(word.noticed for word in words)} of {len(words)}"


def _sum(words: Sequence[Word]) -> Usage:
    return sum((word.usage for word in words), Usage())
