# SPDX-License-Identifier: GPL-2.0
"""Replace patches/ and series as a whole: everything is written beside them first, and the next
command that reads the series finishes what a kill interrupted."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping

from . import aside, process
from .command import CannotJudge

NAME = ".refresh"  # the directory in the top directory, gone when all is done


@contextlib.contextmanager
def _held(top: pathlib.Path) -> Iterator[None]:
    """Lock the top directory; waits for a writer that is at work."""
    descriptor = os.open(top, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _save(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _twin(source: pathlib.Path, target: pathlib.Path) -> None:
    """The same file under a second name; a copy where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copy2(source, target)


def _exchange(source: pathlib.Path, target: pathlib.Path) -> None:
    """Put a file in the place of another, also where that is on another disk by a link."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = target.with_name(f"{NAME}.next")
        shutil.copy2(source, near)
        os.replace(near, target)


def _move(top: pathlib.Path, side: str, names: list[str]) -> None:
    """Bring files to what NAME/side has of them; those that it lacks are removed.

    It may be interrupted anywhere and repeated.
    """
    for name in names:
        target, source = top / name, top / NAME / side / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = top / NAME / "next"
            _twin(source, beside)
            _exchange(beside, target)
            beside.unlink(missing_ok=True)  # rename() of two names of one file leaves both
        else:
            target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                target.parent.rmdir()


def _clear(top: pathlib.Path) -> None:
    gone = top / f"{NAME}.old"
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(top / NAME, gone)
    shutil.rmtree(gone, ignore_errors=True)


def replace(top: pathlib.Path, files: Mapping[str, bytes | None]) -> None:
    """Give files below top these contents, None to remove one: all of them, or none.

    OSError with everything as it was, where there is no room or no permission.
    """
    fresh = top / f"{NAME}.new"
    with _held(top):
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            for name, data in files.items():
                if data is not None:
                    _save(fresh / "new" / name, data)
                if (top / name).exists():
                    # a copy: what an editor writes into the file must not change it
                    _save(fresh / "old" / name, (top / name).read_bytes())
            _save(fresh / "names.json", json.dumps(list(files)).encode())
            with process.whole():
                os.rename(fresh, top / NAME)
                try:
                    _move(top, "new", list(files))
                    _clear(top)
                except OSError as error:
                    _undo(top, list(files), error)
                    raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _undo(top: pathlib.Path, names: list[str], error: OSError) -> None:
    """Restore everything; CannotJudge where that fails, and the next run must finish."""
    try:
        _move(top, "old", names)
        _clear(top)
    except OSError:
        raise CannotJudge(f"{top}: patches/ and series are replaced in part: {error}; once that "
                          "is corrected, any command in scripts/ completes it") from None


def _edited(top: pathlib.Path, name: str) -> bool:
    """Whether a file is neither the old one nor the new one: somebody has worked on it since."""
    files = [path for path in (top / NAME / "old" / name, top / NAME / "new" / name) if path.exists()]
    target = top / name
    return target.exists() and target.read_bytes() not in [path.read_bytes() for path in files]


def finish(top: pathlib.Path) -> None:
    """Finish what a killed replace() began; CannotJudge where that fails."""
    if not any((top / f"{NAME}{kind}").exists() for kind in ("", ".new", ".old")):
        return
    try:
        with _held(top), process.whole():
            if (top / NAME).exists():
                names = json.loads((top / NAME / "names.json").read_text())
                aside.keep(top, [name for name in names if _edited(top, name)])
                _move(top, "new", names)
                _clear(top)
            for kind in (".new", ".old"):
                shutil.rmtree(top / f"{NAME}{kind}", ignore_errors=True)
    except OSError as error:
        if (top / NAME).exists():
            raise CannotJudge(f"{top}: a scripts/refresh was killed here, and what it wrote "
                              f"cannot be put in place: {error}") from None
