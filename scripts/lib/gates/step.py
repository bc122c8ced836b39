# SPDX-License-Identifier: GPL-2.0
"""One patch, with the commits before and after it."""

import functools
from collections.abc import Sequence

from .. import plumbing, release, series
from ..plumbing import git


class Step:
    """patch; before, after: commits; files: paths that it touches; everything: paths that any
    patch of the series touches."""

    def __init__(self, patch: series.Patch, before: str, after: str,
                 everything: Sequence[str]) -> None:
        self.patch, self.before, self.after = patch, before, after
        self.files = series.paths(patch.text)
        self.everything = everything
        self._present: dict[tuple[str, ...], list[str]] = {}

    @functools.cached_property
    def trees(self) -> list[str]:
        """The names of the trees before and after."""
        return git(release.linux(), "rev-parse", f"{self.before}^{{tree}}",
                   f"{self.after}^{{tree}}").split()

    def content(self, commit: str, path: str) -> str | None:
        """A file's text at a commit, None where there is none."""
        return plumbing.content(release.linux(), commit, path)

    def present(self, suffixes: tuple[str, ...]) -> list[str]:
        """Touched files of these suffixes that exist after the patch."""
        if suffixes not in self._present:
            self._present[suffixes] = [f for f in self.files if f.endswith(suffixes)
                                       and self.content(self.after, f) is not None]
        return self._present[suffixes]

    def new(self) -> list[str]:
        """Files that the patch adds."""
        found = git(release.linux(), "diff", "--name-only", "-z", "--no-renames",
                    "--diff-filter=A", self.before, self.after)
        return [name for name in found.split("\0") if name]
