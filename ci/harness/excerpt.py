# SPDX-License-Identifier: GPL-2.0
"""The part of a log that shows why a gate does not pass."""

import pathlib
import re

# What a compiler, make, a test and the kernel say when something is wrong.
_WRONG = re.compile(r"\berror: |\bError \d|\*\*\* |^\s*not ok |\bBUG: |\bWARNING: |Kernel panic|\bOops")
# Lines before the first such line, and all in all.
BEFORE, LINES = 8, 40
_COLUMNS = 300


def of(path: pathlib.Path | str, reason: str) -> list[str]:
    """The lines around what the reason of a judgement quotes, or else around the first that tells of
    something wrong, or else the last ones; none where there is no such log."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    place = _quoted(lines, reason)
    if place is None:
        place = next((n for n, line in enumerate(lines) if _WRONG.search(line)), len(lines) - LINES + BEFORE)
    start = max(0, place - BEFORE)
    return [line[:_COLUMNS] for line in lines[start:start + LINES]]


def _quoted(lines: list[str], reason: str) -> int | None:
    """The number of the first line that a sentence of the reason has in it, or that has it."""
    for sentence in reason.split("; "):
        words = sentence.removeprefix("splat: ").removeprefix("new: ").strip()
        for number, line in enumerate(lines):
            if len(words) > 12 and words in line:
                return number
    return None
