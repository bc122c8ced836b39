# SPDX-License-Identifier: GPL-2.0
"""Keep the cache from growing for ever: the newest of each kind stay.

Verdicts are small and stay. What is pruned is made again when a boot needs it.
"""

import pathlib
import shutil

# Images and modules of about twelve runs over ten steps and two lanes; packed
# initramfs parts; logs of builds and boots.
KEEP = {"artifacts": 240, "initramfs/*": 60, "logs": 4000, "config": 100}


def prune(cache):
    """Remove all but the newest entries (by time of change) of each directory."""
    for pattern, count in KEEP.items():
        for directory in pathlib.Path(cache).glob(pattern):
            entries = sorted(directory.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
            for path in entries[count:]:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
