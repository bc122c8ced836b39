# SPDX-License-Identifier: GPL-2.0
"""Replace and read patches/ and series as a whole: everything is written beside them first, and the
next command that reads the series finishes what a kill interrupted."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping

from . import aside, lock, process
from .command import CannotJudge

NAME = ".refresh"  # the directory in the top directory, gone when all is done
PATIENCE = 60  # seconds that the moves of another run may take; they take milliseconds


def _moving(top: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Hold the top directory, alone: files change only under this lock, and for a short time."""
    return lock.hold(top, PATIENCE, inherited=False)


def _place(top: pathlib.Path) -> pathlib.Path:
    """What a writer holds from the first file that it prepares."""
    return top / "patches"


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
    _place(top).mkdir(exist_ok=True)
    with lock.hold(_place(top), inherited=False):
        _complete(top)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _prepare(top, fresh, files)
            with _moving(top), process.whole():
                os.rename(fresh, top / NAME)
                try:
                    _move(top, "new", list(files))
                    _clear(top)
                except OSError as error:
                    _undo(top, list(files), error)
                    raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _prepare(top: pathlib.Path, fresh: pathlib.Path, files: Mapping[str, bytes | None]) -> None:
    """Write the new files, and what they replace, to the directory `fresh`."""
    for name, data in files.items():
        if data is not None:
            _save(fresh / "new" / name, data)
        if (top / name).exists():
            # a copy: what an editor writes into the file must not change it
            _save(fresh / "old" / name, (top / name).read_bytes())
    _save(fresh / "names.json", json.dumps(list(files)).encode())


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


def finish(top: pathlib.Path) -> bool:
    """Finish what a killed replace() began: whether all files are in place now.

    They are not where nobody may write in the repository. CannotJudge where something else
    is in the way.
    """
    whole = _complete(top)
    left = [path for kind in (".new", ".old") if (path := top / f"{NAME}{kind}").exists()]
    if left and _place(top).is_dir():
        with lock.if_free(_place(top)) as free:
            for path in left if free else []:
                shutil.rmtree(path, ignore_errors=True)
    return whole


def _complete(top: pathlib.Path) -> bool:
    """Put the files in place that a killed run prepared; as finish()."""
    if not (top / NAME).exists():
        return True
    try:
        with _moving(top), process.whole():
            if (top / NAME).exists():
                names = json.loads((top / NAME / "names.json").read_text())
                aside.keep(top, [name for name in names if _edited(top, name)])
                _move(top, "new", names)
                _clear(top)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return False
        if (top / NAME).exists():
            raise CannotJudge(f"{top}: a scripts/refresh was killed here, and what it wrote "
                              f"cannot be put in place: {error}") from None
    return True


def read(top: pathlib.Path) -> dict[str, bytes]:
    """The files of patches/ and `series` at one moment, all old or all new: {name below top: content}.

    Waits for no longer than the moves of a writer take, and writes nothing where nobody may.
    """
    while top.is_dir():
        whole = finish(top)
        with _sharing(top):
            if not (top / NAME).exists():
                return _contents(top)
            if not whole:
                return _as_prepared(top, _contents(top))
    return {}


@contextlib.contextmanager
def _sharing(top: pathlib.Path) -> Iterator[None]:
    """Hold the top directory, together with other readers, where its file system has locks."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.hold(top, PATIENCE, inherited=False, shared=True))
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
        yield


def _contents(top: pathlib.Path) -> dict[str, bytes]:
    found = {}
    for path in [top / "series", *sorted(top.glob("patches/*/*"))]:
        with contextlib.suppress(FileNotFoundError, PermissionError, IsADirectoryError):
            found[str(path.relative_to(top))] = path.read_bytes()
    return found


def _as_prepared(top: pathlib.Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """What the files will be once those that a killed run prepared are in place."""
    for name in json.loads((top / NAME / "names.json").read_text()):
        files.pop(name, None)
        with contextlib.suppress(FileNotFoundError):
            files[name] = (top / NAME / "new" / name).read_bytes()
    return files
