# SPDX-License-Identifier: GPL-2.0
"""The cache directory: what is where in it, its locks, and files that are written at once."""

import contextlib
import os
import pathlib

from . import command
from .command import CannotJudge
from .lock import hold, hold_name


def directory() -> pathlib.Path:
    """The cache directory, made when missing."""
    path = command.cache_directory()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotJudge(f"cannot make the cache directory {path}: {error.strerror}; "
                          "set XDG_CACHE_HOME") from None
    return path


def repository() -> pathlib.Path:
    """The bare repository of the base, and of all commits that are made of it; see release.linux()."""
    return directory() / "linux.git"


def store() -> pathlib.Path:
    """What has been judged: a directory for each kind of record."""
    return directory() / "verdicts"


def logs() -> pathlib.Path:
    """The logs that records name."""
    return directory() / "logs"


def artifacts() -> pathlib.Path:
    """The images and modules that were built, by the key of their build."""
    return directory() / "artifacts"


def lanes() -> pathlib.Path:
    """A directory for each lane: its objects, diagnostics and worktree."""
    return directory() / "lanes"


def tools() -> pathlib.Path:
    """Programs of our own, and packages of other architectures."""
    return directory() / "tools"


def lock(name: str, seconds: float = 1800, inherited: bool = True,
         ) -> contextlib.AbstractContextManager[None]:
    """Hold CACHE/NAME.lock."""
    return hold(directory() / f"{name}.lock", seconds, inherited)


def write_atomically(path: pathlib.Path | str, data: str | bytes) -> None:
    """Write text or bytes so that a reader sees the old file or the new one.

    What is written first has one name for each path: what a kill left of it is used anew.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    beside = path.with_name(f".new-{path.name}")
    with hold_name(beside) as descriptor:
        try:
            with open(descriptor, "wb", closefd=False) as stream:
                stream.truncate(0)
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            os.fchmod(descriptor, 0o644)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
