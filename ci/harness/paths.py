"""Where things are: the repository, and the cache that outlives a clone."""

import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]


class Paths:
    """Directories of one repository and its cache.

    top: the repository (holds series, patches/, kconfig-fragments/, ci/).
    cache: ${XDG_CACHE_HOME:-~/.cache}/linux-dmabuf-series.
    """

    def __init__(self, top=TOP, cache=None):
        self.top = pathlib.Path(top)
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.cache = pathlib.Path(cache or pathlib.Path(home) / "linux-dmabuf-series")
        self.git = self.cache / "linux.git"
        self.store = self.cache / "verdicts"
        self.artifacts = self.cache / "artifacts"
        self.logs = self.cache / "logs"

    def lane(self, name):
        """The directory of one lane: objects, diagnostics, source worktree."""
        return self.cache / "lanes" / name
