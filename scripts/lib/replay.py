# SPDX-License-Identifier: GPL-2.0
"""The commits that git am makes of the patches, and what it says of a patch that it refuses."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from . import cache, command, plumbing, scratch, series
from .checkout import abandon, sparse_worktree
from .command import CannotJudge, Failed, Full, run
from .release import base, linux
from .plumbing import git, private, result, succeeds

# What makes git am give the same content whoever runs it, byte by byte.
AM = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "am", "--quiet", "--no-3way",
      "--no-scissors", "--keep-cr", "--whitespace=nowarn"]
IDENTITY = plumbing.ours(roles=["COMMITTER"])
_ABOUT_A_PATCH = re.compile(r"(?m)^(?:Patch failed at |Patch is empty|Patch format detection failed)")


def _hook(directory: pathlib.Path | str, user: bool) -> str:
    """The hook that ended git am, which says nothing of its own then; "" without one."""
    staged = not succeeds(directory, "diff", "--cached", "--quiet")
    name = "pre-applypatch" if staged else "applypatch-msg"
    path = pathlib.Path(directory) / result(
        directory, "rev-parse", "--git-path", f"hooks/{name}", user=user).stdout.strip()
    return str(path) if os.access(path, os.X_OK) else ""


def refusal(directory: pathlib.Path | str, files: Sequence[series.Patch],
            done: subprocess.CompletedProcess[str], user: bool = False) -> tuple[int, str]:
    """Which of the patch files git am stopped at, and its words: (index, text).

    To be called before git am --abort; done: the CompletedProcess of git am; user: whether
    it ran with the user's configuration and hooks. CannotJudge where git am ended by
    something else than a patch or a hook: no room, no time, a signal.
    """
    text = (done.stderr + done.stdout).strip()
    lines = [line for line in text.splitlines() if not line.startswith("hint: ")]
    try:
        index = int((private(directory) / "rebase-apply/next").read_text()) - 1
    except (FileNotFoundError, ValueError):
        index = 0
    index = min(index, len(files) - 1)
    if command.full(text):
        raise Full(f"the disk is full: {directory}\n  " + "\n  ".join(lines[-3:]))
    if done.returncode == 1 and "fatal: " not in text and (hook := _hook(directory, user)):
        return index, "\n".join([f"  the hook {hook} refuses it:", *(f"    {x}" for x in lines[-5:])])
    if not _ABOUT_A_PATCH.search(text):
        how = "took too long" if done.returncode is None else f"ended with {done.returncode}"
        raise CannotJudge(f"{directory}: git am {how} at {files[index].name}:\n  "
                          + "\n  ".join(lines[-5:] or ["it gave no reason"]))
    said = []
    for line in lines:
        if match := re.match(r"error: patch failed: (.*):(\d+)$", line):
            said.append(f"{match.group(1)}: the hunk at line {match.group(2)} does not fit")
        elif match := re.match(r"(?:error|fatal): (.*)", line):
            if not (said and match.group(1).endswith(": patch does not apply")):
                said.append(match.group(1))
    return index, "\n".join(f"  {line}" for line in said or lines[-3:])


@contextlib.contextmanager
def frozen(patches: Sequence[series.Patch]) -> Iterator[list[series.Patch]]:
    """The same patches in files of our own, which nobody edits while we work with them."""
    with scratch.directory("patches") as holder:
        copies = [dataclasses.replace(p, path=holder / f"{p.step:04d}.patch", data=p.content)
                  for p in patches]
        for patch, copy in zip(patches, copies, strict=True):
            copy.path.write_bytes(patch.content)
        yield copies


def replay(patches: Sequence[series.Patch], start: str, options: Sequence[str] = (),
           identity: Mapping[str, str] | None = None) -> tuple[list[str], str | None]:
    """Commits of patches on a commit, made in a worktree of the cache where only the touched
    files are written out: as steps() returns them. The caller holds lock("steps")."""
    tree = sparse_worktree("steps", start, sorted(
        {name for patch in patches for name in series.paths(patch.text)}))
    why: str | None = None
    index = len(patches)
    if patches:
        done = run(["git", "-C", tree, *AM, *options, *[p.path for p in patches]], check=False,
                   env=identity or IDENTITY, timeout=1800)
        if done.returncode != 0:
            try:
                index, why = refusal(tree, patches, done)
            finally:
                abandon(tree)
    commits = [start, *git(tree, "rev-list", "--reverse", f"{start}..HEAD").split()]
    if why:
        return commits[:index + 1], why
    if len(commits) != len(patches) + 1:
        raise Failed(f"{len(patches)} patch files gave {len(commits) - 1} commits: "
                     "each file must hold exactly one message")
    return commits, None


def steps(patches: Sequence[series.Patch], start: str | None = None,
          ) -> tuple[list[str], str | None]:
    """Commits of the base and of each step after it, and the refusal where one fails.

    Returns ([base, first, ...], None), or the commits before the
    patch that does not apply and a text that says why. The same patches on the
    same base give the same commits; they are kept in the cache.
    """
    with frozen(patches) as copies:
        return _steps(copies, start or base())


def all_steps(patches: Sequence[series.Patch]) -> list[str]:
    """Commits of the base and of each step after it; CannotJudge where a patch does not apply."""
    commits, refusal = steps(patches)
    if refusal:
        raise CannotJudge(f"{' '.join(refusal.split())}; again: scripts/apply")
    return commits


def _steps(patches: Sequence[series.Patch], start: str) -> tuple[list[str], str | None]:
    total = hashlib.sha256("\0".join([start, *AM]).encode())
    for patch in patches:
        total.update(patch.name.encode() + b"\0" + patch.content + b"\0")
    kept = cache.store() / "steps" / f"{total.hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        commits: list[str] = json.loads(kept.read_text())
        if succeeds(linux(), "cat-file", "-e", f"{commits[-1]}^{{tree}}"):
            return commits, None
    with cache.lock("steps"):
        commits, why = replay(patches, start, ["--committer-date-is-author-date"])
    if why:
        return commits, f"patches/{patches[len(commits) - 1].name} does not apply:\n{why}"
    cache.write_atomically(kept, json.dumps(commits))
    return commits, None
