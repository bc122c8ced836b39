# SPDX-License-Identifier: GPL-2.0
"""What is the user's in a git tree, such that two looks at it can be compared: references,
index, every file, and what nobody may leave behind there."""

import hashlib
import os
import pathlib
import stat
import subprocess

# Git as nobody has configured it, whatever the trial does to the user's.
PLAIN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8",
         "GIT_OPTIONAL_LOCKS": "0", "HOME": "/nonexistent"}
# What a command may leave in the clone: reports, and what Python makes of a module.
_OURS = {".git", "out", "__pycache__"}


def git(tree: pathlib.Path, *words: str) -> str:
    """Standard output of git in a tree, or what it said and ended with."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-c", "safe.bareRepository=all", "-C", str(tree), *words],
        env={"PATH": os.environ["PATH"], **PLAIN}, capture_output=True, text=True,
        errors="surrogateescape", check=False, timeout=60)
    return done.stdout.strip("\n") if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def content(path: pathlib.Path) -> str:
    """The kind of a file and a digest of what it holds."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return f"link to {os.readlink(path)}"
    kind = "program" if found.st_mode & 0o100 else "file"
    return f"{kind} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def files(tree: pathlib.Path) -> dict[str, str]:
    """{name below the tree: content()} of all files, tracked, untracked and ignored."""
    found = {}
    for directory, names, leaves in os.walk(tree):
        names[:] = [n for n in names if n not in _OURS]
        for leaf in leaves:
            path = pathlib.Path(directory, leaf)
            if leaf != ".git":  # that of a linked worktree
                found[str(path.relative_to(tree))] = content(path)
    return found


def history(tree: pathlib.Path, revision: str = "HEAD") -> str:
    """The last commits without what depends on the time: trees, authors, messages."""
    return git(tree, "log", "-20", "--format=%T %an <%ae> %at%n%B", revision)


def leftovers(tree: pathlib.Path) -> str:
    """Lock files and unfinished operations in the git directory of a tree."""
    own = pathlib.Path(git(tree, "rev-parse", "--absolute-git-dir"))
    found = {path for path in own.rglob("*.lock")}
    found |= {own / name for name in ("rebase-apply", "rebase-merge", "sequencer", "MERGE_HEAD",
                                           "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG")
              if (own / name).exists()}
    return "\n".join(sorted(str(path.relative_to(own)) for path in found))


def state(tree: pathlib.Path) -> dict[str, str]:
    """{name: content()} of what the git directory of a tree holds, without index and objects: also
    what git keeps of an operation in progress."""
    own = pathlib.Path(git(tree, "rev-parse", "--absolute-git-dir"))
    return {str(path.relative_to(own)): content(path) for path in own.rglob("*")
            if path.is_file() and path.name != "index" and "objects" not in path.relative_to(own).parts}


def of(tree: pathlib.Path) -> dict[str, str]:
    """The parts of a user's tree, each a text."""
    parts = {
        "HEAD": git(tree, "symbolic-ref", "-q", "HEAD"),
        "history": history(tree),
        "references": git(tree, "for-each-ref", "--format=%(refname) %(tree)"),
        "stash": git(tree, "stash", "list", "--format=%gs %T"),
        "index": git(tree, "ls-files", "--stage", "--deduplicate"),
        "left over": leftovers(tree),
    }
    return parts | {f"file {name}": what for name, what in files(tree).items()}
