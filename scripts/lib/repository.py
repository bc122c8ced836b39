# SPDX-License-Identifier: GPL-2.0
"""The repository of the series, the base in the cache, and git on both."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from . import command, scratch, series
from .command import Broken, CannotJudge, Failed, Full, output, run
from .lock import hold, hold_name

TOP = pathlib.Path(__file__).resolve().parents[2]
BASE = "refs/heads/base"


def cache():
    """The cache directory, made when missing."""
    path = command.cache_directory()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotJudge(f"cannot make the cache directory {path}: {error.strerror}; "
                          "set XDG_CACHE_HOME") from None
    return path


def lock(name: str, seconds: float = 1800, inherited: bool = True,
         ) -> contextlib.AbstractContextManager[None]:
    """Hold CACHE/NAME.lock."""
    return hold(cache() / f"{name}.lock", seconds, inherited)


def write_atomically(path: pathlib.Path | str, data: str | bytes) -> None:
    """Write text or bytes so that a reader sees the old file or the new one.

    What is written first has one name for each path: what a kill left of it is used anew.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    beside = path.with_name(f".new-{path.name}")
    with hold_name(beside) as descriptor:
        try:
            with open(descriptor, "wb", closefd=False) as stream:
                stream.truncate(0)
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            os.fchmod(descriptor, 0o644)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def git(directory, *arguments, **kwargs):
    """Standard output of git in a directory (a worktree or a bare repository)."""
    return output(["git", "-C", directory, *arguments], **kwargs)


def attempt(directory: pathlib.Path | str, *arguments: object,
            **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """git in a directory, however it ends."""
    return run(["git", "-C", directory, *arguments], check=False, **kwargs)


def succeeds(directory, *arguments):
    """Whether a git command ends with 0."""
    return attempt(directory, *arguments).returncode == 0


def imported(path: pathlib.Path) -> str:
    """The commit of the base in CACHE/linux.git, or "" before the import.

    CannotJudge, with git's words, where the repository is there and git cannot read it.
    """
    if not all((path / name).exists() for name in ("HEAD", "config", "objects", "refs")):
        return ""
    done = run(["git", f"--git-dir={path}", "rev-parse", "-q", "--verify", f"{BASE}^{{commit}}"],
               check=False)
    if done.returncode not in (0, 1):
        why = done.stderr.strip() or f"git ended with {done.returncode}"
        raise CannotJudge(f"git cannot read the base in {path}: {why}")
    return done.stdout.strip()


def linux():
    """The repository of the base in the cache: CannotJudge when it has not been imported."""
    path = cache() / "linux.git"
    if not imported(path):
        raise CannotJudge("the base is not in the cache yet; run: scripts/base")
    return path


def base():
    """The commit of the base."""
    return git(linux(), "rev-parse", "--verify", f"{BASE}^{{commit}}")


def version(directory, revision="HEAD"):
    """The version of a kernel tree by its Makefile: (VERSION, PATCHLEVEL, SUBLEVEL,
    EXTRAVERSION), strings; None when there is no kernel's Makefile."""
    try:
        text = git(directory, "cat-file", "blob", f"{revision}:Makefile")
    except Broken:
        return None
    found = []
    for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"):
        match = re.search(rf"^{name} *=[ \t]*(\S*)[ \t]*$", text, re.M)
        if not match:
            return None
        found.append(match.group(1))
    return tuple(found)


def spelled(found):
    """A version as people write it: 7.3.4, 7.4-rc1; what is there when it is none."""
    if found is None:
        return "no kernel (no Makefile with a version)"
    major, minor, sub, extra = found
    return f"{major}.{minor}" + (f".{sub}" if sub not in ("", "0") else "") + extra


def is_base(found, listing):
    """Whether a version is the base of the series, or one of its stable releases."""
    return found is not None and found[:2] == listing.version and found[3] == ""


def private(directory):
    """A worktree's own git directory."""
    return pathlib.Path(git(directory, "rev-parse", "--absolute-git-dir"))


def abandon(directory):
    """Free a worktree of this repository's own from what a kill left: locks, a git am."""
    own = private(directory)
    (own / "index.lock").unlink(missing_ok=True)
    (own / "HEAD.lock").unlink(missing_ok=True)
    shutil.rmtree(own / "rebase-apply", ignore_errors=True)
    for name in ("sequencer", "CHERRY_PICK_HEAD"):
        path = own / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def point(name, revision):
    """Set a reference of the scripts' own, in the cache's repository.

    name: below refs/; revision: a commit. Whoever sets it holds the lock that such
    references are set under, so that a lock file of git's is what a kill left.
    """
    (linux() / f"{name}.lock").unlink(missing_ok=True)
    git(linux(), "update-ref", name, revision)


def _of(path: pathlib.Path, repository: pathlib.Path) -> bool:
    """Whether a directory is a worktree of this repository, and of no other that it was copied
    from."""
    if not (path / ".git").exists():
        return False
    done = attempt(path, "rev-parse", "--git-common-dir")
    common = path / done.stdout.strip()
    return done.returncode == 0 and common.is_dir() and common.samefile(repository)


def worktree(name, checkout=True):
    """CACHE/NAME, a detached worktree of the base that belongs to the scripts alone."""
    repository, path = linux(), cache() / name
    if (path / ".git").exists() and not _of(path, repository):
        attempt(repository, "worktree", "repair", path)  # the cache was moved or copied
    if not _of(path, repository):
        if path.exists():
            shutil.rmtree(path)
        git(repository, "worktree", "prune")
        git(repository, "worktree", "add", "-q", "--detach", "--no-checkout", "-f", "-f",
            path, BASE)
    abandon(path)
    if checkout:
        move(path, BASE)
    return path


def move(path, revision):
    """Plain checkout, detached: git rewrites only the files that differ."""
    git(path, "checkout", "-q", "--force", "--detach", revision, timeout=1800)


def sparse_worktree(name, revision, files):
    """CACHE/NAME at revision with only `files` written out: in a second, for git am."""
    path = worktree(name, checkout=False)
    for entry in path.iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    git(path, "update-ref", "--no-deref", "HEAD", git(path, "rev-parse", f"{revision}^{{commit}}"))
    git(path, "read-tree", revision)
    there = git(path, "ls-files", "--", *files).split("\n") if files else []
    if there and there != [""]:
        git(path, "checkout-index", "-f", "--", *there)
    return path


# What makes git am give the same content whoever runs it, byte by byte.
AM = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "am", "--quiet", "--no-3way",
      "--no-scissors", "--keep-cr", "--whitespace=nowarn"]
