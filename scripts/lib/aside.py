# SPDX-License-Identifier: GPL-2.0
"""Keep copies of the user's files that are about to be replaced, in the clone's git directory."""

import datetime
import os
import pathlib
import shutil
from collections.abc import Iterable

from . import command
from .command import run, say


def _holder(top: pathlib.Path) -> pathlib.Path:
    """The git directory of the clone; the cache where top is not a clone."""
    found = run(["git", "-C", top, "rev-parse", "--absolute-git-dir"], check=False)
    if found.returncode == 0 and (top / ".git").exists():
        return pathlib.Path(found.stdout.rstrip("\n"))
    return command.cache_directory()


def keep(top: pathlib.Path, names: Iterable[str]) -> None:
    """Copy files, named relative to top, and print where the copies are; only the user removes them."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    kept = None
    for name in names:
        kept = kept or _holder(top) / f"series-kept/{stamp}-{os.getpid()}"
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(top / name, kept / name)
        say(f"kept aside: {kept / name}")
