# SPDX-License-Identifier: GPL-2.0
"""A fault that is seeded to see who notices it."""

import dataclasses

from . import edits
from .edits import Edit


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
        return edits.applied(self.edits, text, self.where, f"{self.file} of step {step}",
                             ": adapt the table, or leave out the faults with --no-defects")
