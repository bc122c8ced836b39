# SPDX-License-Identifier: GPL-2.0
"""Directories that fixtures copy: each is made once in a process and removed at its end."""

import atexit
import os
import pathlib
import py_compile
import shutil
import tempfile
from collections.abc import Callable

TOP = pathlib.Path(__file__).resolve().parents[2]
_MODULES = ("scripts/lib", "ci/harness")  # what the commands import

_made: dict[object, pathlib.Path] = {}


def _directory() -> pathlib.Path:
    """The directory of all templates of this process."""
    if _directory not in _made:
        place = _made[_directory] = pathlib.Path(tempfile.mkdtemp(prefix="test-templates-"))
        atexit.register(_remove, place, os.getpid())
    return _made[_directory]


def _remove(place: pathlib.Path, owner: int) -> None:
    """A child of a test that ends like Python does removes nothing."""
    if os.getpid() == owner:
        shutil.rmtree(place, ignore_errors=True)


def made(key: object, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The directory that make(directory) filled for this key, which must name all that it reads."""
    if key not in _made:
        place = pathlib.Path(tempfile.mkdtemp(dir=_directory())) / "made"
        place.mkdir()  # with the mode of any directory
        make(place)
        _made[key] = place
    return _made[key]


def _project(place: pathlib.Path) -> None:
    for name in ("scripts", "ci"):
        shutil.copytree(TOP / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for directory in _MODULES:
        for path in sorted((place / directory).rglob("*.py")):
            py_compile.compile(str(path), doraise=True,
                               invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)


def project() -> pathlib.Path:
    """scripts/ and ci/ of this repository with their modules compiled.

    A module keeps its time in a copy, so that Python takes what was compiled. A test that writes
    a module gives it another time, and Python compiles it.
    """
    return made(project, _project)
