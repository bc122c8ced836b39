# SPDX-License-Identifier: GPL-2.0
"""The operators that make faults: small changes of one place in C code.

Each is fixed, so that the faults of a source are the same everywhere. Conditions that become
constant keep what they name, and a removed statement leaves its semicolon and its lines:
the compiler then has less to complain of, and no line number changes.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator

from . import csource
from .csource import Header, Statement

# Callees whose removal no test of right code can see: they print, assert, or only yield.
_UNSEEN = re.compile(r"(pr|dev|netdev|pci)_(emerg|alert|crit|err|warn|notice|info|dbg|debug|cont)\w*\(|"
                     r"\w*lockdep_\w+\(|might_sleep|might_lock|\w*assert\w*\(|\(?void\)?\s|"
                     r"(VM_)?(WARN|BUG)_ON\w*\(|BUILD_BUG|cond_resched|KUNIT_|kunit_|EXPORT_SYMBOL|MODULE_")
_LOCK = re.compile(r"(?:\w+\s*=\s*)?(?!p\w{1,3}p_get\b)((scoped_)?guard\b|"
                   r"\w*(lock|put|get|hold|release|free|(down|up)_(read|write)|refcount_)\w*\s*\()")
_DECLARES = re.compile(r"(?!return\b|goto\b|else\b)(?:[A-Za-z_]\w*[\s*]+)+\**\s*[A-Za-z_]\w*\s*"
                       r"(?:\[[^]]*\]\s*)*(?:=(?!=)|;|,)|"
                       r"(DEFINE|DECLARE)_\w+\(|(struct|const|static|unsigned|enum)\b")
_NEXT_ERROR = {"EINVAL": "EIO", "EIO": "EINVAL"}
_COMPARISON = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclasses.dataclass(frozen=True)
class Change:
    """text[start:end] becomes `new`; operator: the name of what does it."""

    operator: str
    start: int
    end: int
    new: str


def _empty(text: str) -> str:
    """What a removed statement leaves: its line ends."""
    return ";" + "\n" * text.count("\n")


def _seen(masked: str, parts: list[Statement | Header]) -> Iterator[Statement | Header]:
    """The parts without the single statements that only a warning of the kernel leads to: no
    test of right code comes there."""
    warned = False
    for part in parts:
        if isinstance(part, Header) or not (warned and part.headed):
            yield part
        warned = isinstance(part, Header) and _warns(masked, part)


def _warns(masked: str, header: Header) -> bool:
    return re.match(r"\s*(VM_)?(WARN|BUG)_ON", masked[header.inner.start:header.inner.end]) is not None


def _statements(text: str, masked: str, parts: list[Statement | Header]) -> Iterator[Change]:
    """A statement is removed; a lock, a reference or what frees, too, under another name."""
    for part in _seen(masked, parts):
        if isinstance(part, Header):
            continue
        code = masked[part.start:part.end]
        if _UNSEEN.match(code) or re.match(r"return\b", code) and part.depth == 1 and not part.headed:
            continue
        locks = _LOCK.match(code) is not None
        if _DECLARES.match(code) and not locks or not code.strip(" ;"):
            continue
        yield Change("lock" if locks else "statement", part.start, part.end,
                     _empty(text[part.start:part.end]))


def _guards(text: str, masked: str, parts: list[Statement | Header]) -> Iterator[Change]:
    """scoped_guard() is removed, and its block stays."""
    for part in parts:
        if isinstance(part, Header) and part.word.startswith("scoped_"):
            yield Change("lock", part.start, part.end, "\n" * text.count("\n", part.start, part.end))


def _conditions(text: str, masked: str, parts: list[Statement | Header]) -> Iterator[Change]:
    """A condition is negated, or made true or false."""
    for part in parts:
        if not isinstance(part, Header) or part.word not in ("if", "while"):
            continue
        inner = part.inner
        said = text[inner.start:inner.end]
        yield Change("negated", inner.start, inner.end, f"!({said})")
        if not _warns(masked, part):
            yield Change("never", inner.start, inner.end, f"false && ({said})")
        if part.word == "if":
            yield Change("always", inner.start, inner.end, f"true || ({said})")


def _equalities(text: str, masked: str, parts: list[Statement | Header]) -> Iterator[Change]:
    """== and != are exchanged, but where that negates a condition as a whole."""
    for part in parts:
        if isinstance(part, Header) and not re.search(
                r"&&|\|\||[?;]", masked[part.inner.start:part.inner.end]):
            continue
        for match in re.compile(r"(?<= )(==|!=)(?=\s)").finditer(masked, part.start, part.end):
            yield Change("equality", match.start(), match.end(), "!=" if match.group() == "==" else "==")


def _tokens(operator: str, pattern: str, made: Callable[[re.Match[str]], str | None],
            ) -> Callable[[str, str, list[Statement | Header]], Iterator[Change]]:
    """An operator on what a pattern finds in the masked code of functions; its group 1 is replaced."""
    expression = re.compile(pattern)

    def apply(text: str, masked: str, parts: list[Statement | Header]) -> Iterator[Change]:
        for part in _seen(masked, parts):
            code = masked[part.start:part.end]
            if isinstance(part, Statement) and _UNSEEN.match(code):
                continue
            for match in expression.finditer(masked, part.start, part.end):
                new = made(match)
                if new is not None:
                    yield Change(operator, match.start(1), match.end(1), new)
    return apply


def _number(match: re.Match[str]) -> str:
    digits, suffix = match.group(2), match.group(3)
    value = int(digits, 0) if not re.match(r"0\d", digits) else int(digits, 8)
    more = value - 1 if value == 1 else value + 1
    return (hex(more) if digits.lower().startswith("0x") else str(more)) + suffix


_OPERATORS = (
    _statements, _guards, _conditions, _equalities,
    _tokens("comparison", r"(?<= )(<=|>=|<|>)(?= )", lambda m: _COMPARISON[m.group(1)]),
    _tokens("errno", r"(?<=-)(E[A-Z][A-Z0-9]+)\b", lambda m: _NEXT_ERROR.get(m.group(1), "EINVAL")),
    _tokens("constant", r"(?<![\w.])((0[xX][0-9a-fA-F]+|\d+)([uUlL]*))(?![\w.])", _number),
    _tokens("flag", r"\b([A-Z][A-Z0-9_]{2,}\s*\|\s*(?![|=]))(?=[\w(~])", lambda m: ""),
    _tokens("flag", r"(?<=\w)(\s*(?<!\|)\|\s*[A-Z][A-Z0-9_]{2,})(?!\w|\s*\()", lambda m: ""),
    _tokens("exchanged", r"\b(true|false)\b", lambda m: "false" if m.group(1) == "true" else "true"),
    _tokens("offset", r"(?<=[\w)\]] )([+-])(?= [\w(*&])", lambda m: "-" if m.group(1) == "+" else "+"),
    _tokens("size", r"\b(PAGE_SHIFT)\b", lambda m: "(PAGE_SHIFT + 1)"),
    _tokens("size", r"\b(PAGE_SIZE|PMD_SIZE|PUD_SIZE|SZ_\w+)\b", lambda m: f"(2 * {m.group(1)})"),
    _tokens("size", r"\b(sizeof\([^()]*\))", lambda m: f"({m.group(1)} / 2)"),
)


def changes(text: str) -> list[Change]:
    """All changes that the operators make in a C source, by place; none is made twice."""
    masked = csource.mask(text)
    parts = list(csource.parts(masked))
    found = {change: None for operator in _OPERATORS for change in operator(text, masked, parts)}
    unlike = [c for c in found if text[c.start:c.end] != c.new]
    return sorted(unlike, key=lambda c: (c.start, c.end, c.operator, c.new))
