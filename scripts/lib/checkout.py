# SPDX-License-Identifier: GPL-2.0
"""The worktrees in the cache that belong to the scripts alone."""

import contextlib
import pathlib
import shutil
import time
from collections.abc import Sequence

from . import cache
from .release import BASE, linux
from .plumbing import git, private, result


def abandon(directory: pathlib.Path) -> None:
    """Free a worktree of this repository's own from what a kill left: locks, a git am."""
    own = private(directory)
    for lock in own.glob("*.lock"):  # of the index, HEAD, ORIG_HEAD and what else git writes
        lock.unlink(missing_ok=True)
    shutil.rmtree(own / "rebase-apply", ignore_errors=True)
    for name in ("sequencer", "CHERRY_PICK_HEAD"):
        path = own / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _of(path: pathlib.Path, repository: pathlib.Path) -> bool:
    """Whether a directory is a worktree of this repository, and of no other that it was copied
    from."""
    if not (path / ".git").exists():
        return False
    done = result(path, "rev-parse", "--git-common-dir")
    common = path / done.stdout.strip()
    return done.returncode == 0 and common.is_dir() and common.samefile(repository)


def _repair(repository: pathlib.Path) -> None:
    """Let the worktrees in the cache and the repository name each other, as the cache may have been
    moved or copied: pruning takes those that git does not find, and with them the objects below.

    Not by `git worktree repair`, which in a copy turns the worktrees of the original over to it.
    """
    for pattern in ("*/.git", "lanes/*/source/.git"):
        for link in cache.directory().glob(pattern):
            if link.is_file():
                own = repository / "worktrees" / link.read_text().strip().rpartition("/")[2]
                if (own / "gitdir").is_file():
                    cache.write_atomically(own / "gitdir", f"{link}\n")
                    cache.write_atomically(link, f"gitdir: {own}\n")


def forget(path: pathlib.Path, repository: pathlib.Path) -> None:
    """Let the repository forget a worktree that was removed, and what is left of any that `git
    worktree add` was killed at, a minute ago or more: it is locked against pruning, and where git
    cannot read it, git makes no other worktree."""
    for own in (repository / "worktrees").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            link, common = own / "gitdir", own / "commondir"
            mine = link.is_file() and (
                pathlib.Path(link.read_text().strip()).resolve() == (path / ".git").resolve())
            broken = not (common.is_file() and common.read_text())
            if mine or broken and time.time() - own.stat().st_mtime > 60:
                shutil.rmtree(own)


def worktree(name: str, checkout: bool = True) -> pathlib.Path:
    """CACHE/NAME, a detached worktree of the base that belongs to the scripts alone."""
    repository, path = linux(), cache.directory() / name
    if not _of(path, repository):
        _repair(repository)
    if not _of(path, repository):
        if path.exists():
            shutil.rmtree(path)
        forget(path, repository)
        git(repository, "worktree", "prune")
        git(repository, "worktree", "add", "-q", "--detach", "--no-checkout", "-f", "-f",
            path, BASE)
    abandon(path)
    if checkout:
        move(path, BASE)
    return path


def move(path: pathlib.Path, revision: str) -> None:
    """Plain checkout, detached: git rewrites only the files that differ."""
    git(path, "checkout", "-q", "--force", "--detach", revision, timeout=1800)


def cone_worktree(name: str, directories: Sequence[str]) -> pathlib.Path:
    """worktree() without a checkout, in which each is of these directories and the files at the top
    alone: less to keep on the disk."""
    path = worktree(name, checkout=False)
    done = result(path, "sparse-checkout", "list")
    if done.returncode or done.stdout.split() != sorted(directories):
        git(path, "sparse-checkout", "set", "--cone", *directories, timeout=1800)
    return path


def sparse_worktree(name: str, revision: str, files: Sequence[str]) -> pathlib.Path:
    """CACHE/NAME at revision with only `files` written out: in a second, for git am."""
    path = worktree(name, checkout=False)
    for entry in path.iterdir():
        if entry.name != ".git":
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    git(path, "update-ref", "--no-deref", "HEAD", git(path, "rev-parse", f"{revision}^{{commit}}"))
    git(path, "read-tree", revision)
    there = git(path, "ls-files", "--", *files).split("\n") if files else []
    if there and there != [""]:
        git(path, "checkout-index", "-f", "--", *there)
    return path
