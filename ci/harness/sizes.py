# SPDX-License-Identifier: GPL-2.0
"""Sizes of functions and data on two steps, by the kernel's own bloat-o-meter."""

import pathlib
import sys

from lib import plumbing, release
from lib.command import CannotJudge, output
from lib.lane import Lane
from lib.store import write_atomically

from .image import objects_of
from .paths import Paths
from .trees import Trees


def script(trees: Trees, paths: Paths) -> pathlib.Path:
    """scripts/bloat-o-meter of the base, in the cache."""
    text = plumbing.content(paths.git, release.BASE, "scripts/bloat-o-meter")
    if text is None:
        raise CannotJudge("the base has no scripts/bloat-o-meter")
    path = paths.tools / f"bloat-o-meter-{trees.object(release.BASE, 'scripts/bloat-o-meter')}"
    if not path.exists():
        write_atomically(path, text)
    return path


def report(meter: pathlib.Path, lane: Lane, before: pathlib.Path, after: pathlib.Path) -> str:
    """What bloat-o-meter says of each directory of the lane's `sizes`, as text.

    meter: the script; before, after: the directories that keep the two images.
    """
    text = ""
    for directory in lane.sizes:
        text += f"{directory}, bloat-o-meter:\n"
        files = [objects_of(keep, directory) for keep in (before, after)]
        if all(f.exists() for f in files):
            words = [sys.executable, meter, *(["-p", lane.cross] if lane.cross else []), *files]
            text += output(words)
        else:
            text += "not built on both steps\n"
    return text
