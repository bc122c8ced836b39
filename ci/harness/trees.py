# SPDX-License-Identifier: GPL-2.0
"""The worktrees in the cache that steps are checked out in, and the names of what is in their trees."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator

from lib import checkout, plumbing

from .paths import Paths

# What selftests and UAPI headers are made from, with the drivers whose headers selftests include.
SELFTEST_DIRECTORIES = ("arch", "drivers/dma", "drivers/iommu", "drivers/net/ethernet/intel", "include",
                        "scripts", "tools", "usr")


class Trees:
    """The base repository in the cache and the worktrees made from it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._objects: dict[tuple[str, str], str] = {}
        self._selftests = threading.Lock()

    def object(self, commit: str, path: str) -> str:
        """The object name of a path in a commit, or "" where there is none; looked up once."""
        where = commit, path
        if where not in self._objects:
            self._objects[where] = plumbing.object_name(self.paths.git, f"{commit}:{path}")
        return self._objects[where]

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
