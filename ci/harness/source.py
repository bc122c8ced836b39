# SPDX-License-Identifier: GPL-2.0
"""The source of each step: objects of the base repository, worktrees, test-only patches."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence

from lib import checkout, command
from lib.command import Broken
from lib.kernel import patched
from lib.kernel.patched import DoesNotApply

from .paths import Paths

__all__ = ["DoesNotApply", "Source"]

# What selftests and UAPI headers are made from, with the drivers whose headers selftests include.
SELFTEST_DIRECTORIES = ("arch", "drivers/dma", "drivers/iommu", "drivers/net/ethernet/intel", "include",
                        "scripts", "tools", "usr")


class Source:
    """The base repository in the cache and the worktrees made from it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._objects: dict[tuple[str, str], str] = {}
        self._selftests = threading.Lock()

    def git(self, *arguments: str, cwd: pathlib.Path | None = None,
            env: Mapping[str, str] | None = None, data: str | None = None) -> str:
        """Standard output of a git command in the base repository."""
        where: list[object] = ["-C", cwd] if cwd else [f"--git-dir={self.paths.git}"]
        return command.output(["git", *where, *arguments], env=env, data=data).strip()

    def tree(self, commit: str) -> str:
        """The tree of a commit."""
        return self.git("rev-parse", f"{commit}^{{tree}}")

    def object(self, commit: str, path: str) -> str:
        """The object name of a path in a commit, or "" where there is none."""
        where = commit, path
        if where not in self._objects:
            try:
                self._objects[where] = self.git("rev-parse", "-q", "--verify", f"{commit}:{path}")
            except Broken:
                self._objects[where] = ""
        return self._objects[where]

    def content(self, commit: str, path: str) -> str:
        """The file at a path of a commit, every byte kept."""
        return command.run(["git", f"--git-dir={self.paths.git}", "cat-file", "blob",
                            f"{commit}:{path}"]).stdout

    def with_content(self, commit: str, path: str, text: str) -> str:
        """A commit like another whose file at `path` has other content. The same content gives
        the same commit. Only the trees above the file are made."""
        *above, name = path.split("/")
        made = self.git("hash-object", "-w", "--stdin", data=text)
        while True:
            place = "/".join(above)
            entries = []
            for entry in self.git("ls-tree", "-z", f"{commit}:{place}").strip("\0").split("\0"):
                head, _, called = entry.partition("\t")
                if called == name:
                    mode, kind, _ = head.split()
                    head = f"{mode} {kind} {made}"
                entries.append(f"{head}\t{called}\0")
            made = self.git("mktree", "-z", data="".join(entries))
            if not above:
                return self.git("commit-tree", made, "-p", commit, env=patched.IDENTITY,
                                data=f"{path}: other content\n")
            name = above.pop()

    def worktree(self, directory: pathlib.Path) -> pathlib.Path:
        """A detached worktree in the cache, made when missing, freed of what a kill left."""
        name = directory.relative_to(self.paths.cache)
        return checkout.worktree(str(name), checkout=False)

    def checkout(self, directory: pathlib.Path, commit: str) -> None:
        """Plain checkout: git rewrites only the files that differ."""
        checkout.move(directory, commit)

    @contextlib.contextmanager
    def selftests(self, commit: str) -> Iterator[pathlib.Path]:
        """CACHE/series at a commit, with what selftests are made from, for one thread: all lanes
        build their selftests in it."""
        with self._selftests:
            tree = checkout.cone_worktree("series", SELFTEST_DIRECTORIES)
            self.checkout(tree, commit)
            yield tree

    def with_test_patches(self, commit: str, patches: Sequence[pathlib.Path]) -> str:
        """A commit of the step's tree plus test-only patches; DoesNotApply."""
        return patched.commit(commit, patches)

    def changed(self, diff: str, tree: str) -> str:
        """A commit of the base with a diff, which makes it this tree; CannotJudge where it does not."""
        made, commit = patched.changed("base", [diff] if diff else [], "a commit of a tree outside\n")
        if made != tree:
            raise command.CannotJudge(f"the difference to the base gives the tree {made}, not {tree}")
        return commit
