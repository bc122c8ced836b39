# SPDX-License-Identifier: GPL-2.0
"""The two errors that end a run early, from scripts/lib: a message, and exit code 1 or 125."""

from lib.command import CannotJudge, Failed as UsageError

__all__ = ["CannotJudge", "UsageError"]
