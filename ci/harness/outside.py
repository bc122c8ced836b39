# SPDX-License-Identifier: GPL-2.0
"""A commit of a kernel tree of the user's, taken over into the cache's repository to be judged."""

import dataclasses
import pathlib
from collections.abc import Sequence

from lib import cache, command, diff_form, plumbing, release, series
from lib.command import CannotJudge
from lib.kernel import patched

# How far back the base is looked for.
_COMMITS = 5000


@dataclasses.dataclass(frozen=True)
class Outside:
    """commit: in the cache's repository, with the tree of the user's commit; step: the one of
    the series whose expectations hold for it; name: the user's commit, short, with its subject."""

    commit: str
    step: int
    name: str


def take(directory: pathlib.Path, revision: str, listing: series.Series,
         commits: Sequence[str]) -> Outside:
    """A revision of a git tree. commits: of the steps of the series.

    Its step is the last one whose patch, by its subject, is in the revision's history.
    CannotJudge where git does not know the revision, or it does not descend from the base.
    """
    log = plumbing.result(directory, "log", f"-{_COMMITS}", "--format=%H%x09%T%x09%s", revision, "--")
    if log.returncode != 0:
        raise CannotJudge(f"{directory}: git does not know {revision}: {log.stderr.strip()}")
    lines = [line.split("\t", 2) for line in log.stdout.splitlines()]
    head, tree, subject = lines[0]
    trees = {_tree(commit): step for step, commit in enumerate(commits)}
    name = f"{head[:12]} ({subject})"
    if tree in trees:
        return Outside(commits[trees[tree]], trees[tree], name)
    base = _tree(release.BASE)
    start = next((i for i, (_, of_commit, _) in enumerate(lines) if of_commit == base), None)
    if start is None:
        raise CannotJudge(f"{directory}: {name} does not descend from the base in the cache: none of its "
                          f"last {len(lines)} commits has the base's tree {base[:12]}; with "
                          f"LINUX={directory}, scripts/base takes {listing.base} from there")
    steps = {series.title(listing, step): step for step in range(1, len(commits))}
    step = next((steps[said] for _, _, said in lines[:start] if said in steps), 0)
    diff = command.run(["git", "-C", directory, "diff", "--binary", "--full-index", "--no-renames",
                        *diff_form.OPTIONS, lines[start][0], head], timeout=1800).stdout
    return Outside(_changed(diff, tree), step, name)


def _tree(commit: str) -> str:
    """The tree of a commit of the cache's repository."""
    return plumbing.git(cache.repository(), "rev-parse", f"{commit}^{{tree}}")


def _changed(diff: str, tree: str) -> str:
    """A commit of the base with a diff, which makes it this tree; CannotJudge where it does not."""
    made, commit = patched.changed(release.BASE, [diff] if diff else [], "a commit of a tree outside\n")
    if made != tree:
        raise CannotJudge(f"the difference to the base gives the tree {made}, not {tree}")
    return commit
