# SPDX-License-Identifier: GPL-2.0
"""A step's tree with changes on it that are no part of the series, such as a lane's test-only patches."""

import pathlib
from collections.abc import Sequence

from .. import cache, plumbing, release, scratch
from ..command import Broken
from ..store import digest, write_atomically

# A fixed identity and date: the same patches on the same base give the same commits.
IDENTITY = plumbing.ours("2026-01-01T00:00:00Z")


class DoesNotApply(Exception):
    """A test-only patch does not apply; the text is what git said."""


def commit(step: str, patches: Sequence[pathlib.Path]) -> str:
    """A commit of the step's tree plus test-only patches; DoesNotApply.

    The patches never enter the series: they give a lane's guest what the
    emulator cannot, and are inert until the kernel command line says so.
    """
    if not patches:
        return step
    kept = cache.store() / "test-patches" / digest(step, [p.read_text() for p in patches])
    try:
        made = kept.read_text()
        if plumbing.succeeds(release.linux(), "cat-file", "-e", f"{made}^{{commit}}"):
            return made
    except FileNotFoundError:
        pass
    made = _made(step, patches)
    write_atomically(kept, made)
    return made


def _made(step: str, patches: Sequence[pathlib.Path]) -> str:
    try:
        return changed(step, [patch.read_text() for patch in patches], "test-only patches\n")[1]
    except Broken as error:
        names = ", ".join(patch.name for patch in patches)
        raise DoesNotApply(f"{names}: {error.stderr.strip()}") from None


def changed(revision: str, diffs: Sequence[str], message: str) -> tuple[str, str]:
    """(tree, commit) of a revision with diffs on it; Broken where git cannot apply one."""
    here = release.linux()
    with scratch.directory("index") as holder:
        env = {**IDENTITY, "GIT_INDEX_FILE": str(holder / "index")}
        plumbing.git(here, "read-tree", revision, env=env)
        for diff in diffs:
            plumbing.git(here, "apply", "--cached", "--whitespace=nowarn", "-", data=diff, env=env)
        tree = plumbing.git(here, "write-tree", env=env)
    return tree, plumbing.git(here, "commit-tree", tree, "-p", revision, data=message, env=env)


def with_content(commit_of: str, path: str, text: str) -> str:
    """A commit like another whose file at `path` has other content. The same content gives
    the same commit. Only the trees above the file are made."""
    here = release.linux()
    *above, name = path.split("/")
    made = plumbing.git(here, "hash-object", "-w", "--stdin", data=text)
    while True:
        place = "/".join(above)
        entries = []
        for entry in plumbing.git(here, "ls-tree", "-z", f"{commit_of}:{place}").strip("\0").split("\0"):
            head, _, called = entry.partition("\t")
            if called == name:
                mode, kind, _ = head.split()
                head = f"{mode} {kind} {made}"
            entries.append(f"{head}\t{called}\0")
        made = plumbing.git(here, "mktree", "-z", data="".join(entries))
        if not above:
            return plumbing.git(here, "commit-tree", made, "-p", commit_of, env=IDENTITY,
                                data=f"{path}: other content\n")
        name = above.pop()
