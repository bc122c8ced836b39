# SPDX-License-Identifier: GPL-2.0
"""The series onto what is checked out in a git tree of the user's."""

import pathlib
from collections.abc import Sequence

from . import applied, lock, plumbing, refused, release, replay, series as series_file, snapshot
from . import worktree
from .command import CannotJudge
from .series import Patch, Series

HINT = "it looks applied already"


def there_already(tree: pathlib.Path, patches: Sequence[Patch], stopped: Patch) -> str:
    """A hint that the tree has the series, or part of it; "" where nothing says so."""
    for patch in (stopped, patches[-1]):
        done = worktree.result(tree, "apply", "--check", "--reverse", patch.path, user=True)
        if done.returncode == 0:
            return f"\n  ({HINT}: the reverse of patches/{patch.name} fits)"
    subjects = {series_file.subject(p.text) for p in patches}
    log = worktree.result(tree, "log", "--format=%s", f"-{2 * len(patches)}", user=True).stdout
    if found := [line for line in log.splitlines() if line in subjects]:
        return (f"\n  ({HINT}: {len(found)} of the last commits have subjects of the series, "
                f"the first: {found[0]!r})")
    return ""


def am(tree: pathlib.Path, patches: Sequence[Patch], options: Sequence[str]) -> None:
    """git am of all patches in a tree of the user's, or Refused with the tree as it was."""
    with snapshot.guarded(tree, user=True, **snapshot.of_patches(patches)):
        done = worktree.result(tree, *replay.AM, *options, *[p.path for p in patches],
                               user=True, timeout=3600)
        if done.returncode != 0:
            index, why = replay.refusal(tree, patches, done, user=True)
            raise refused.Refused(patches[index], why)


def apply(tree: str, patches: Sequence[Patch], series: Series, signoff: bool, any_version: bool,
          repeat: str) -> pathlib.Path:
    """Onto what is checked out in the user's git tree, by their git: all of it, or nothing.

    any_version: also onto another version than the base's.
    """
    top = worktree.top(tree)
    with lock.hold(plumbing.private(top)):
        snapshot.repair(top, user=True)
        found = release.version(top)
        if not any_version and not release.is_base(found, series):
            raise CannotJudge(f"{tree} is {release.spelled(found)}, but the series applies to "
                              f"{series.base} and its stable releases; check one of them out there "
                              "(or try with --any-version)")
        worktree.committer(plumbing.private(top))
        worktree.clean(top, user=True)
        if not patches:
            return top
        try:
            am(top, patches, ["--signoff"] if signoff else [])
        except refused.Refused as stopped:
            hint = there_already(top, patches, stopped.patch)
            raise refused.does_not_apply(stopped.patch, stopped.why + hint, top, repeat) from None
        applied.remember(top, patches)
    return top
