# SPDX-License-Identifier: GPL-2.0
"""The headers for user space, before and after a patch, in a small git repository.

`make headers_install` and scripts/check-uapi.sh take minutes for all thousand headers. The
repository made here has two commits, as of before and after the patch, that hold kbuild, and
of the headers only those that the patch can change and those which they include.
"""

import collections
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable

from . import plumbing, release
from .command import CannotJudge, complete
from .plumbing import git

ARCH = "x86"  # the machine's own
_IDENTITY = plumbing.identity("series", "series@localhost", "@0 +0000")
_ROOTS = ("include/uapi/", f"arch/{ARCH}/include/uapi/")

# What `make headers_install` needs of the tree besides headers; and all of asm/ and
# asm-generic/, as kbuild makes wrappers for those.
_KBUILD = ("Makefile", "Kbuild", "Kconfig", "scripts", "usr", "include/asm-generic/Kbuild",
           "include/uapi/asm-generic", "include/uapi/Kbuild", f"arch/{ARCH}/Makefile",
           f"arch/{ARCH}/Makefile_32.cpu", f"arch/{ARCH}/include/uapi", f"arch/{ARCH}/include/asm/Kbuild",
           f"arch/{ARCH}/entry/syscalls", f"arch/{ARCH}/tools")

# usr/include/Makefile with what Makefile.build would give it: its rule %.hdrtest compiles a
# header on its own, as C and as C++.
_HEADER_TEST = f"""\
srctree := .
srcroot := .
obj := usr/include
src := usr/include
SRCARCH := {ARCH}
CC := gcc
PERL := perl
KBUILD_USERCFLAGS := -Wall -Wmissing-prototypes -Wstrict-prototypes -O2 -std=gnu11
depfile := .hdrtest.d
include scripts/Kbuild.include
include scripts/Makefile.compiler
include usr/include/Makefile
if_changed_dep = @set -e; $(cmd_$(1))
FORCE:
.PHONY: FORCE
"""


def name(path: str) -> str:
    """The name by which programs include a header: linux/vfio.h; "" for another file."""
    for root in _ROOTS:
        if path.startswith(root) and path.endswith(".h"):
            return path[len(root):]
    return ""


class Headers:
    """The headers of a commit. paths: {name: path}; users: {name: names that include it}."""

    def __init__(self, commit: str) -> None:
        listed = git(release.linux(), "ls-tree", "-r", "--name-only", commit, "--", *_ROOTS)
        self.paths = {name(path): path for path in listed.splitlines() if name(path)}
        self.users: dict[str, set[str]] = collections.defaultdict(set)
        self.used: dict[str, set[str]] = collections.defaultdict(set)
        found = plumbing.result(release.linux(), "grep", "-E", r"^[ \t]*#[ \t]*include[ \t]*[<\"]",
                                commit, "--", *_ROOTS)
        if found.returncode not in (0, 1):
            raise CannotJudge(f"git grep ended with {found.returncode}: {found.stderr.strip()}")
        for line in found.stdout.splitlines():
            _, path, text = line.split(":", 2)
            match = re.search(r'[<"]([^>"]+)[>"]', text)
            if match and name(path):
                self.users[match[1]].add(name(path))
                self.used[name(path)].add(match[1])

    @staticmethod
    def _closed(names: Iterable[str], edges: dict[str, set[str]]) -> set[str]:
        closed, left = set(), list(names)
        while left:
            here = left.pop()
            if here not in closed:
                closed.add(here)
                left += edges.get(here, ())
        return closed

    def affected(self, names: Iterable[str]) -> set[str]:
        """These headers and all that include them."""
        return self._closed(names, self.users) & set(self.paths)

    def needed(self, names: Iterable[str]) -> set[str]:
        """These headers, kbuild's asm/ and all that they include."""
        kept = {n for n in self.paths if n.startswith(("asm/", "asm-generic/"))}
        return self._closed(kept.union(names), self.used)


class Pair:
    """A repository with the headers of two commits; close() removes it.

    touched: paths that the patch touches. tested: names of the headers that it can change.
    """

    def __init__(self, before: str, after: str, touched: Iterable[str]) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="uapi-"))
        states = [Headers(commit) for commit in (before, after)]
        names = {name(path) for path in touched} - {""}
        affected = set().union(*(state.affected(names) for state in states))
        needed = set().union(*(state.needed(affected) for state in states))
        self.tested = sorted(affected)
        git(self.directory, "init", "-q")
        (self.directory / ".git/objects/info/alternates").write_text(f"{release.linux() / 'objects'}\n")
        self.commits: list[str] = []
        for state, commit in zip(states, (before, after), strict=True):
            self._commit(commit, {state.paths[n] for n in needed if n in state.paths})

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _commit(self, commit: str, headers: set[str]) -> None:
        """One more commit, with these headers of a commit of the kernel."""
        entries = git(release.linux(), "ls-tree", "-r", "-z", commit, "--", *_KBUILD, *sorted(headers))
        git(self.directory, "read-tree", "--empty")
        git(self.directory, "update-index", "-z", "--index-info", data=entries)
        tree = git(self.directory, "write-tree")
        parents = [word for parent in self.commits for word in ("-p", parent)]
        self.commits.append(git(self.directory, "commit-tree", tree, *parents, data=f"{commit}\n",
                                env=_IDENTITY))
        git(self.directory, "checkout", "-q", "--force", "--detach", self.commits[-1])
        git(self.directory, "clean", "-ffdxq")

    def compatible(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """scripts/check-uapi.sh of the later commit, on both."""
        before, after = self.commits
        return complete([self.directory / "scripts/check-uapi.sh", "-b", after, "-p", before],
                        timeout=seconds, cwd=self.directory)

    def alone(self, index: int, seconds: float) -> str:
        """What the compiler says of the tested headers of a commit, each included on its own.

        index: 0 before, 1 after the patch. CannotJudge where the headers cannot be installed.
        """
        git(self.directory, "checkout", "-q", "--force", "--detach", self.commits[index])
        git(self.directory, "clean", "-ffdxq")
        done = complete(["make", "-s", f"ARCH={ARCH}", "headers"], timeout=seconds, cwd=self.directory)
        if done.returncode != 0:
            raise CannotJudge(f"make headers ended with {done.returncode}\n{done.stderr.strip()}")
        rules = self.directory / ".git/header-test.mk"
        rules.write_text(_HEADER_TEST)
        goals = [f"usr/include/{n}test".replace(".htest", ".hdrtest") for n in self.tested
                 if (self.directory / "usr/include" / n).exists()]
        if not goals:
            return ""
        done = complete(["make", "-k", "-s", "-f", rules, *goals], timeout=seconds, cwd=self.directory)
        return done.stderr.strip() or "make failed" if done.returncode != 0 else ""
