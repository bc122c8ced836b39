# SPDX-License-Identifier: GPL-2.0
"""The series onto the base: in the cache's own worktree, or in a new one of the user's."""

import pathlib
import shutil
from collections.abc import Sequence

from . import applied, cache, checkout, clone, command, export, plumbing, process, refused, release
from . import replay, series as series_file
from . import snapshot, worktree
from .command import Failed
from .plumbing import git
from .release import BASE
from .series import Patch

BRANCH = "refs/heads/series"
APPLIED = "refs/series/applied"  # the tip as we left it: nothing of the user's above


def made(patches: Sequence[Patch], signoff: bool, where: object, repeat: str) -> str:
    """The commit that the patches give on the base, by the user as committer.

    Failed names the patch that does not apply; nothing but the cache's repository is written.
    """
    linux, start = release.linux(), release.base()
    who = worktree.committer(linux)
    with cache.lock("steps"):
        commits, why = replay.replay(patches, start, ["--signoff"] if signoff else [], who)
    if why:
        raise refused.does_not_apply(patches[len(commits) - 1], why, where, repeat)
    return commits[-1]


def onto_new_worktree(tree: str, patches: Sequence[Patch], signoff: bool, repeat: str) -> pathlib.Path:
    """Onto the base in a new detached worktree of the cache's repository."""
    path = pathlib.Path(tree).absolute()
    if path.exists() or path.is_symlink():
        raise Failed(f"{tree} exists; --worktree makes it")
    tip = made(patches, signoff, f"nothing was made: {tree}", repeat)
    linux, beside = release.linux(), path.with_name(f".{path.name}.series-new")
    with cache.lock("new-worktree"):
        shutil.rmtree(beside, ignore_errors=True)  # what a kill left
        checkout.forget(beside, linux)
        git(linux, "worktree", "prune")
        try:
            # -f -f: git locks a worktree while it makes it, and a kill leaves that
            git(linux, "worktree", "add", "-q", "-f", "-f", "--detach", beside, tip, timeout=1800)
            with process.whole():
                if path.exists() or path.is_symlink():  # git would move it below a directory
                    raise Failed(f"{tree} has come into being meanwhile; --worktree makes it")
                git(linux, "worktree", "move", beside, path)
                command.ignore_signals()  # it is whole
        except BaseException:
            process.end_all()
            with process.whole():
                shutil.rmtree(beside, ignore_errors=True)
                git(linux, "worktree", "prune")
            raise
    applied.remember(path, patches)
    return path


def own_commits(tip: str) -> list[str]:
    """Subjects of commits up to tip that patches/ does not hold: [] when all are kept."""
    linux = release.linux()
    if plumbing.result(linux, "rev-parse", "-q", "--verify", APPLIED).stdout.strip() == tip:
        return []
    kept = [text for name, text in series_file.present(clone.TOP).items() if name.endswith(".patch")]
    # a tip without the base in its history stands on an earlier base, which is its root
    start = (plumbing.result(linux, "merge-base", BASE, tip).stdout.split()
             or git(linux, "rev-list", "--max-parents=0", tip).split())[0]
    # neither a merge nor a commit that changes nothing is ever a patch
    lost = [commit.subject for commit in export.commits(linux, start, tip)
            if commit.empty or commit.merge]
    # of an empty commit git writes nothing, or in later releases a mail without a difference
    return lost + [series_file.subject(text) for _, text in export.patches(linux, start, tip)
                   if "\ndiff --git " in text and not any(export.same(old, text) for old in kept)]


def own_worktree() -> pathlib.Path:
    """The cache's worktree on branch series, made when missing, whole or not."""
    path, linux = cache.directory() / "tree", release.linux()
    making = cache.directory() / "tree.new"  # there until all files of the worktree are
    if not (path / ".git").exists() or not plumbing.succeeds(path, "rev-parse", "HEAD"):
        if path.exists() and any(entry.name != ".git" for entry in path.iterdir()):
            raise Failed(f"{path} exists and is no worktree of ours; move it away")
        shutil.rmtree(path, ignore_errors=True)
        checkout.forget(path, linux)
        git(linux, "worktree", "prune")
        if not plumbing.succeeds(linux, "rev-parse", "-q", "--verify", BRANCH):
            git(linux, "branch", "series", BASE)
        making.touch()
        git(linux, "worktree", "add", "-q", "-f", "-f", "--no-checkout", path, "series")
    if not (plumbing.private(path) / "index").exists():
        if making.exists():
            checkout.abandon(path)
            git(path, "reset", "-q", "--hard", timeout=1800)
        else:
            git(path, "read-tree", "HEAD")  # somebody removed it; files that differ are theirs
    making.unlink(missing_ok=True)
    return path


def nothing_lost(path: pathlib.Path, repeat: str) -> None:
    """Failed where moving that worktree's branch would lose work of the user's."""
    worktree.clean(path, user=False)
    tips = [git(path, "rev-parse", BRANCH)]
    if not plumbing.succeeds(path, "symbolic-ref", "-q", "HEAD"):
        tips.append(git(path, "rev-parse", "HEAD"))
    if lost := [subject for tip in tips for subject in own_commits(tip)]:
        raise Failed(
            f"{path} has commits that patches/ does not hold:\n  " + "\n  ".join(lost) +
            "\nwrite them there (scripts/refresh); or keep them aside, repeat this, and pick them:\n"
            f"  git -C {path} switch -c kept && git -C {path} branch -f series {BASE}\n"
            f"  {repeat}\n"
            f"  git -C {path} cherry-pick COMMIT...")


def onto_cache(patches: Sequence[Patch], signoff: bool, repeat: str) -> pathlib.Path:
    """Onto the base in the cache's own worktree, which moves when all patches apply."""
    release.linux()
    with cache.lock("tree"):
        path = own_worktree()
        snapshot.repair(path, user=False)
        nothing_lost(path, repeat)
        tip = made(patches, signoff, path, repeat)
        paths = git(path, "diff", "--name-only", "--no-renames", "-z", "HEAD", tip).split("\0")
        with snapshot.guarded(path, user=False, paths=[p for p in paths if p], target=tip,
                              refs=[BRANCH]):
            git(path, "checkout", "-q", "--no-overwrite-ignore", "-B", "series", tip, timeout=1800)
        release.point(APPLIED, tip)
        applied.remember(path, patches)
    return path
