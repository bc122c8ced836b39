# SPDX-License-Identifier: GPL-2.0
"""What every command that builds needs around it: room, the base, the cache's lock."""

import fcntl
import pathlib
import sys

from lib import disk, environment, process
from lib.command import output, shell
from lib.series import last

from . import prune
from .errors import CannotJudge, UsageError


def room(paths):
    """CannotJudge when the disk has too little left for the work."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    least = disk.WARM if (paths.cache / "lanes").is_dir() else disk.COLD
    disk.room(paths.cache, least, "a run",
              shell([f"ci/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]))


def lock(paths):
    """Hold the cache for this run; CannotJudge when another has it."""
    stream = open(paths.cache / "lock", "w")  # noqa: SIM115 held until exit
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotJudge(f"another run holds {paths.cache}/lock; wait for it") from None
    return stream


def prepare(paths, script):
    """Run a script that makes what the run needs, its progress shown; CannotJudge if it fails."""
    rc = process.follow([paths.top / script], 7200, stdout=sys.stderr).rc
    if rc != 0:
        raise CannotJudge(f"{script} {'took too long' if rc is None else f'ended with {rc}'}; "
                          "see above")


def begin(paths):
    """Everything installed, the base there, the cache held and pruned; returns the lock."""
    if why := environment.buildable(paths.cache):
        raise CannotJudge(why)
    for needed in ("ci/install", "scripts/base"):
        room(paths)
        prepare(paths, needed)
    held = lock(paths)
    output(["rm", "-rf", paths.cache / "boots"])
    prune.prune(paths.cache)
    return held


def step_range(word, series):
    """K or K..M as (first, last); UsageError for steps the series does not have."""
    first, _, final = word.partition("..")
    try:
        low, high = int(first), int(final or first)
    except ValueError:
        raise UsageError(f"--step {word}: not K or K..M") from None
    if not 0 <= low <= high <= last(series):
        raise UsageError(f"--step {word}: the series has steps 0..{last(series)}")
    return low, high
