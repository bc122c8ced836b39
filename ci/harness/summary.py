# SPDX-License-Identifier: GPL-2.0
"""The table of the cover letter: how many steps of each topic were built, and booted, in each lane."""

from collections import Counter
from collections.abc import Sequence

from lib.verdict import Verdict

from .report import Report
from .spans import spans

_BASE = "the base"


def lines(report: Report) -> list[str]:
    """A head, a row per topic with "builds/boots" per lane, and what did not pass; text of at most 75
    columns for lanes of usual names."""
    rows = [[topic, spans(steps), *(_cell(report, steps, lane) for lane in report.lanes)]
            for topic, steps in _topics(report).items()]
    names = ["topic", "steps", *report.lanes]
    widths = [max(map(len, column)) for column in zip(names, *rows)]
    out = ["  ".join(f"{word:<{width}}" for word, width in zip(row, widths)).rstrip()
           for row in (names, *rows)]
    count = Counter(j.verdict for j in report.judgements)
    return [*out, "", ", ".join(f"{count[v]} {v.value}" for v in Verdict if count[v])]


def _topics(report: Report) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for step in report.steps:
        topic = report.series.patches[step - 1].topic if step else _BASE
        found.setdefault(topic, []).append(step)
    return found


def _cell(report: Report, steps: Sequence[int], lane: str) -> str:
    """What was built and booted; with those that did not pass, "12/3 (1 bad)"; "-" for nothing."""
    judged = [j for step in steps for j in report.of(step, lane) if j.verdict is not Verdict.SKIP]
    passed = [j for j in judged if j.verdict is Verdict.PASS]
    if not judged:
        return "-"
    builds = sum(j.gate == "build" for j in passed)
    boots = sum(j.gate.startswith("boot:") for j in passed)
    bad = len(judged) - len(passed)
    return f"{builds}/{boots}" + (f" ({bad} bad)" if bad else "")
