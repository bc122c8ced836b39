# SPDX-License-Identifier: GPL-2.0
"""Read what guest benchmarks measured, and compare two steps.

A benchmark prints one line per repetition, among its KTAP:

    # measured NAME CALLS VALUE [UNIT]

VALUE is for all CALLS together, in instructions where UNIT is left out. With
"# compared NAME OTHER" it asks for NAME / OTHER, both measured in the same boot.

A measurement must not be greater than on the earlier step, unless the benchmark prints
"# allowed NAME RATIO": it may then be up to RATIO times as great, or have any value where
RATIO is the word "any". The later step's benchmark decides.
"""

import dataclasses
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.command import CannotJudge
from lib.verdict import Verdict

# Fewer repetitions tell no spread.
LEAST_REPETITIONS = 3
# Of so many, one may be disturbed, as by work that the kernel had put off.
MANY_REPETITIONS = 5
# The spread, as a part of the median, beyond which a median says nothing.
MOST_SPREAD = 0.01

_LINE = re.compile(r"\s*# ((?:measured|compared|allowed)\b.*)$")
_MEASURED = re.compile(r"measured (\S+) (\d+) (\d+)(?: (\S+))?$")
_COMPARED = re.compile(r"compared (\S+) (\S+)$")
_ALLOWED = re.compile(r"allowed (\S+) ([1-9]\d*(?:\.\d+)?|any)$")


def lines(text: str) -> list[str]:
    """The lines of a test's output that are ours, without the "# "."""
    return [m.group(1).strip() for m in map(_LINE.match, text.splitlines()) if m]


@dataclasses.dataclass(frozen=True)
class Samples:
    """The repetitions of one measurement, a call each: values in the unit; allowed: how
    many times the earlier step's."""

    unit: str
    values: list[float]
    allowed: float = 1.0

    @property
    def median(self) -> float:
        """Of the repetitions."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """From the least to the largest value; of MANY_REPETITIONS or more, without the one
        that most widens it."""
        ordered = sorted(self.values)
        if len(ordered) < MANY_REPETITIONS:
            return ordered[-1] - ordered[0]
        return min(ordered[-2] - ordered[0], ordered[-1] - ordered[1])

    def trouble(self) -> str:
        """Why this says nothing, or ""."""
        if len(self.values) < LEAST_REPETITIONS:
            return f"{len(self.values)} repetitions, at least {LEAST_REPETITIONS} are needed"
        if self.spread > MOST_SPREAD * self.median:
            return (f"the repetitions differ by {self.spread:.2f} {self.unit}, more than "
                    f"{MOST_SPREAD:.0%}")
        return ""


def read(found: Iterable[str]) -> tuple[dict[str, Samples], list[tuple[str, str]]]:
    """Lines as lines() gives them: ({name: Samples}, [(name, other)]); CannotJudge for a
    line that is none."""
    measured: dict[str, Samples] = {}
    compared: list[tuple[str, str]] = []
    allowed: dict[str, float] = {}
    for line in found:
        if match := _MEASURED.match(line):
            name, calls, value, unit = match.groups(default="instructions")
            if not int(calls):
                raise CannotJudge(f"a measurement of no calls: {line}")
            samples = measured.setdefault(name, Samples(unit, []))
            if samples.unit != unit:
                raise CannotJudge(f"{name} is measured in {samples.unit} and in {unit}")
            samples.values.append(int(value) / int(calls))
        elif match := _COMPARED.match(line):
            compared.append((match[1], match[2]))
        elif match := _ALLOWED.match(line):
            name, ratio = match.groups()
            allowed[name] = math.inf if ratio == "any" else float(ratio)
        else:
            raise CannotJudge(f"not a measurement: {line}")
    for name in [name for pair in compared for name in pair]:
        if name not in measured:
            raise CannotJudge(f"{name} is compared but not measured")
    for name, ratio in allowed.items():
        if name not in measured:
            raise CannotJudge(f"{name} is allowed but not measured")
        measured[name] = dataclasses.replace(measured[name], allowed=ratio)
    return measured, compared


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement on two steps; before or after is None where it was not made."""

    name: str
    before: Samples | None
    after: Samples | None

    @property
    def ratio(self) -> float | None:
        """after / before; None where that is nothing."""
        if self.before and self.after and self.before.median:
            return self.after.median / self.before.median
        return None

    def data(self) -> dict[str, Any]:
        """What a plot needs, as JSON values: the medians and the ratio, null where there is none."""
        verdict, reason = self.judge()
        samples = self.after or self.before
        return {"name": self.name, "before": self.before and self.before.median,
                "after": self.after and self.after.median, "ratio": self.ratio,
                "unit": samples.unit if samples else "", "verdict": verdict.value, "reason": reason}

    def judge(self) -> tuple[Verdict, str]:
        """(Verdict, reason): not dearer than before, within the larger of the two spreads
        or within what is allowed."""
        if not self.after:
            return Verdict.LOST, "not measured on the later step"
        if why := self.after.trouble():
            return Verdict.LOST, why
        if not self.before:
            return Verdict.SKIP, "not measured on the earlier step"
        if why := self.before.trouble():
            return Verdict.LOST, why
        if self.before.unit != self.after.unit:
            return Verdict.LOST, f"first in {self.before.unit}, then in {self.after.unit}"
        allowed = self.after.allowed
        if math.isinf(allowed):
            return Verdict.PASS, "only stated"
        words = [f"{allowed:g} times are allowed"] if allowed > 1 else []
        more = self.after.median - self.before.median
        most = max(self.before.spread, self.after.spread, (allowed - 1) * self.before.median)
        # a millionth, for the division by the calls
        if more > most + 1e-6:
            return Verdict.FAIL, ", ".join([f"{more:.2f} {self.after.unit} more a call", *words])
        return Verdict.PASS, ", ".join(words)