IDENTITY = {"GIT_COMMITTER_NAME": "series", "GIT_COMMITTER_EMAIL": "series@localhost"}
_ABOUT_A_PATCH = re.compile(r"(?m)^(?:Patch failed at |Patch is empty|Patch format detection failed)")


def _hook(directory: pathlib.Path | str, user: bool) -> str:
    """The hook that ended git am, which says nothing of its own then; "" without one."""
    staged = not succeeds(directory, "diff", "--cached", "--quiet")
    name = "pre-applypatch" if staged else "applypatch-msg"
    path = pathlib.Path(directory) / attempt(
        directory, "rev-parse", "--git-path", f"hooks/{name}", user=user).stdout.strip()
    return str(path) if os.access(path, os.X_OK) else ""


def refusal(directory, files, done, user=False):
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


def replay(patches, start, options=(), identity=None):
    """Commits of patches on a commit, made in a worktree of the cache where only the touched
    files are written out: as steps() returns them. The caller holds lock("steps")."""
    tree = sparse_worktree("steps", start, sorted(
        {name for patch in patches for name in series.paths(patch.text)}))
    why, index = None, len(patches)
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


def steps(patches, start=None):
    """Commits of the base and of each step after it, and the refusal where one fails.

    patches: [Patch]. Returns ([base, first, ...], None), or the commits before the
    patch that does not apply and a text that says why. The same patches on the
    same base give the same commits; they are kept in the cache.
    """
    with frozen(patches) as copies:
        return _steps(copies, start or base())


def _steps(patches, start):
    total = hashlib.sha256("\0".join([start, *AM]).encode())
    for patch in patches:
        total.update(patch.name.encode() + b"\0" + patch.content + b"\0")
    kept = cache() / "verdicts/steps" / f"{total.hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        commits = json.loads(kept.read_text())
        if succeeds(linux(), "cat-file", "-e", f"{commits[-1]}^{{tree}}"):
            return commits, None
    with lock("steps"):
        commits, why = replay(patches, start, ["--committer-date-is-author-date"])
    if why:
        return commits, f"patches/{patches[len(commits) - 1].name} does not apply:\n{why}"
    write_atomically(kept, json.dumps(commits))
    return commits, None
