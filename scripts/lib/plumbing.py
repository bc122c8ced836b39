# SPDX-License-Identifier: GPL-2.0
"""git in a directory."""

import pathlib
import subprocess
from typing import Any

from .command import output, run


def git(directory: pathlib.Path | str, *arguments: object, **kwargs: Any) -> str:
    """Standard output of git in a directory (a worktree or a bare repository)."""
    return output(["git", "-C", directory, *arguments], **kwargs)


def attempt(directory: pathlib.Path | str, *arguments: object,
            **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """git in a directory, however it ends."""
    return run(["git", "-C", directory, *arguments], check=False, **kwargs)


def succeeds(directory: pathlib.Path | str, *arguments: object) -> bool:
    """Whether a git command ends with 0."""
    return attempt(directory, *arguments).returncode == 0


def private(directory: pathlib.Path | str) -> pathlib.Path:
    """A worktree's own git directory."""
    return pathlib.Path(git(directory, "rev-parse", "--absolute-git-dir"))
