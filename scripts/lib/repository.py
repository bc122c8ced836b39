# SPDX-License-Identifier: GPL-2.0
"""The repository of the series, the base in the cache, and git on both."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator

from . import command, process, series
from .command import Broken, CannotJudge, Failed, output, run

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


@contextlib.contextmanager
def lock(name: str, seconds: float = 1800, inherited: bool = True) -> Iterator[None]:
    """Hold CACHE/NAME.lock; CannotJudge when another has it for longer than `seconds`.

    inherited: children hold it, too, so that no orphan works unlocked; without, whoever gets
    the lock has to end what orphans there are.
    """
    path = cache() / f"{name}.lock"
    with open(path, "a", encoding="ascii") as stream:
        end, told = time.monotonic() + seconds, False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    command.say(f"waiting for another run that holds {path}")
                    told = True
                if time.monotonic() > end:
                    raise CannotJudge(f"another run still holds {path}, after {seconds:.0f} s; "
                                      "wait for its end") from None
                time.sleep(0.2)
        if inherited:
            process.held.append(stream.fileno())
        try:
            yield
        finally:
            if inherited:
                process.held.remove(stream.fileno())


def write_atomically(path, data):
    """Write text or bytes so that a reader sees the old file or the new one."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def git(directory, *arguments, **kwargs):
    """Standard output of git in a directory (a worktree or a bare repository)."""
    return output(["git", "-C", directory, *arguments], **kwargs)


def succeeds(directory, *arguments):
    """Whether a git command ends with 0."""
    return run(["git", "-C", directory, *arguments], check=False).returncode == 0


def linux():
    """The repository of the base in the cache: CannotJudge when it has not been imported."""
    path = cache() / "linux.git"
    if not path.is_dir() or not succeeds(path, "rev-parse", "-q", "--verify", BASE):
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


def in_progress(directory):
    """What git operation stands unfinished in a worktree, or ""."""
    own = private(directory)
    for name, what in (("rebase-apply/applying", "git am"), ("rebase-apply", "git rebase"),
                       ("rebase-merge", "git rebase"), ("MERGE_HEAD", "git merge"),
                       ("CHERRY_PICK_HEAD", "git cherry-pick")):
        if (own / name).exists():
            return what
    return ""


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


def worktree(name, checkout=True):
    """CACHE/NAME, a detached worktree of the base that belongs to the scripts alone."""
    repository, path = linux(), cache() / name
    if not (path / ".git").exists() or not succeeds(path, "rev-parse", "--git-dir"):
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


# What makes git am give the same commits whoever runs it.
AM = ["-c", "core.autocrlf=false", "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "am",
      "--quiet", "--no-3way", "--no-scissors", "--no-keep-cr", "--whitespace=nowarn"]
IDENTITY = {"GIT_COMMITTER_NAME": "series", "GIT_COMMITTER_EMAIL": "series@localhost"}


def refusal(directory, files, done):
    """Which of the patch files git am stopped at, and its words: (index, text).

    To be called before git am --abort; done: the CompletedProcess of git am.
    """
    try:
        index = int((private(directory) / "rebase-apply/next").read_text()) - 1
    except (FileNotFoundError, ValueError):
        index = 0
    said = []
    for line in (done.stderr + done.stdout).splitlines():
        if match := re.match(r"error: patch failed: (.*):(\d+)$", line):
            said.append(f"{match.group(1)}: the hunk at line {match.group(2)} does not fit")
        elif match := re.match(r"(?:error|fatal): (.*)", line):
            if not (said and match.group(1).endswith(": patch does not apply")):
                said.append(match.group(1))
    if not said:
        said = (done.stderr + done.stdout).strip().splitlines()[-3:] or ["git am gave no reason"]
    return min(index, len(files) - 1), "\n".join(f"  {line}" for line in said)


def steps(patches, start=None):
    """Commits of the base and of each step after it, and the refusal where one fails.

    patches: [Patch]. Returns ([base, first, ...], None), or the commits before the
    patch that does not apply and a text that says why. The same patches on the
    same base give the same commits; they are kept in the cache.
    """
    start = start or base()
    total = hashlib.sha256(start.encode())
    for patch in patches:
        total.update(patch.name.encode() + b"\0" + patch.path.read_bytes() + b"\0")
    kept = cache() / "verdicts/steps" / f"{total.hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        commits = json.loads(kept.read_text())
        if succeeds(linux(), "cat-file", "-e", f"{commits[-1]}^{{tree}}"):
            return commits, None
    files = sorted({name for patch in patches for name in series.paths(patch.text)})
    why = None
    with lock("steps"):
        tree = sparse_worktree("steps", start, files)
        if patches:
            done = run(["git", "-C", tree, *AM, "--committer-date-is-author-date",
                        *[p.path for p in patches]], check=False, env=IDENTITY)
            if done.returncode != 0:
                index, why = refusal(tree, patches, done)
                why = f"patches/{patches[index].name} does not apply:\n{why}"
                abandon(tree)
        commits = [start, *git(tree, "rev-list", "--reverse", f"{start}..HEAD").split()]
    if why:
        return commits[:index + 1], why
    if len(commits) != len(patches) + 1:
        raise Failed(f"{len(patches)} patch files gave {len(commits) - 1} commits: "
                     "each file must hold exactly one message")
    write_atomically(kept, json.dumps(commits))
    return commits, None
