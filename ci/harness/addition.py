# SPDX-License-Identifier: GPL-2.0
"""The lines that the series adds to a file, and the patch that each is of."""

import re
from collections.abc import Mapping, Sequence

from lib import cache, plumbing
from lib.series import Patch, Series, paths

# Code that tests, or that runs nowhere but on the developer's machine.
_TESTS = re.compile(r"(^|/)(tests?|tools|Documentation|samples|scripts)/|(^|/)st-[^/]*\.c$|"
                    r"(_kunit|_test|selftest|test_\w+)\.[ch]$")


def of_code(series: Series) -> list[str]:
    """The .c and .h files that patches touch, without those that are tests, sorted."""
    touched = {name for patch in series.patches for name in paths(patch.text)}
    return sorted(n for n in touched if n.endswith((".c", ".h")) and not _TESTS.search(n))


class Additions:
    """Which patch each line of the last step is of. commits: of the base and each step."""

    def __init__(self, series: Series, commits: Sequence[str]) -> None:
        self._series, self._commits = series, commits
        self._lines: dict[str, Mapping[int, Patch]] = {}
        self._texts: dict[str, str] = {}
        self._files = {patch.name: paths(patch.text) for patch in series.patches}

    def touching(self, file: str) -> list[Patch]:
        """The patches that touch a file, in order."""
        return [p for p in self._series.patches if file in self._files[p.name]]

    def text(self, file: str) -> str:
        """A file of the last step; "" where there is none."""
        if file not in self._texts:
            self._texts[file] = plumbing.content(cache.repository(), self._commits[-1], file) or ""
        return self._texts[file]

    def lines(self, file: str) -> Mapping[int, Patch]:
        """The lines of a file that the series adds, by their number, 1 for the first."""
        if file not in self._lines:
            self._lines[file] = self._blame(file) if self.text(file) else {}
        return self._lines[file]

    def _blame(self, file: str) -> dict[int, Patch]:
        said = plumbing.git(cache.repository(), "blame", "--porcelain",
                            f"{self._commits[0]}..{self._commits[-1]}", "--", file)
        patch_of = dict(zip(self._commits[1:], self._series.patches, strict=True))
        found = {}
        for line in said.split("\n"):
            # of content lines, the first character is a tab
            if match := re.match(r"([0-9a-f]{40,64}) \d+ (\d+)", line):
                if patch := patch_of.get(match.group(1)):
                    found[int(match.group(2))] = patch
        return found
