# SPDX-License-Identifier: GPL-2.0
"""What a run found, as a file beside its report that another machine can read and merge."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from lib import series
from lib.command import CannotJudge, Failed
from lib.store import digest, hash_tree, write_atomically
from lib.verdict import Judgement, Verdict

from . import cell_data
from .cell import Cell
from .plan import Plan
from .scope import Scope

FILE = "outcome.json"
# Raise when the meaning of the file changes.
VERSION = 1
# What judgements are made of besides the patches.
_OURS = ("ci/proofs.toml", "ci/known.toml", "ci/splats", "ci/lanes", "ci/guest", "kconfig-fragments")
# The judgements that no cell has, in the order of a report. apply: of the patches; cheap, costly: of
# the static gates; built: of sources that some lane must build. The cells stand before "costly".
PARTS = ("apply", "cheap", "mutants", "costly", "built")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """scope: the options of the run; steps: those it was to judge, runnable: those of them whose
    patches apply; what: identity(); base: the commit; parts: {name of PARTS: judgements}; cells: of
    the walk; needed: the cases of entries of ci/known.toml that excused something; accelerators:
    {lane: what it boots under}; wall, cpu: seconds that the run took."""

    scope: Scope
    steps: Sequence[int]
    runnable: Sequence[int]
    what: str
    base: str
    parts: dict[str, list[Judgement]]
    cells: Sequence[Cell]
    needed: Sequence[str]
    accelerators: dict[str, str]
    wall: float = 0.0
    cpu: float = 0.0

    def judgements(self, across: Sequence[Judgement]) -> list[Judgement]:
        """All judgements in the order of a report. across: those that need more than one cell."""
        found = [j for part in PARTS[:3] for j in self.parts[part]]
        found += [j for cell in self.cells for j in cell.judgements]
        found += self.parts["costly"]
        return found + [j for j in across if j.step in self.runnable]

    def write(self, directory: pathlib.Path) -> None:
        """Write FILE. Logs are named as on this machine: a report beside it has copies."""
        data = {"version": VERSION, "scope": self.scope.data(), "steps": list(self.steps),
                "runnable": list(self.runnable), "what": self.what, "base": self.base,
                "parts": {name: [j.data() for j in found] for name, found in self.parts.items()},
                "cells": [cell_data.data(cell) for cell in self.cells], "needed": list(self.needed),
                "accelerators": self.accelerators, "wall": round(self.wall, 1), "cpu": round(self.cpu, 1)}
        write_atomically(directory / FILE, json.dumps(data, separators=(",", ":")) + "\n")


def identity(top: pathlib.Path, found: series.Series) -> str:
    """A hex key of the patches, and of what says how they are judged."""
    return digest(found.base, [(p.name, p.content.hex()) for p in found.patches],
                  hash_tree(*(top / name for name in _OURS if (top / name).exists())))


def forget(directory: pathlib.Path) -> None:
    """Remove what an earlier run left there, so that nobody merges it for this one's."""
    (directory / FILE).unlink(missing_ok=True)


