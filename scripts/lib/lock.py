# SPDX-License-Identifier: GPL-2.0
"""Hold a file or a directory, so that runs which exclude each other take turns."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

from . import process
from .command import CannotJudge, say

_SHORT = 0.5  # seconds of waiting that nobody need be told of


def _taken(descriptor: int, kind: int) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, kind: int, path: pathlib.Path, seconds: float) -> None:
    start, told = time.monotonic(), False
    while not _taken(descriptor, kind):
        waited = time.monotonic() - start
        if waited > seconds:
            raise CannotJudge(f"another run still holds {path}, after {seconds:.0f} s; wait for its end")
        if waited > _SHORT and not told:
            say(f"waiting for another run that holds {path}")
            told = True
        time.sleep(0.02 if waited < _SHORT else 0.2)


@contextlib.contextmanager
def hold(path: pathlib.Path, seconds: float = 1800, inherited: bool = True,
         shared: bool = False) -> Iterator[None]:
    """Hold a file, made when missing, or a directory, so long as nobody else does.

    inherited: children hold it, too, so that no orphan works unlocked; without, whoever gets
    it has to end what orphans there are. shared: others that hold it shared may hold it at the
    same time. CannotJudge when another run holds it for longer than `seconds`.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _wait(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, path, seconds)
        if inherited:
            process.held.append(descriptor)
        try:
            yield
        finally:
            if inherited:
                process.held.remove(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_name(path: pathlib.Path) -> Iterator[int]:
    """Hold whatever file has that name, empty when it is made: its descriptor.

    Unlike hold(), it is for a file that its holder renames or removes.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait(descriptor, fcntl.LOCK_EX, path, 60)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    yield descriptor
                    return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def if_free(path: pathlib.Path) -> Iterator[bool]:
    """Hold a file or directory that exists, if nobody does: whether we do now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _taken(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
