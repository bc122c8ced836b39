# SPDX-License-Identifier: GPL-2.0
"""The edits that put a fault into a file of the kernel."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from lib import table
from lib.command import Failed
from lib.table import LINE, TEXT

_KEYS = {"old": TEXT, "new": LINE}


@dataclasses.dataclass(frozen=True)
class Edit:
    """`old`, which is in the file once, becomes `new`."""

    old: str
    new: str


def read(entry: dict[str, Any], where: str) -> tuple[Edit, ...]:
    """The edits of a table that has been checked; Failed where there are none, or one changes nothing.

    where: what messages call the table.
    """
    if not entry["edits"]:
        raise Failed(f"{where}: it has no edits")
    for edit in entry["edits"]:
        table.check(edit, f"{where}: an edit", _KEYS)
        if edit["old"] == edit["new"]:
            raise Failed(f"{where}: an edit changes nothing: {edit['old'].strip()!r}")
    return tuple(Edit(edit["old"], edit["new"]) for edit in entry["edits"])


def applied(edits: Sequence[Edit], text: str, where: str, whose: str, advice: str = "") -> str:
    """The content of a file with the edits; Failed where one does not fit.

    where: the table that has them; whose: the file and its step, for the message; advice: its end.
    """
    for number, edit in enumerate(edits, 1):
        if (count := text.count(edit.old)) != 1:
            first = edit.old.strip().splitlines()[0]
            raise Failed(f"{where}: edit {number}: {first!r} is in {whose} {count} times; "
                         f"`old` has to be there once{advice}")
        text = text.replace(edit.old, edit.new)
    return text
