# SPDX-License-Identifier: GPL-2.0
"""What ci/mutate reports: a table of numbers, each mutant that was not caught, and all as JSON."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib.command import shell
from lib.series import slug

from .mutation import Detection, Result

_COLUMNS = ("listed", "generated", "caught", "missed", "equivalent", "lost")
_LIMIT = 90  # columns of a reason in a line


def _count(results: Sequence[Result]) -> dict[str, int]:
    """The numbers of a row; a generated mutant that does not compile is none."""
    found = Counter(r.outcome.value for r in results)
    kinds = Counter("generated" if r.mutant.operator else "listed" for r in results
                    if r.outcome is not Detection.UNCOMPILED)
    return {name: found[name] + kinds[name] for name in _COLUMNS}


def _rows(head: str, groups: Mapping[str, Sequence[Result]], every: Sequence[Result]) -> list[str]:
    """A table of numbers: a row for each group, and one for all."""
    rows = {**{name: _count(found) for name, found in groups.items()}, "all": _count(every)}
    width = max(len(name) for name in [head, *rows])
    lines = [f"{head:<{width}}" + "".join(f"  {c:>10}" for c in _COLUMNS) + "      caught"]
    for name, row in rows.items():
        judged = row["caught"] + row["missed"]
        part = f"{100 * row['caught'] / judged:.0f} %" if judged else "-"
        lines.append(f"{name:<{width}}" + "".join(f"  {row[c]:>10}" for c in _COLUMNS) + f"  {part:>10}")
    return lines


def _grouped(results: Sequence[Result], key: Callable[[Result], str]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(key(one), []).append(one)
    return found


class Score:
    """results: of all mutants, in the order of the report; texts: of their files, without a
    fault; base, seed, sample: what the run was asked for."""

    def __init__(self, results: Sequence[Result], texts: Mapping[str, str], base: str, seed: str,
                 sample: int) -> None:
        self.results, self.texts = list(results), texts
        self.base, self.seed, self.sample = base, seed, sample

    def of(self, outcome: Detection) -> list[Result]:
        """The results with an outcome."""
        return [r for r in self.results if r.outcome is outcome]

    @property
    def exit_code(self) -> int:
        """0 all caught or equivalent, 1 some missed, 125 some could not be judged."""
        return 1 if self.of(Detection.MISSED) else 125 if self.of(Detection.LOST) or not self.results else 0

    def table(self) -> str:
        """The numbers by topic, operator and gate; then each mutant that no boot noticed."""
        topics = _grouped(self.results, lambda r: r.mutant.patch.topic)
        lines = _rows("topic", topics, self.results)
        if made := _grouped([r for r in self.results if r.mutant.operator], lambda r: r.mutant.operator):
            lines += ["", *_rows("operator", dict(sorted(made.items())), sum(made.values(), []))]
        lines += ["", *self._gates(), *self._cost()]
        for outcome in (Detection.MISSED, Detection.EQUIVALENT, Detection.LOST):
            for one in self.of(outcome):
                lines += self._told(one)
        return "\n".join(lines) + "\n"

    def _gates(self) -> list[str]:
        """Which gate caught how many, and which boots."""
        caught = self.of(Detection.CAUGHT)
        gates = Counter(r.gate for r in caught)
        boots = Counter(r.where for r in caught if "/" in r.where)
        said = [f"caught by {gate}: {count}" for gate, count in gates.most_common()]
        return said + [f"caught in {boot}: {count}" for boot, count in boots.most_common()]

    def _cost(self) -> list[str]:
        judged = [r for r in self.results if r.cpu]
        flaky = [r for r in self.results if r.flaky]
        skipped = len(self.of(Detection.UNCOMPILED))
        lines = [f"{sum(r.cpu for r in judged) / len(judged):.0f} CPU seconds a mutant, of "
                 f"{len(judged)}"] if judged else []
        if skipped:
            lines.append(f"{skipped} generated mutants do not compile, and do not count")
        return lines + [f"noticed once in two times, which does not count: {r.mutant.name}: {said}"
                        for r in flaky for said in r.flaky]

    def _told(self, one: Result) -> list[str]:
        mutant = one.mutant
        lines = [f"{one.outcome.value}: {mutant.name}: {mutant.file}:{mutant.line}: {one.reason}",
                 f"      patch: {mutant.patch.name}"]
        lines += [f"      why: {mutant.why}"] if mutant.why else []
        if one.outcome is not Detection.EQUIVALENT:
            lines += [f"      again: {shell(['ci/mutate', '--again', mutant.name])}"]
        return lines + [f"      | {line}" for line in mutant.diff(self.texts[mutant.file]).splitlines()
                        if not line.startswith("@@")]

    def data(self) -> str:
        """All of it as JSON."""
        return json.dumps({"base": self.base, "seed": self.seed, "sample": self.sample,
                           "mutants": [self._one(r) for r in self.results]}, indent=1) + "\n"

    def _one(self, one: Result) -> dict[str, Any]:
        mutant = one.mutant
        return {"name": mutant.name, "source": "generated" if mutant.operator else "listed",
                "operator": mutant.operator, "topic": mutant.patch.topic, "patch": slug(mutant.patch),
                "file": mutant.file, "line": mutant.line, "why": mutant.why, "case": mutant.case,
                "edits": [dataclasses.asdict(edit) for edit in mutant.edits],
                "outcome": one.outcome.value, "gate": one.gate, "where": one.where, "reason": one.reason,
                "cases": one.cases, "boots": one.boots, "flaky": one.flaky, "log": one.log,
                "seconds": round(one.seconds, 1), "cpu": round(one.cpu, 1), "kept": not one.made,
                "command": shell(["ci/mutate", "--again", mutant.name])}


def line(result: Result) -> str:
    """A result in a line, for the progress."""
    how = {Detection.CAUGHT: f" by {result.gate} in {result.where}"}.get(result.outcome, "")
    said = result.reason if len(result.reason) <= _LIMIT else f"{result.reason[:_LIMIT]}..."
    return f"{result.outcome.value}{how}: {result.mutant.name}" + (f": {said}" if said else "") \
        + ("" if result.made or result.outcome is Detection.EQUIVALENT else " (kept)")
