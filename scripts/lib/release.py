# SPDX-License-Identifier: GPL-2.0
"""The kernel repository in the cache: the base of the series, and versions of kernels."""

import pathlib
import re

from . import cache, plumbing
from .command import CannotJudge, run
from .plumbing import git
from .series import Series

BASE = "refs/heads/base"
# The author of a base that was made of files, not of commits that others have.
SNAPSHOT = "base@localhost"

# VERSION, PATCHLEVEL, SUBLEVEL and EXTRAVERSION of a kernel's Makefile.
Version = tuple[str, str, str, str]


def imported(path: pathlib.Path) -> str:
    """The commit of the base in CACHE/linux.git, or "" before the import.

    CannotJudge, with git's words, where the repository is there and git cannot read it.
    """
    if not all((path / name).exists() for name in ("HEAD", "config", "objects", "refs")):
        return ""
    done = run(["git", f"--git-dir={path}", "rev-parse", "-q", "--verify", f"{BASE}^{{commit}}"],
               check=False)
    if done.returncode not in (0, 1):
        why = done.stderr.strip() or f"git ended with {done.returncode}"
        raise CannotJudge(f"git cannot read the base in {path}: {why}")
    return done.stdout.strip()


def linux() -> pathlib.Path:
    """The repository of the base in the cache: CannotJudge when it has not been imported."""
    path = cache.repository()
    if not imported(path):
        raise CannotJudge("the base is not in the cache yet; run: scripts/base")
    return path


def base() -> str:
    """The commit of the base."""
    return git(linux(), "rev-parse", "--verify", f"{BASE}^{{commit}}")


def public() -> bool:
    """Whether others can have the commit of the base."""
    return git(linux(), "log", "-1", "--format=%ae", BASE) != SNAPSHOT


def point(name: str, revision: str) -> None:
    """Set a reference of the scripts' own, in the cache's repository.

    name: below refs/; revision: a commit. Whoever sets it holds the lock that such
    references are set under, so that a lock file of git's is what a kill left.
    """
    (linux() / f"{name}.lock").unlink(missing_ok=True)
    git(linux(), "update-ref", name, revision)


def version(directory: pathlib.Path | str, revision: str = "HEAD") -> Version | None:
    """The version of a kernel tree by its Makefile; None when there is no kernel's Makefile."""
    if (text := plumbing.content(directory, revision, "Makefile")) is None:
        return None
    found = []
    for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"):
        match = re.search(rf"^{name} *=[ \t]*(\S*)[ \t]*$", text, re.M)
        if not match:
            return None
        found.append(match.group(1))
    major, minor, sub, extra = found
    return major, minor, sub, extra


def spelled(found: Version | None) -> str:
    """A version as people write it: 7.3.4, 7.4-rc1; what is there when it is none."""
    if found is None:
        return "no kernel (no Makefile with a version)"
    major, minor, sub, extra = found
    return f"{major}.{minor}" + (f".{sub}" if sub not in ("", "0") else "") + extra


def is_base(found: Version | None, listing: Series) -> bool:
    """Whether a version is the base of the series, or one of its stable releases."""
    return found is not None and found[:2] == listing.version and found[3] == ""
