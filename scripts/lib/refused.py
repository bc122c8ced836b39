# SPDX-License-Identifier: GPL-2.0
"""A patch of the series that does not apply."""

from .command import Failed
from .series import Patch


class Refused(Exception):
    """git am stopped at a patch: patch, why."""

    def __init__(self, patch: Patch, why: str) -> None:
        super().__init__(why)
        self.patch, self.why = patch, why


def does_not_apply(patch: Patch, why: str, where: object, repeat: str) -> Failed:
    """The refusal of one patch; the tree is as it was."""
    return Failed(f"patches/{patch.name} (step {patch.step}) does not apply:\n{why}\n"
                  f"{where} is as it was. To repeat: {repeat}")
