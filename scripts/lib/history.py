# SPDX-License-Identifier: GPL-2.0
"""The history of a kernel tree, LINUX=DIR, in which the commits in Fixes: tags are looked up."""

import os
import pathlib

from .command import run
from .plumbing import git, succeeds


class History:
    """A tree with history; `missing`: why there is none, or ""."""

    def __init__(self, directory: str | None) -> None:
        self.directory = directory or ""
        self.missing = self._missing()
        self._subjects: dict[str, str | None] = {}

    def _missing(self) -> str:
        if not self.directory:
            return "LINUX=DIR, a kernel tree with history, lets it be looked up"
        if not succeeds(self.directory, "rev-parse", "HEAD~1"):
            return f"LINUX={self.directory} has no history"
        if git(self.directory, "rev-parse", "--is-shallow-repository") != "false":
            return f"LINUX={self.directory} is shallow"
        return ""

    def subject(self, commit: str) -> str | None:
        """The subject of a commit, None where the history has no such commit."""
        if commit not in self._subjects:
            done = run(["git", "-C", self.directory, "log", "-1", "--format=%s", commit], check=False)
            self._subjects[commit] = done.stdout.strip() if done.returncode == 0 else None
        return self._subjects[commit]

    def files(self, commit: str) -> list[str]:
        """The files that a commit touches; none where the history has no such commit."""
        done = run(["git", "-C", self.directory, "diff-tree", "--root", "--no-commit-id", "--name-only",
                    "--no-renames", "-r", "-z", commit], check=False)
        return done.stdout.split("\0")[:-1] if done.returncode == 0 else []

    def git_directory(self) -> pathlib.Path:
        """The repository itself, for a tool that asks git on its own."""
        return pathlib.Path(git(self.directory, "rev-parse", "--absolute-git-dir"))

    def head(self) -> str:
        """The commit that names the whole of the history, "" where there is none."""
        return "" if self.missing else git(self.directory, "rev-parse", "HEAD")


def find() -> History:
    """The history that LINUX= names."""
    return History(os.environ.get("LINUX"))
