# SPDX-License-Identifier: GPL-2.0
"""Bound the size of the cache: of each kind of entry, those used most recently stay.

Verdicts are small and stay. A pruned entry is made again when a boot needs it.
"""

import os
import pathlib
import shutil

# How many entries of each directory stay. Of a series of 160 patches in ten lanes, of which five
# have images, one run uses about 300 images, and one log a build and two a boot, 1600.
KEEP = {"artifacts": 600, "initramfs/*": 200, "logs": 6000, "config": 200}


def use(*paths: pathlib.Path | str) -> None:
    """Note that a run used these entries of the cache, where they are still there."""
    for path in paths:
        try:
            os.utime(path)
        except FileNotFoundError:
            pass


def prune(cache: pathlib.Path, since: float) -> None:
    """Remove the least recently used entries beyond KEEP.

    since: when the run began, in seconds since the epoch: what was made or used from then on
    stays, however much it is.
    """
    for pattern, count in KEEP.items():
        for directory in pathlib.Path(cache).glob(pattern):
            entries = sorted(((path.lstat().st_mtime, path) for path in directory.iterdir()),
                             reverse=True)
            for used, path in entries[count:]:
                if used >= since:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
