# SPDX-License-Identifier: GPL-2.0
"""A mutant: the last step of the series with one small fault, which the tests should notice.

ci/mutants.toml lists mutants by hand, one table each:

    [[mutant]]
    name = "hot-reset-without-zap"
    file = "drivers/vfio/pci/vfio_pci_core.c"
    edits = [{ old = '''...''', new = '''...''' }]
    why = "who is hurt by the fault, and how"
    case = "*/vfio-dmabuf/vfio-dmabuf/*/*.hot_reset"
    equivalent = "why no test can tell it"

Each `old` is in the file once. `case` is there where one is known that must notice, a pattern
as in ci/proofs.toml; `equivalent` where nothing can.
"""

import dataclasses
import difflib
import operator
import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Any

from lib import table
from lib.command import Failed
from lib.series import Patch
from lib.table import TABLES, TEXT

from . import edits
from .addition import Additions
from .edits import Edit

FILE = "ci/mutants.toml"
_KEYS = {"name": TEXT, "file": TEXT, "edits": TABLES, "why": TEXT}
_MORE = {"case": TEXT, "equivalent": TEXT}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*$")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """file: of the kernel; why: who is hurt; case: a pattern, or ""; equivalent: the reason, or
    ""; patch: the one whose code is wrong now; line: of the first edit, in the last step;
    operator: what made it, or "" for one that is listed."""

    name: str
    file: str
    edits: tuple[Edit, ...]
    patch: Patch
    line: int
    why: str = ""
    case: str = ""
    equivalent: str = ""
    operator: str = ""

    def apply(self, text: str) -> str:
        """The content of the file with the fault; Failed where an edit does not fit."""
        return edits.applied(self.edits, text, f"{FILE}: {self.name}", f"{self.file} of the last step")

    def place(self, text: str) -> int:
        """Where in a file, without the fault, the first edit changes something."""
        edit = self.edits[0]
        same = next((n for n, (a, b) in enumerate(zip(edit.old, edit.new, strict=False)) if a != b),
                    min(len(edit.old) - 1, len(edit.new)))
        return text.index(edit.old) + same

    def diff(self, text: str) -> str:
        """The change as a unified diff without its head; text: of the file, without the fault."""
        lines = difflib.unified_diff(text.splitlines(), self.apply(text).splitlines(), n=1, lineterm="")
        return "\n".join([line for line in lines if not line.startswith(("---", "+++"))])


def read(top: pathlib.Path, additions: Additions) -> list[Mutant]:
    """The mutants of ci/mutants.toml, in its order; Failed where an entry is wrong, or its edits
    do not fit the last step."""
    found: dict[str, Mutant] = {}
    for where, entry in _entries(top):
        mutant = _read(entry, where, additions, found)
        found[mutant.name] = _placed(mutant, additions)
    return list(found.values())


def unfit(top: pathlib.Path, additions: Additions) -> list[str]:
    """What is wrong with ci/mutants.toml, a sentence an entry: all that read() fails for. Costs no
    more than reading the files."""
    wrong: list[str] = []
    found: dict[str, Mutant] = {}
    try:
        entries = _entries(top)
    except Failed as error:
        return [str(error)]
    for where, entry in entries:
        try:
            mutant = _read(entry, where, additions, found)
            found[mutant.name] = mutant
        except Failed as error:
            wrong.append(str(error))
    return wrong


def change(top: pathlib.Path, name: str) -> tuple[str, tuple[Edit, ...]]:
    """(file, edits) of a mutant of ci/mutants.toml, not compared with any step; Failed where none has the
    name."""
    for where, entry in _entries(top):
        if entry.get("name") == name:
            table.check(entry, where, _KEYS, _MORE)
            return entry["file"], edits.read(entry, where)
    raise Failed(f"{FILE}: no mutant {name!r}")


def _entries(top: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """The tables of ci/mutants.toml, each with what messages call it; none without the file."""
    data = table.load(top, FILE) if (pathlib.Path(top) / FILE).exists() else {}
    table.check(data, FILE, {}, {"mutant": TABLES})
    return [(f"{FILE}: {entry.get('name', f'mutant {number}')}", entry)
            for number, entry in enumerate(data.get("mutant", []), 1)]


def _read(entry: dict[str, Any], where: str, additions: Additions, found: Collection[str]) -> Mutant:
    """The mutant of a table, without its place; found: the names of those before it."""
    table.check(entry, where, _KEYS, _MORE)
    if not _NAME.match(entry["name"]):
        raise Failed(f"{where}: a name has small letters, digits and -")
    if entry["name"] in found:
        raise Failed(f"{where} is listed twice")
    changes = edits.read(entry, where)
    patches, text = additions.touching(entry["file"]), additions.text(entry["file"])
    if not patches or not text:
        raise Failed(f"{where}: no patch of the series touches {entry['file']}, or the last one removes it")
    made = Mutant(entry["name"], entry["file"], changes, patches[-1], 0, entry["why"], entry.get("case", ""),
                  entry.get("equivalent", ""))
    made.apply(text)
    return made


def _placed(mutant: Mutant, additions: Additions) -> Mutant:
    """The mutant with its line, and the patch of it."""
    lines = _lines(mutant.edits, additions.text(mutant.file))
    theirs = [p for n, p in additions.lines(mutant.file).items() if n in lines]
    last = max(theirs, key=operator.attrgetter("step"), default=mutant.patch)
    return dataclasses.replace(mutant, line=min(lines), patch=last)


def _lines(edits: Sequence[Edit], text: str) -> Collection[int]:
    """The numbers of the lines that edits change: of those whose text is in the file at once."""
    lines: set[int] = set()
    for edit in edits:
        if (at := text.find(edit.old)) < 0:
            continue  # it changes what an edit before it has made
        first = text.count("\n", 0, at) + 1
        old, new = edit.old.splitlines(), edit.new.splitlines()
        same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
                    min(len(old), len(new)))
        tail = next((n for n, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b), 0)
        lines |= set(range(first + same, max(first + len(old) - tail, first + same + 1)))
    return lines
