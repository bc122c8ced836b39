# SPDX-License-Identifier: GPL-2.0
"""C source by its outer form, for changes in it: comments and strings blanked out, the bodies
of functions, statements and conditions. It is no parser: what it does not understand it
leaves out."""

import dataclasses
import re
from collections.abc import Iterator

_LITERAL = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S)
_DIRECTIVE = re.compile(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*")
_LABEL = re.compile(r"(?:case\b[^:?]*|default\s*|(?!default\b)[A-Za-z_]\w*\s*):(?!:)\s*")
_HEADER = re.compile(r"(?:else\s+(?=if\b))?(?!else\b)([A-Za-z_]\w*)\s*(?=\()|(else|do)\b\s*")


@dataclasses.dataclass(frozen=True)
class Span:
    """text[start:end] of a source."""

    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Statement(Span):
    """A statement of a function, from its first character to behind its semicolon, without
    labels and headers before it. depth: of braces, 1 in the outermost block; headed: whether
    it is the body of an if, an else or a loop."""

    depth: int
    headed: bool


@dataclasses.dataclass(frozen=True)
class Header(Span):
    """WORD (...) before a statement or block; inner: what is in the parentheses."""

    word: str
    inner: Span


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def mask(text: str) -> str:
    """A text of the same length and lines, with blanks for comments, for what strings and
    characters contain, and for preprocessor directives."""

    def literal(match: re.Match[str]) -> str:
        said = match.group()
        if said.startswith("/"):
            return _blank(match)
        return said[0] + "_" * (len(said) - 2) + said[-1]
    return _DIRECTIVE.sub(_blank, _LITERAL.sub(literal, text))


def closing(masked: str, start: int) -> int:
    """Where the bracket closes that opens at `start`; -1 where it does not."""
    depth = 0
    for at in range(start, len(masked)):
        if masked[at] in "([{":
            depth += 1
        elif masked[at] in ")]}":
            depth -= 1
            if not depth:
                return at
    return -1


def bodies(masked: str) -> Iterator[Span]:
    """The bodies of the functions, without their braces."""
    at = 0
    while (start := masked.find("{", at)) >= 0:
        end = closing(masked, start)
        if end < 0:
            return
        before = masked[at:start].rstrip()
        if before.endswith(")"):
            yield Span(start + 1, end)
        # what else has braces are types and initialisers
        at = end + 1


def _header(masked: str, at: int, end: int) -> Header | None:
    """The header of a statement that begins at `at`, if it has one."""
    match = _HEADER.match(masked, at, end)
    if not match:
        return None
    if match.group(2):
        return Header(at, match.end(), match.group(2), Span(match.end(), match.end()))
    close = closing(masked, match.end())
    if not 0 <= close < end:
        return None
    rest = masked[close + 1:end].lstrip()
    controls = match.group(1) in ("if", "for", "while", "switch")
    # NAME(...) followed by a statement is a macro that loops or guards
    if not controls and not re.match(r"[A-Za-z_*{]|\+\+|--|$", rest):
        return None
    return Header(at, close + 1, match.group(1), Span(match.end() + 1, close))


def _skip(masked: str, at: int, end: int) -> int:
    while at < end and masked[at].isspace():
        at += 1
    return at


def parts(masked: str) -> Iterator[Statement | Header]:
    """The headers and statements of all functions, in order. Where a `while` ends a
    do-loop it is a header, too."""
    for body in bodies(masked):
        yield from _parts(masked, body.start, body.end, 1)


def _parts(masked: str, at: int, end: int, depth: int) -> Iterator[Statement | Header]:
    headed = False
    while (at := _skip(masked, at, end)) < end:
        if masked[at] == "}":
            depth, headed, at = depth - 1, False, at + 1
        elif masked[at] == "{":
            depth, headed, at = depth + 1, False, at + 1
        elif masked[at] == ";":
            headed, at = False, at + 1
        elif match := _LABEL.match(masked, at, end):
            at = match.end()
        else:
            stop = _end(masked, at, end)
            if header := _header(masked, at, stop):
                yield header
                headed, at = True, header.end
                continue
            if masked[stop - 1:stop] == ";":
                yield Statement(at, stop, depth, headed)
            headed, at = False, max(stop, at + 1)


def _end(masked: str, at: int, end: int) -> int:
    """Behind the semicolon that ends the statement at `at`, or at the brace of its block."""
    depth = 0
    for here in range(at, end):
        letter = masked[here]
        if letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif not depth and letter == ";":
            return here + 1
        elif not depth and letter == "{":
            # an initialiser or a compound literal belongs to the statement
            if masked[at:here].rstrip()[-1:] in ("=", ")") and _initialises(masked, at, here):
                depth += 1
                continue
            return here
        elif letter == "}":
            if not depth:
                return here
            depth -= 1
    return end


def _initialises(masked: str, at: int, brace: int) -> bool:
    """Whether a brace belongs to an expression of the statement at `at`."""
    before = masked[at:brace].rstrip()
    return before.endswith("=") or bool(re.search(r"[=(,]\s*\([\w\s*]+\)$", before))
