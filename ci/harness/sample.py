# SPDX-License-Identifier: GPL-2.0
"""Generated mutants: what the operators make of the lines that the series adds.

The order in which they are drawn depends on a seed and on the code alone: neither on the
machine, nor on where in the file a line is. A line is drawn again only when all others were.
"""

import bisect
import hashlib
from collections import Counter
from collections.abc import Mapping

from lib.series import Patch

from . import operators
from .addition import Additions
from .edits import Edit
from .mutant import Mutant
from .operators import Change


def of_file(file: str, additions: Additions) -> list[Mutant]:
    """All generated mutants of a file, by place."""
    text, lines = additions.text(file), additions.lines(file)
    if not lines:
        return []
    starts = [0] + [at + 1 for at, letter in enumerate(text) if letter == "\n"]
    names: Counter[str] = Counter()
    found = []
    for change in operators.changes(text):
        line = bisect.bisect_right(starts, change.start)
        if line not in lines:
            continue
        name = f"{file}:{line}:{change.operator}"
        names[name] += 1
        if names[name] > 1:
            name = f"{name}-{names[name]}"
        found.append(_mutant(name, file, text, starts, line, change, lines))
    return found


def _mutant(name: str, file: str, text: str, starts: list[int], line: int, change: Change,
            lines: Mapping[int, Patch]) -> Mutant:
    return Mutant(name, file, (_edit(text, starts, change),), lines[line], line, operator=change.operator)


def _edit(text: str, starts: list[int], change: Change) -> Edit:
    """A change as whole lines, and as many around them as make them the only ones."""
    first = bisect.bisect_right(starts, change.start) - 1
    last = bisect.bisect_right(starts, change.end - 1) - 1
    while True:
        start = starts[first]
        end = starts[last + 1] if last + 1 < len(starts) else len(text)
        old = text[start:end]
        if text.count(old) == 1:
            return Edit(old, text[start:change.start] + change.new + text[change.end:end])
        first, last = max(first - 1, 0), min(last + 1, len(starts) - 1)


def everything(files: list[str], additions: Additions) -> list[Mutant]:
    """All generated mutants of some files."""
    return [mutant for file in files for mutant in of_file(file, additions)]


def ordered(mutants: list[Mutant], seed: str) -> list[Mutant]:
    """The same mutants in the order that the seed draws them."""
    def key(*words: str) -> str:
        return hashlib.sha256("\0".join([seed, *words]).encode("utf-8", "surrogateescape")).hexdigest()

    keys: dict[str, str] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for one in mutants:
        words = (one.file, one.edits[0].old, one.edits[0].new)
        seen[words] += 1
        keys[one.name] = key(*words, str(seen[words]))
    # of each line the first, then of each the second, and so on
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for one in mutants:
        by_line.setdefault((one.file, one.line), []).append(one)
    turn = {one.name: number for group in by_line.values()
            for number, one in enumerate(sorted(group, key=lambda m: keys[m.name]))}
    return sorted(mutants, key=lambda m: (turn[m.name], keys[m.name]))


