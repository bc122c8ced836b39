# SPDX-License-Identifier: GPL-2.0
"""git in a directory, and what it has at a commit."""

import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

from .command import output, run


def git(directory: pathlib.Path | str, *arguments: object, **kwargs: Any) -> str:
    """Standard output of git in a directory (a worktree or a bare repository)."""
    return output(["git", "-C", directory, *arguments], **kwargs)


def result(directory: pathlib.Path | str, *arguments: object,
           **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """git in a directory, however it ends."""
    return run(["git", "-C", directory, *arguments], check=False, **kwargs)


def succeeds(directory: pathlib.Path | str, *arguments: object) -> bool:
    """Whether a git command ends with 0."""
    return result(directory, *arguments).returncode == 0


def object_name(directory: pathlib.Path | str, revision: str) -> str:
    """The name of the object that a revision means, such as COMMIT:PATH; "" where there is none."""
    return result(directory, "rev-parse", "-q", "--verify", revision).stdout.strip()


def content(directory: pathlib.Path | str, commit: str, path: str) -> str | None:
    """The text of a file at a commit, every byte kept; None where there is none."""
    done = result(directory, "cat-file", "blob", f"{commit}:{path}")
    return done.stdout if done.returncode == 0 else None


def upload_pack(*settings: str) -> str:
    """The argument of git fetch that lets git serve a repository of the user's although that hides
    references, is bare or is another user's; settings: more, as NAME=VALUE. Our own configuration does
    not reach the git that serves."""
    every = ("safe.directory=*", "safe.bareRepository=all", "uploadpack.hideRefs=!refs", *settings)
    return f"--upload-pack=git {' '.join(f'-c {setting}' for setting in every)} upload-pack"


def identity(name: str, address: str, date: str = "",
             roles: Sequence[str] = ("AUTHOR", "COMMITTER")) -> dict[str, str]:
    """The variables that tell git who makes a commit, and when where a date is given."""
    values = {"NAME": name, "EMAIL": address, **({"DATE": date} if date else {})}
    return {f"GIT_{role}_{what}": value for role in roles for what, value in values.items()}


def ours(date: str = "", roles: Sequence[str] = ("AUTHOR", "COMMITTER")) -> dict[str, str]:
    """identity() of the commits that nobody writes."""
    return identity("series", "series@localhost", date, roles)


def private(directory: pathlib.Path | str) -> pathlib.Path:
    """A worktree's own git directory."""
    return pathlib.Path(git(directory, "rev-parse", "--absolute-git-dir"))
