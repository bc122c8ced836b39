# SPDX-License-Identifier: GPL-2.0
"""The state of a git tree before we change it, kept in its git directory until the change is
complete: after an interruption the tree is as it was, and after a kill the next run restores it."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any

from . import command, plumbing, process, series, worktree
from .command import Broken, CannotJudge, Failed, say
from .process import shell
from .plumbing import git

NAME = "series-apply"  # the directory below the tree's git directory
PATIENCE = 2.0  # seconds that a lock file of somebody else's git may stay


def _locks(own: pathlib.Path, common: pathlib.Path, refs: Sequence[str]) -> list[pathlib.Path]:
    """The lock files that git makes when it moves HEAD, the index and these references."""
    return [own / "index.lock", own / "HEAD.lock", own / "ORIG_HEAD.lock",
            *(common / f"{ref}.lock" for ref in refs if ref)]


def _linger(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Those of the lock files that are still there after PATIENCE."""
    limit = time.monotonic() + PATIENCE
    while (there := [p for p in paths if p.exists()]) and time.monotonic() < limit:
        time.sleep(0.05)
    return there


def _look(path: pathlib.Path) -> list[int] | None:
    """What changes when a file is written anew: [inode, mode, size, mtime in ns]; None without one."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns]


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copy2(source, target, follow_symlinks=False)


def _put(source: pathlib.Path, target: pathlib.Path) -> None:
    """Move a file over another: without new room, where both are on one disk."""
    try:
        os.replace(source, target)
    except OSError:
        beside = target.with_name(f".{target.name}.series-apply")
        _copy(source, beside)
        os.replace(beside, target)
        source.unlink()


class Snapshot:
    """HEAD, the index and the files at some paths of a worktree.

    state: {"head": reference that HEAD names, or ""; "commit": of HEAD; "refs": {reference:
    commit, or ""}; "original": ORIG_HEAD, or ""; "files": [[path, look, or None]];
    "directories": those to be made; "made": subjects of the commits that we may make;
    "target": a commit that HEAD may have, or ""}.
    """

    def __init__(self, tree: pathlib.Path, user: bool) -> None:
        self.tree, self.user = pathlib.Path(tree), user
        self.own = plumbing.private(tree)
        self.common = (self.tree / git(tree, "rev-parse", "--git-common-dir")).resolve()
        self.place = self.own / NAME
        self.state: dict[str, Any] = {}

    def _value(self, revision: str) -> str:
        done = plumbing.result(self.tree, "rev-parse", "-q", "--verify", revision)
        return done.stdout.strip()

    def _lock_files(self) -> list[pathlib.Path]:
        return _locks(self.own, self.common, [self.state["head"], *self.state["refs"]])

    def take(self, paths: Sequence[str], made: Sequence[str] = (), target: str = "",
             refs: Sequence[str] = ()) -> None:
        """Keep what is there. Failed where another git works in the tree just now."""
        self.state = {
            "head": plumbing.result(self.tree, "symbolic-ref", "-q", "HEAD").stdout.strip(),
            "commit": git(self.tree, "rev-parse", "HEAD"),
            "refs": {ref: self._value(ref) for ref in refs}, "original": self._value("ORIG_HEAD"),
            "made": list(made), "target": target, "directories": [], "files": []}
        if locks := _linger(self._lock_files()):
            raise Failed(f"{self.tree}: another git is at work there; if there is none, remove its locks: "
                         f"{shell(['rm', '-f', *locks])}")
        fresh = self.place.with_name(f"{NAME}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "files").mkdir(parents=True)
        for number, name in enumerate(paths):
            path = self.tree / name
            look = _look(path)
            self.state["files"].append([name, look])
            if look and (stat.S_ISREG(look[1]) or stat.S_ISLNK(look[1])):
                _copy(path, fresh / "files" / str(number))
        self.state["directories"] = sorted({
            str(parent) for name in paths for parent in pathlib.PurePath(name).parents
            if not (self.tree / parent).is_dir()}, reverse=True)
        if (self.own / "index").exists():
            _copy(self.own / "index", fresh / "index")
        (fresh / "absent").write_bytes(b"".join(
            os.fsencode(name) + b"\0" for name, look in self.state["files"] if look is None))
        (fresh / "state.json").write_text(json.dumps(self.state))
        fresh.rename(self.place)

    def drop(self) -> None:
        """The change is whole: nothing is to be undone from here on."""
        gone = self.place.with_name(f"{NAME}.old")
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def restore(self) -> None:
        """Restore the tree; where that fails, CannotJudge says what to do."""
        shutil.rmtree(self.place.with_name(f"{NAME}.new"), ignore_errors=True)
        if not self.place.exists():
            return
        process.end_all()
        for lock in _linger(self._lock_files()):
            lock.unlink(missing_ok=True)
        try:
            shutil.rmtree(self.own / "rebase-apply", ignore_errors=True)
            self._restore_files()
            self._restore_head()
        except (OSError, Broken) as error:
            raise CannotJudge(f"{self.tree} could not be restored: {error}\n"
                              f"{self._by_hand()}") from None
        worktree.refresh_index(self.tree, self.user)
        self.drop()

    def _restore_files(self) -> None:
        for number, (name, look) in enumerate(self.state["files"]):
            path, kept = self.tree / name, self.place / "files" / str(number)
            if _look(path) == look:
                continue
            if kept.is_symlink() or kept.exists():
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                path.parent.mkdir(parents=True, exist_ok=True)
                _put(kept, path)
            elif look is None:
                path.unlink()
        for name in self.state["directories"]:
            with contextlib.suppress(OSError):
                (self.tree / name).rmdir()
        if (self.place / "index").exists():
            _put(self.place / "index", self.own / "index")

    def _restore_head(self) -> None:
        head, commit = self.state["head"], self.state["commit"]
        reason = ["-m", "scripts/apply: undone"]
        if head and plumbing.result(self.tree, "symbolic-ref", "-q", "HEAD").stdout.strip() != head:
            git(self.tree, "symbolic-ref", *reason, "HEAD", head)
        if self._value("HEAD") != commit or not head:
            git(self.tree, "update-ref", *reason, *([] if head else ["--no-deref"]), "HEAD", commit)
        for ref, value in {**self.state["refs"], "ORIG_HEAD": self.state["original"]}.items():
            if self._value(ref) != value:
                git(self.tree, "update-ref", *([ref, value] if value else ["-d", ref]))

    def _by_hand(self) -> str:
        """The commands that restore the tree, and those that leave it as it is."""
        locks = [lock for lock in self._lock_files() if lock.exists()]
        words = [["rm", "-rf", self.own / "rebase-apply", *locks]]
        if self.state["head"]:
            words.append(["git", "-C", self.tree, "symbolic-ref", "HEAD", self.state["head"]])
        words += [["git", "-C", self.tree, "reset", "--hard", self.state["commit"]],
                  ["sh", "-c", 'cd "$0" && xargs -0 rm -f <"$1"', self.tree, self.place / "absent"],
                  ["rm", "-r", self.place]]
        return ("to restore it, without any change made since:\n  "
                + "\n  ".join(map(shell, words))
                + f"\nto keep it as it stands:\n  {shell(['rm', '-r', self.place])}")

    def repair(self) -> None:
        """Undo what a killed run left, if nobody has worked there since; else CannotJudge."""
        for name in (f"{NAME}.new", f"{NAME}.old"):
            shutil.rmtree(self.place.with_name(name), ignore_errors=True)
        if not self.place.exists():
            return
        self.state = json.loads((self.place / "state.json").read_text())
        if why := self._foreign():
            raise CannotJudge(f"{self.tree}: an earlier scripts/apply was killed here, and since "
                              f"then {why}\n{self._by_hand()}")
        kept = self._keep_unknown()
        self.restore()
        say(f"{self.tree}: an earlier scripts/apply was killed here; it is as it was before"
            + (f"; files as that left them are kept in {kept}" if kept else ""))

    def _foreign(self) -> str:
        """What is in the tree that a killed run of ours cannot have left, or ""."""
        head = plumbing.result(self.tree, "symbolic-ref", "-q", "HEAD").stdout.strip()
        if head != self.state["head"] and head not in self.state["refs"]:
            return f"HEAD is {head or 'detached'}, not {self.state['head'] or 'detached'}"
        now, before = self._value("HEAD"), self.state["commit"]
        if now not in (before, self.state["target"]):
            made = git(self.tree, "log", "--reverse", "--format=%s", f"{before}..{now}")
            found = made.split("\n")
            if not made or found != self.state["made"][:len(found)]:
                return f"HEAD has moved to {now[:12]}, which scripts/apply did not make"
        if what := [w for w in worktree.in_progress(self.tree) if w != "git am"]:
            return f"an unfinished {' and '.join(what)} is there"
        names = {name for name, _ in self.state["files"]}
        other = [n for n in worktree.changed(self.tree, self.user) if n not in names]
        return f"{other[0]} was changed, which the series does not touch" if other else ""

    def _keep_unknown(self) -> pathlib.Path | None:
        """Copy aside files whose content is in no commit; the directory, or None without any."""
        names = [name for number, (name, look) in enumerate(self.state["files"])
                 if _look(self.tree / name) != look and (self.tree / name).is_file()
                 and (self.place / "files" / str(number)).exists() | (look is None)]
        unknown = [name for name in names if not worktree.as_committed(self.tree, name, self.user)]
        if not unknown:
            return None
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        kept = self.own / f"series-kept-{stamp}-{os.getpid()}"
        for name in unknown:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(self.tree / name, kept / name)
        return kept


@contextlib.contextmanager
def guarded(tree: pathlib.Path, user: bool, **kept: Any) -> Iterator[None]:
    """A change of a tree: complete, or undone when the block raises.

    kept: what Snapshot.take() is told. The caller holds the tree's lock and has called repair().
    """
    snapshot = Snapshot(tree, user)
    try:
        snapshot.take(**kept)
        yield
        command.ignore_signals()  # the change is whole
        snapshot.drop()
    except BaseException:
        with process.whole():
            snapshot.restore()
        raise


def repair(tree: pathlib.Path, user: bool) -> None:
    """Undo what a killed run left in a tree; the caller holds the tree's lock."""
    Snapshot(tree, user).repair()


def of_patches(patches: Sequence[series.Patch]) -> dict[str, Any]:
    """What Snapshot.take() must know before git am applies these patches."""
    return {"paths": sorted({name for p in patches for name in series.paths(p.text)}),
            "made": [series.subject(p.text) for p in patches]}