def compare(before: Mapping[str, Samples], after: Mapping[str, Samples]) -> list[Row]:
    """The rows of two steps' measurements, in the order of the later one."""
    names = [*after, *(name for name in before if name not in after)]
    return [Row(name, before.get(name), after.get(name)) for name in names]


def _cells(samples: Samples | None) -> list[str]:
    if not samples:
        return ["-", ""]
    return [f"{samples.median:.2f}", f"{min(samples.values):.2f}..{max(samples.values):.2f}"]


def table(rows: Sequence[Row], titles: Sequence[str]) -> str:
    """The rows as text; titles: what the two steps are called."""
    head = ["measurement", titles[0], "(min..max)", titles[1], "(min..max)", "ratio", "unit", ""]
    body = []
    for row in rows:
        verdict, reason = row.judge()
        samples = row.after or row.before
        body.append([row.name, *_cells(row.before), *_cells(row.after),
                     f"{row.ratio:.4f}" if row.ratio is not None else "-",
                     samples.unit if samples else "",
                     verdict.value + (f": {reason}" if reason else "")])
    return aligned([head, *body])


def comparisons(measured: Mapping[str, Samples], compared: Sequence[tuple[str, str]]) -> str:
    """The pairs a benchmark asked for, as text: [(name, other)] of one boot."""
    head = ["in one boot", "", "against", "", "ratio"]
    body = [[name, f"{measured[name].median:.2f}", other, f"{measured[other].median:.2f}",
             f"{measured[name].median / measured[other].median:.4f}"
             if measured[other].median else "-"] for name, other in compared]
    return aligned([head, *body]) if body else ""


def aligned(table_rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*table_rows)]
    text = ""
    for row in table_rows:
        cells = [cell.rjust(width) if re.match(r"[-\d.(]", cell) else cell.ljust(width)
                 for cell, width in zip(row, widths)]
        text += "  ".join(cells).rstrip() + "\n"
    return text
