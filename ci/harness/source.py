# SPDX-License-Identifier: GPL-2.0
"""The source of each step: objects of the base repository, worktrees, test-only patches."""

import contextlib
import os
import pathlib
import re
import threading
from collections.abc import Iterator

from lib import command, repository
from lib.command import Broken
from lib.store import digest, write_atomically

# A fixed identity and date: the same patches on the same base give the same commits.
IDENTITY = {
    "GIT_COMMITTER_NAME": "series", "GIT_COMMITTER_EMAIL": "series@localhost",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_AUTHOR_NAME": "series", "GIT_AUTHOR_EMAIL": "series@localhost",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
}


class DoesNotApply(Exception):
    """A test-only patch does not apply; the text is what git said."""


class Source:
    """The base repository in the cache and the worktrees made from it."""

    def __init__(self, paths):
        self.paths = paths
        self._objects: dict[tuple[str, str], str] = {}
        self._selftests = threading.Lock()

    def git(self, *arguments, cwd=None, env=None, data=None):
        """Standard output of a git command in the base repository."""
        where = ["-C", cwd] if cwd else [f"--git-dir={self.paths.git}"]
        return command.output(["git", *where, *arguments], env={**IDENTITY, **(env or {})},
                              data=data).strip()

    def tree(self, commit):
        return self.git("rev-parse", f"{commit}^{{tree}}")

    def object(self, commit, path):
        """The object name of a path in a commit, or "" where there is none."""
        where = commit, path
        if where not in self._objects:
            try:
                self._objects[where] = self.git("rev-parse", "-q", "--verify", f"{commit}:{path}")
            except Broken:
                self._objects[where] = ""
        return self._objects[where]

    def worktree(self, directory):
        """A detached worktree in the cache, made when missing, freed of what a kill left."""
        name = pathlib.Path(directory).relative_to(self.paths.cache)
        return repository.worktree(str(name), checkout=False)

    def checkout(self, directory, commit):
        """Plain checkout: git rewrites only the files that differ."""
        repository.move(directory, commit)

    @contextlib.contextmanager
    def selftests(self, commit: str) -> Iterator[pathlib.Path]:
        """CACHE/series at a commit, for one thread: all lanes build their selftests in it."""
        with self._selftests:
            tree = self.worktree(self.paths.cache / "series")
            self.checkout(tree, commit)
            yield tree

    def with_test_patches(self, commit, patches):
        """A commit of the step's tree plus test-only patches; DoesNotApply.

        The patches never enter the series: they give a lane's guest what the
        emulator cannot, and are inert until the kernel command line says so.
        """
        if not patches:
            return commit
        kept = self.paths.store / "test-patches" / digest(commit, [p.read_text() for p in patches])
        try:
            if self.object(made := kept.read_text(), ""):
                return made
        except FileNotFoundError:
            pass
        made = self._with(commit, patches)
        write_atomically(kept, made)
        return made

    @contextlib.contextmanager
    def _index(self, commit: str) -> Iterator[dict[str, str]]:
        """An index of our own with the tree of a commit: the environment in which git uses it."""
        index = self.paths.cache / f".index-{os.getpid()}"
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            self.git("read-tree", commit, env=env)
            yield env
        finally:
            index.unlink(missing_ok=True)

    def _with(self, commit, patches):
        with self._index(commit) as env:
            for patch in patches:
                try:
                    self.git("apply", "--cached", patch, env=env)
                except Broken as error:
                    raise DoesNotApply(f"{patch}: {error.stderr.strip()}") from None
            tree = self.git("write-tree", env=env)
        return self.git("commit-tree", tree, "-p", commit, data="test-only patches\n")

    def changed(self, diff: str, tree: str) -> str:
        """A commit of the base with a diff, which makes it this tree; CannotJudge where it does not."""
        with self._index("base") as env:
            if diff:
                command.output(["git", f"--git-dir={self.paths.git}", "apply", "--cached",
                                "--whitespace=nowarn", "-"], env=env, data=diff)
            made = self.git("write-tree", env=env)
        if made != tree:
            raise command.CannotJudge(f"the difference to the base gives the tree {made}, not {tree}")
        return self.git("commit-tree", made, "-p", "base", data="a commit of a tree outside\n")

    def listing(self, commit, pattern):
        """A digest of all files whose path matches the regular expression."""
        lines = self.git("ls-tree", "-r", commit).split("\n")
        return digest([line for line in lines if re.search(pattern, line.split("\t", 1)[1])])
