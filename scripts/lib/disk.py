# SPDX-License-Identifier: GPL-2.0
"""How much disk space the work takes, for all commands, and whether that much is free."""

import os
import pathlib
import shutil

from .command import Full

# Bytes, as measured with the series on two cores, and some more for its growth.
BASE = 6 << 30  # scripts/base and scripts/apply: objects, the unpacked package, a worktree
COLD = 18 << 30  # ci/run from nothing: besides, object directories and a worktree of each lane
ROOT = 4 << 30  # ci/debian: a root, and its packages while it is made
WARM = 1 << 30  # ci/run again: what it adds to a full cache


def room(directory: pathlib.Path, least: int, what: str, repeat: str) -> None:
    """Full unless `least` bytes (SERIES_NEEDED_BYTES overrides it) are free there."""
    least = int(os.environ.get("SERIES_NEEDED_BYTES", 0)) or least
    free = shutil.disk_usage(directory).free
    if free < least:
        raise Full(
            f"the disk of {directory} has {free / 2**30:.1f} GiB free, and {what} needs about "
            f"{least / 2**30:.1f} GiB; free some, or point XDG_CACHE_HOME at another disk, then "
            f"repeat: {repeat}")
