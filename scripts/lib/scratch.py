# SPDX-License-Identifier: GPL-2.0
"""Directories for the work of one command, in the cache.

Whoever made a directory holds it and removes it at the end. What a kill left is held by nobody, and
the next command that makes one removes it.
"""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from . import command, lock

NAME = "scratch"  # the directory in the cache; it is held while an entry is made or found dead


def _prune(place: pathlib.Path) -> None:
    """Remove the entries whose owners are gone; the caller holds the place."""
    for entry in place.iterdir():
        with contextlib.suppress(FileNotFoundError), lock.if_free(entry) as free:
            if free:
                shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def directory(purpose: str) -> Iterator[pathlib.Path]:
    """A new directory CACHE/scratch/PURPOSE-..., gone at the end."""
    place = command.cache_directory() / NAME
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # not inherited: threads start children meanwhile, which need not hold it
        with lock.hold(place, inherited=False):
            _prune(place)
            path = pathlib.Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=place))
            stack.enter_context(lock.hold(path, inherited=False))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        yield path
