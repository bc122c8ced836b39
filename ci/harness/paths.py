# SPDX-License-Identifier: GPL-2.0
"""Where things are: the repository, and the cache that outlives a clone."""

import pathlib

from lib import cache
from lib.clone import TOP


class Paths:
    """Directories of the repository, and of the cache, which is made when it is first asked for.

    top: the repository (holds series, patches/, kconfig-fragments/, ci/); cache:
    ${XDG_CACHE_HOME:-~/.cache}/linux-dmabuf-series; what is where in it, lib.cache says.
    """

    top = TOP

    @property
    def cache(self) -> pathlib.Path:
        return cache.directory()

    @property
    def git(self) -> pathlib.Path:
        return cache.repository()

    @property
    def store(self) -> pathlib.Path:
        return cache.store()

    @property
    def artifacts(self) -> pathlib.Path:
        return cache.artifacts()

    @property
    def logs(self) -> pathlib.Path:
        return cache.logs()

    @property
    def tools(self) -> pathlib.Path:
        return cache.tools()

    def log(self, name: str) -> pathlib.Path:
        """The log that a record in the store names: records hold no path, since they travel."""
        return self.logs / pathlib.PurePath(name).name

    def lane(self, name: str) -> pathlib.Path:
        """The directory of one lane: objects, diagnostics, source worktree."""
        return cache.lanes() / name
