# SPDX-License-Identifier: GPL-2.0
"""A fault that is seeded to see who notices it."""

import dataclasses

from lib.command import Failed

from .mutant import Edit


@dataclasses.dataclass(frozen=True)
class Defect:
    """name; kind: what the fault is, for people; file: of the kernel; where: the table that has it, for
    messages."""

    name: str
    kind: str
    file: str
    edits: tuple[Edit, ...]
    where: str

    def applied(self, text: str, step: int) -> str:
        """The content of the file with the fault; text: of the file at a step. Failed where an edit does
        not fit."""
        for number, edit in enumerate(self.edits, 1):
            if (count := text.count(edit.old)) != 1:
                first = edit.old.strip().splitlines()[0]
                raise Failed(f"{self.where}: edit {number}: {first!r} is in {self.file} of step {step} "
                             f"{count} times; `old` has to be there once: adapt the table, or leave out the "
                             "faults with --no-defects")
            text = text.replace(edit.old, edit.new)
        return text
