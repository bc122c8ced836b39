# SPDX-License-Identifier: GPL-2.0
"""Whether a patch applies without those before it, and which of them it needs otherwise."""

import pathlib
import re
import subprocess
from collections.abc import Sequence

from . import scratch
from .command import CannotJudge, complete, run
from .plumbing import git


class Index:
    """An index of git in a directory of ours, for a repository without a worktree: some files of
    a commit, to which diffs are applied."""

    def __init__(self, repository: pathlib.Path, holder: pathlib.Path, commit: str,
                 files: Sequence[str]) -> None:
        self._repository, self._commit, self._files = repository, commit, files
        self._env = {"GIT_INDEX_FILE": str(holder / "index")}
        self._path = holder / "index"

    def _apply(self, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        return complete(["git", "-C", self._repository, "apply", "--cached", "--whitespace=nowarn",
                         *options, "-"], timeout=60, env=self._env, data=text)

    def refusal(self, before: Sequence[str], text: str) -> str:
        """Apply diffs to the files as they are at the commit, then try one more: what git says
        against any of them, or ""."""
        self._path.unlink(missing_ok=True)
        listed = git(self._repository, "ls-tree", "-z", "-r", self._commit, "--", *self._files)
        git(self._repository, "update-index", "-z", "--index-info", env=self._env, data=listed)
        for number, diff in enumerate([*before, text]):
            done = self._apply(diff, *(["--check"] if number == len(before) else []))
            if done.returncode != 0:
                return done.stderr.strip() or f"git apply ended with {done.returncode}"
        return ""


def _earlier(repository: pathlib.Path, start: str, end: str, files: Sequence[str],
             ) -> tuple[list[str], list[str]]:
    """The commits start..end that touch these files, or files of such a commit, oldest first, and
    all these files."""
    known = set(files)
    while True:
        text = git(repository, "log", "--reverse", "--no-renames", "--full-diff", "--name-only", "-z",
                   "--format=%x01%H", f"{start}..{end}", "--", *sorted(known))
        words = [[w for w in re.split(r"[\0\n]", part) if w] for part in text.split("\x01")[1:]]
        more = {name for _, *names in words for name in names}
        if more <= known:
            return [commit for commit, *_ in words], sorted(known)
        known |= more


def needed(repository: pathlib.Path, commits: tuple[str, str], text: str, files: Sequence[str],
           ) -> tuple[list[str], str]:
    """What a patch needs of the commits before it to apply to the first of two commits, for
    `git apply`, which takes no fuzz: (the commits between the two, oldest first; why it does not
    apply without them). ([], "") where it applies alone.

    commits: the base, and the commit below the patch; text: of the patch; files: that it touches.
    CannotJudge where it does not apply with all of them either.
    """
    start, end = commits
    with scratch.directory("alone") as holder:
        earlier, known = _earlier(repository, start, end, files)
        index = Index(repository, holder, start, known)
        why = index.refusal([], text)
        if not why:
            return [], ""
        diffs = {commit: run(["git", "-C", repository, "diff-tree", "-p", "--binary", "--full-index",
                              "--no-renames", f"{commit}^", commit]).stdout for commit in earlier}
        if other := index.refusal([diffs[c] for c in earlier], text):
            raise CannotJudge(f"git apply refuses the patch even where it belongs: {other}")
        kept = list(earlier)
        for commit in reversed(earlier):
            rest = [c for c in kept if c != commit]
            if not index.refusal([diffs[c] for c in rest], text):
                kept = rest
        return kept, why
