# SPDX-License-Identifier: GPL-2.0
"""A worktree that somebody works in: what is changed or unfinished there, and the committer.

user: whether the tree is the user's own, where git follows their configuration and hooks; in
the cache's worktrees it follows neither.
"""

import pathlib
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from . import plumbing
from .command import CannotJudge, Failed, output, run
from .process import shell

ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}  # we read what git says


def result(directory: pathlib.Path | str, *arguments: object, user: bool,
           env: Mapping[str, str] | None = None, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """git in a worktree, however it ends."""
    return run(["git", "-C", directory, *arguments], user=user, env={**ENGLISH, **(env or {})},
               check=False, **kwargs)


def top(directory: pathlib.Path | str) -> pathlib.Path:
    """The top directory of the user's worktree; CannotJudge with git's words where it is none."""
    done = result(directory, "rev-parse", "--show-toplevel", user=True)
    if done.returncode != 0:
        why = (done.stderr.strip() or "no worktree").splitlines()[0]
        raise CannotJudge(f"{directory}: not a git worktree ({why})")
    return pathlib.Path(done.stdout.rstrip("\n"))


def changed(directory: pathlib.Path, user: bool) -> list[str]:
    """Tracked files with uncommitted changes, staged or not."""
    text = output(["git", "-C", directory, "--no-optional-locks", "status", "--porcelain", "-z",
                   "--no-renames", "--untracked-files=no", "--ignore-submodules=none"], user=user,
                  env=ENGLISH)
    return [entry[3:] for entry in text.split("\0") if entry]


# What a git operation in progress keeps in the git directory, and how it is called. Of these
# only the first counts: a rebase leaves files of the operations that it is made of.
_UNFINISHED = (("rebase-apply/applying", "git am"), ("rebase-apply", "git rebase"),
               ("rebase-merge", "git rebase"), ("MERGE_HEAD", "git merge"),
               ("CHERRY_PICK_HEAD", "git cherry-pick"), ("REVERT_HEAD", "git revert"))


def _sequence(own: pathlib.Path) -> str:
    """What goes on after a pick or a revert that the user has committed, or ""."""
    try:
        first = (own / "sequencer/todo").read_text(errors="replace").split(maxsplit=1)[:1]
    except FileNotFoundError:
        return "git cherry-pick" if (own / "sequencer").exists() else ""
    return "git revert" if first in (["revert"], ["r"]) else "git cherry-pick"


def in_progress(directory: pathlib.Path) -> list[str]:
    """The git operations that stand unfinished in a worktree: "git am", "git bisect"."""
    own = plumbing.private(directory)
    one = next((what for name, what in _UNFINISHED if (own / name).exists()), "") or _sequence(own)
    return [what for what in (one, "git bisect" if (own / "BISECT_LOG").exists() else "") if what]


def _aborts(directory: pathlib.Path, what: str) -> str:
    """The command that ends an operation in progress and puts back what was before it."""
    word = what.removeprefix("git ")
    return shell(["git", "-C", directory, word, "reset" if word == "bisect" else "--abort"])


def clean(directory: pathlib.Path, user: bool) -> None:
    """Failed when something of the user's stands uncommitted or unfinished there."""
    if found := in_progress(directory):
        raise Failed(f"{directory}: an unfinished {' and '.join(found)} is there; finish or abort it "
                     f"first, for example:\n  "
                     + "\n  ".join(_aborts(directory, what) for what in found))
    if names := changed(directory, user):
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise Failed(f"{directory}: uncommitted changes; commit or stash them first:\n  "
                     + "\n  ".join(names[:5]) + more)


def refresh_index(directory: pathlib.Path, user: bool) -> None:
    """Let the index know the time stamps of files that were put back."""
    result(directory, "-c", "core.hooksPath=/dev/null", "update-index", "-q", "--refresh", user=user)


def as_committed(directory: pathlib.Path, name: str, user: bool) -> bool:
    """Whether a file has the content that HEAD has for it."""
    committed = result(directory, "rev-parse", "-q", "--verify", f"HEAD:{name}", user=user)
    own = result(directory, "hash-object", "--", name, user=user)
    return committed.returncode == 0 and committed.stdout == own.stdout


def committer(git_directory: pathlib.Path | str) -> dict[str, str]:
    """The user as git's variables, as their configuration says for a repository."""
    done = run(["git", f"--git-dir={git_directory}", "-c", "user.useConfigOnly=true", "var",
                "GIT_COMMITTER_IDENT"], user=True, env={**ENGLISH, "GIT_COMMITTER_DATE": ""},
               check=False)
    match = re.match(r"(.*) <(.*)> \d+ [-+]\d+$", done.stdout.strip())
    if done.returncode == 0 and match:
        return {"GIT_COMMITTER_NAME": match.group(1), "GIT_COMMITTER_EMAIL": match.group(2)}
    if re.search(r"(?i)auto-detection|tell me who you are|ident name|empty ident", done.stderr):
        raise CannotJudge("git does not know who you are, and each applied patch names its "
                          "committer; tell it:\n"
                          "  git config --global user.name 'Your Name'\n"
                          "  git config --global user.email you@example.org")
    raise CannotJudge(f"git does not say who you are: {done.stderr.strip() or done.stdout.strip()}")
