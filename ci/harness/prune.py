# SPDX-License-Identifier: GPL-2.0
"""Bound the size of the cache: of each kind of entry, those used most recently stay.

Verdicts are small and stay. A pruned entry is made again when a boot needs it.
"""

import os
import pathlib
import shutil

# How many entries of each directory stay. Of a series of sixty patches in six lanes, of
# which three have images, one run uses about 140 images and 1100 logs.
KEEP = {"artifacts": 280, "initramfs/*": 120, "logs": 4000, "config": 100}


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