def read(directory: pathlib.Path) -> Outcome:
    """The outcome of the run whose report is in a directory; CannotJudge where there is none."""
    path = directory / FILE
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("version") != VERSION:
            raise CannotJudge(f"{path} is of another version of ci/run: repeat {_command(data)}")
        place = _place(directory)
        data |= {"scope": Scope.read(data["scope"]),
                 "parts": {name: [cell_data.judgement(j, place) for j in found]
                           for name, found in data["parts"].items()},
                 "cells": [cell_data.read(cell, place) for cell in data["cells"]]}
        return Outcome(**data)
    except FileNotFoundError:
        raise CannotJudge(f"{path} is missing: no ci/run came to its end there") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotJudge(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def _command(data: dict[str, Any]) -> str:
    try:
        return Scope.read(data["scope"]).command()
    except (KeyError, TypeError, AttributeError):
        return "ci/run"


def _place(directory: pathlib.Path) -> cell_data.Place:
    """Finds the logs and pictures that a report has copies of."""
    def place(path: str, name: str) -> str:
        copy = directory / "logs" / name
        return str(copy) if copy.is_file() else path
    return place


def merge(found: dict[str, Outcome], what: str, whole: Sequence[int], plan: Plan) -> Outcome:
    """The outcome of one run, put together from those of several.

    found: {directory: outcome}; what: identity() of this clone; whole: the steps of all machines;
    plan: of these. Failed where the outcomes do not belong together. The cells of a portion that is
    not among them are lost.
    """
    first = next(iter(found.values()))
    portions: dict[int, str] = {}
    for name, one in found.items():
        _belongs(name, one, next(iter(found)), first, what)
        number = one.scope.portion.number if one.scope.portion else 1
        if number in portions:
            raise Failed(f"{portions[number]} and {name} have the same steps: {one.scope.command()}")
        portions[number] = name
    ordered = [found[portions[number]] for number in sorted(portions)]
    steps = {step for one in ordered for step in one.steps}
    known: set[tuple[int, str, str]] = set()
    parts: dict[str, list[Judgement]] = {name: [] for name in PARTS}
    for name, j in ((name, j) for name in PARTS for one in ordered for j in one.parts[name]):
        # a patch that does not apply is told by each
        if (key := (j.step, j.lane, j.gate)) not in known:
            known.add(key)
            parts[name].append(j)
    parts["apply"].sort(key=lambda j: j.step)
    absent = [step for step in whole if step not in steps]
    cells = {(cell.step, cell.lane): cell for one in ordered for cell in one.cells}
    refused = [j.step for j in parts["apply"] if j.verdict is Verdict.FAIL]
    lost = _absent(plan, [k for k in absent if k < min(refused, default=k + 1)], first.scope, portions)
    order = [(cell.step, cell.lane) for cell in plan.cells]
    cells |= lost
    return Outcome(
        first.scope.all, list(whole), sorted({k for one in ordered for k in one.runnable}
                                             | {step for step, _ in lost}),
        what, first.base, parts, [cells[where] for where in order if where in cells],
        sorted({case for one in ordered for case in one.needed}),
        {lane: under for one in ordered for lane, under in one.accelerators.items()},
        max(one.wall for one in ordered), sum(one.cpu for one in ordered))


def _belongs(name: str, one: Outcome, first_name: str, first: Outcome, what: str) -> None:
    """Failed where an outcome is not of this clone, or not of the same run as the first."""
    if one.what != what:
        raise Failed(f"{name}: its verdicts are of other patches, tests or lanes than those of this clone; "
                     f"check out what it was made from, or repeat: {one.scope.command()}")
    if one.base != first.base:
        raise Failed(f"{name} was run on the base {one.base[:12]}, and {first_name} on "
                     f"{first.base[:12]}: run both on one")
    counts = [o.scope.portion.count if o.scope.portion else 1 for o in (first, one)]
    if one.scope.all != first.scope.all or counts[0] != counts[1]:
        raise Failed(f"{first_name} and {name} are no parts of one run: "
                     f"{first.scope.command()} and {one.scope.command()}")


def _absent(plan: Plan, steps: Sequence[int], scope: Scope,
            portions: dict[int, str]) -> dict[tuple[int, str], Cell]:
    """The cells of steps that no outcome has: lost."""
    count = scope.portion.count if scope.portion else 1
    left = [f"{number}/{count}" for number in range(1, count + 1) if number not in portions]
    why = f"not among the results; missing: shard {', '.join(left)}"
    found = {}
    for planned in plan.cells:
        if planned.step in steps:
            unable = Judgement(planned.step, planned.lane, "lane", Verdict.LOST, why,
                               command=f"{scope.all.command()} --shard {left[0]}" if left else "ci/run")
            found[planned.step, planned.lane] = Cell(planned, unable=unable if planned.due else None)
    return found
