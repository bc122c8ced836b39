# SPDX-License-Identifier: GPL-2.0
"""Where things are: the repository, and the cache that outlives a clone."""

import pathlib

from lib.command import cache_directory

TOP = pathlib.Path(__file__).resolve().parents[2]


class Paths:
    """Directories of one repository and its cache.

    top: the repository (holds series, patches/, kconfig-fragments/, ci/).
    cache: ${XDG_CACHE_HOME:-~/.cache}/linux-dmabuf-series.
    """

    def __init__(self, top: pathlib.Path = TOP, cache: pathlib.Path | None = None) -> None:
        self.top = pathlib.Path(top)
        self.cache = pathlib.Path(cache or cache_directory())
        self.git = self.cache / "linux.git"
        self.store = self.cache / "verdicts"
        self.artifacts = self.cache / "artifacts"
        self.logs = self.cache / "logs"

    def log(self, name: str) -> pathlib.Path:
        """The log that a record in the store names: records hold no path, since they travel."""
        return self.logs / pathlib.PurePath(name).name

    def lane(self, name: str) -> pathlib.Path:
        """The directory of one lane: objects, diagnostics, source worktree."""
        return self.cache / "lanes" / name
