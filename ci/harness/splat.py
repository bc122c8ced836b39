# SPDX-License-Identifier: GPL-2.0
"""Scan a console for splats: the kernel's own complaints, whatever the tests say."""

import dataclasses
import pathlib
import re

from lib.command import Failed
from lib.store import digest

from .attempt import Found

# What the console of a machine that reached its tests has: the kernel's banner, and the
# line of the guest's init. Without them a console without splats proves nothing.
BANNER, ALIVE = "Linux version", "ci: console alive"
# Raise when the same console gives other splats.
_VERSION = 1

# The time stamp, and what a program wrote to the console before it without ending its line.
_PREFIX = re.compile(r"^(?:.*\[ *\d+\.\d{6}\]|(?:<\d+>)?\[[^\]]*\])\s*(?:\[[^\]]*\]\s*)*")
_FRAME = re.compile(r"(\? )?([A-Za-z_][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_WHERE = re.compile(r"(?:RIP: [0-9a-f]{4}:|pc : )([A-Za-z_][\w.$]*)\+0x")
_CALLS = re.compile(r"Call [Tt]race:")
_END = re.compile(r"---\[ end ")
# What stands among the frames of a trace besides them.
_AMONG = re.compile(r"</?\w+>$|RIP: |Code: |R[A-Z0-9]{2}: |[CD]R\d: |EFLAGS: |[FGD]S: |x\d+ *: |"
                    r"(pc|lr|sp|pstate) *: |ORIG_RAX|CS: |PKRU: ")
# Functions that report, at the top of every trace of that kind.
_REPORTING = re.compile(r"(dump_(stack|backtrace)|show_stack|print_|kasan_|__kasan|__asan_|ubsan_|"
                        r"__ubsan|__warn$|report_bug|handle_bug|exc_|asm_exc_|check_noncircular|"
                        r"__slab_err|slab_err|bug_handler|brk_handler|el1h?_|el1_)")
# Lines before a splat that its excerpt has; lines in which its trace must begin; its
# length where it has none; and the most that it may have.
_BEFORE, _SEEK, _ALONE, _MOST = 5, 80, 5, 160


@dataclasses.dataclass(frozen=True)
class Patterns:
    """What is a splat: regular expressions, searched for in lines without time stamp.

    key: changes with the patterns and with how a console is read.
    """

    expressions: list[re.Pattern[str]]
    key: str

    def match(self, line: str) -> bool:
        """Whether a line is a splat."""
        return any(expression.search(line) for expression in self.expressions)


def told(splat: Found) -> str:
    """A splat as patterns of ci/proofs.toml see it: its line, and the functions of its trace, the
    innermost first: LINE < FUNCTION < FUNCTION..."""
    return " < ".join([splat["line"], *splat["frames"]])


@dataclasses.dataclass(frozen=True)
class Splat:
    """line: without its time stamp; excerpt: from the lines before it to the end of its
    trace; frames: the functions of its trace, the innermost first, those that report left
    out."""

    line: str
    excerpt: list[str]
    frames: list[str]

    def data(self) -> Found:
        """The fields as JSON values."""
        return Found(line=self.line, excerpt=self.excerpt, frames=self.frames)

    @property
    def fingerprint(self) -> str:
        """Equal for splats of one cause: five frames, or the line without its numbers."""
        return " < ".join(self.frames[:5]) or re.sub(r"0x[0-9a-f]+|\d+", "N", self.line)


def patterns(path: pathlib.Path) -> Patterns:
    """The pattern file: one regular expression a line, # for comments; Failed where it
    is missing, wrong, or has none, as nothing would then be a splat."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Failed(f"{path}: no such file; without it no splat would be found") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            found.append(re.compile(line))
        except re.error as error:
            raise Failed(f"{path}:{number}: {error}") from None
        if found[-1].search(""):
            raise Failed(f"{path}:{number}: it matches every line")
    if not found:
        raise Failed(f"{path}: it has no pattern, and no splat would be found")
    return Patterns(found, digest(_VERSION, [e.pattern for e in found]))


def scan(console: str, deny: Patterns) -> list[Splat]:
    """The splats of a console, in order."""
    lines = [_PREFIX.sub("", line.strip("\r\n")) for line in console.split("\n")]
    found = []
    for number, line in enumerate(lines):
        if deny.match(line):
            end = _end(lines, number)
            excerpt = lines[max(number - _BEFORE, 0):end + 1]
            found.append(Splat(line, excerpt, _frames(lines[number:end + 1])))
    return found


def missing(console: str) -> list[str]:
    """Those of BANNER and ALIVE that the console does not have."""
    return [words for words in (BANNER, ALIVE) if words not in console]


def _end(lines: list[str], start: int) -> int:
    """The last line of what the kernel says from a line on: of its trace, if it has one."""
    calls, last = False, start
    for number in range(start + 1, min(start + _MOST, len(lines))):
        line = lines[number].strip()
        if _END.match(line):
            return number
        if _CALLS.search(line):
            calls, last = True, number
        elif not calls and number - start > _SEEK:
            break
        elif calls and (_FRAME.match(line) or _AMONG.match(line)):
            last = number
        elif calls:
            # registers and "---[ end trace" may follow after a few other lines
            rest = range(number, min(number + 12, len(lines)))
            return next((n for n in rest if _END.match(lines[n])), last)
    return last if calls else min(start + _ALONE, len(lines) - 1)


def _frames(lines: list[str]) -> list[str]:
    """Functions of a trace: where it happened, then its callers."""
    text = [line.strip() for line in lines]
    calls = next((n for n, line in enumerate(text) if _CALLS.search(line)), len(text))
    found = [m.group(1) for line in text[:calls] if (m := _WHERE.match(line))][:1]
    for line in text[calls + 1:]:
        if (match := _FRAME.match(line)) and not match.group(1):
            found.append(match.group(2))
    return [name for name in dict.fromkeys(found) if not _REPORTING.match(name)]
