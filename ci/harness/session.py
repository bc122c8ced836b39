# SPDX-License-Identifier: GPL-2.0
"""What every command that builds needs: disk space, packages, the base, the cache's lock."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

from lib import cache, disk, environment, process, series
from lib.command import CannotJudge, Failed, cache_directory, output, say, shell
from lib.series import Series

from . import prune
from .paths import Paths


_SECONDS = 7200  # for a script that makes what a run needs


def room(paths: Paths) -> None:
    """Full when the disk has too little left for the work."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    least = disk.WARM if cache.lanes().is_dir() else disk.COLD
    disk.room(paths.cache, least, "a run",
              shell([f"ci/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]))


def prepare(paths: Paths, script: str) -> None:
    """Run a script that makes what the run needs, its progress shown; CannotJudge if it fails."""
    rc = process.follow([paths.top / script], _SECONDS, stdout=subprocess.DEVNULL).rc
    if rc != 0:
        raise CannotJudge(f"{script} {process.how_ended(rc, _SECONDS)}; see above")


def install(paths: Paths) -> None:
    """Install what is missing, as root; else say so: what lacks its tools is LOST later."""
    try:
        prepare(paths, "ci/install")
    except CannotJudge as error:
        say(f"{error}\ncontinuing with what is installed")


@contextlib.contextmanager
def held(paths: Paths) -> Iterator[None]:
    """Install everything, obtain the base, lock the cache; prune it when the run is over."""
    if why := environment.buildable(cache_directory()):
        raise CannotJudge(why)
    room(paths)
    install(paths)
    room(paths)
    prepare(paths, "scripts/base")
    # not inherited: make would go on after our death, and the next holder of the lock ends it
    with cache.lock("run", inherited=False):
        start = time.time()
        mark = f"{paths.cache}:{paths.cache.stat().st_ino}"
        process.end_orphans(f"SERIES_RUN={mark}")
        os.environ["SERIES_RUN"] = mark
        output(["rm", "-rf", paths.cache / "boots"])
        yield
        prune.prune(paths.cache, start)


def step_range(word: str, found: Series) -> range:
    """The steps that an option --step means; Failed where it is wrong."""
    try:
        steps = series.step_range(word, 0, series.last(found))
    except Failed as error:
        raise Failed(f"--step {error}") from None
    if steps is None:
        raise Failed(f"--step {word}: not K, K.., K..M or ..M")
    return steps
