# SPDX-License-Identifier: GPL-2.0
"""What kbuild reads of a tree, and where the series touches it."""

import functools
import re
from collections.abc import Collection, Iterable

from .. import plumbing, release, series
from ..lane import Lane
from ..store import digest

# Not objects of the kernel: their own makefiles build them.
_ELSEWHERE = ("tools/", "samples/", "scripts/", "Documentation/", "usr/", "certs/")
_RULES = re.compile(r"(^|/)(Makefile|Kbuild|Kconfig)")

# At the top of a tree: for people and other tools.
_PROSE = {"COPYING", "CREDITS", "MAINTAINERS", "README", ".mailmap", ".gitignore",
          ".clang-format", ".editorconfig", ".pylintrc"}


def _entries(tree: str, *words: str) -> list[tuple[str, str]]:
    """What git ls-tree lists: (name, the whole line)."""
    text = plumbing.git(release.linux(), "ls-tree", *words, tree)
    return [(line.split("\t", 1)[1], line) for line in text.split("\n") if line]


@functools.lru_cache(maxsize=None)
def key(commit: str) -> str:
    """A digest of what a build reads of a commit: of all but prose, documentation and tests.

    Of Documentation/ kbuild reads Kconfig files and makefiles, of tools/ all but testing/.
    """
    found: list[str] = []
    for name, line in _entries(commit):
        if name == "Documentation":
            found += [f"{name}/{line}" for path, line in _entries(f"{commit}:{name}", "-r")
                      if _RULES.search(path)]
        elif name == "tools":
            found += [f"{name}/{line}" for path, line in _entries(f"{commit}:{name}") if path != "testing"]
        elif name not in _PROSE:
            found.append(line)
    return digest(found)


def compiled(files: Iterable[str]) -> list[str]:
    """The C sources and headers of the kernel among files."""
    return [f for f in files if f.endswith((".c", ".h")) and not f.startswith(_ELSEWHERE)]


def built_from(files: Iterable[str]) -> list[str]:
    """Those of the files that objects are built from: sources, headers, makefiles, Kconfig."""
    files = list(files)
    return [*compiled(files), *(f for f in files if _RULES.search(f) and not f.startswith(_ELSEWHERE))]


def directories(files: Iterable[str]) -> list[str]:
    """The directories of objects that files are in: ["kernel/dma/", "kernel/dma/tests/"]."""
    return sorted({(f.rpartition("/")[0] or ".") + "/" for f in compiled(files)
                   if not re.match(r"include/|arch/\w+/include/", f)})


def outermost(found: Collection[str]) -> list[str]:
    """Those of the directories that are below no other: what make is asked for."""
    return sorted(d for d in found if not any(d != e and d.startswith(e) for e in found))


def touched(listing: series.Series) -> list[str]:
    """The directories of objects that a series touches."""
    return directories(f for p in listing.patches for f in series.paths(p.text))


def concerns(lane: Lane, files: Iterable[str]) -> bool:
    """Whether a lane of objects builds anything from these files of a patch."""
    places = [t if t.endswith("/") else t.removesuffix(".o") + ".c" for t in lane.targets]
    own = f"arch/{'x86' if lane.arch == 'x86_64' else lane.arch}/"
    return any(f.startswith(("include/", own)) or not places
               or any(f.startswith(p) if p.endswith("/") else f == p or _RULES.search(f) for p in places)
               for f in built_from(files) if not f.startswith("arch/") or f.startswith(own))


def there(commit: str, files: Collection[str]) -> list[str]:
    """Those of the files that a commit has."""
    if not files:
        return []
    text = plumbing.git(release.linux(), "ls-tree", "-r", "--name-only", commit, "--", *files)
    return [name for name in text.split("\n") if name]
