# SPDX-License-Identifier: GPL-2.0
"""The kernel configuration of a lane: its fragments, merged into a configuration target of kbuild."""

import functools
import os
import pathlib
import re
import shutil
import signal
from collections.abc import Sequence

from .. import cache, plumbing, process, release
from ..command import CannotJudge, Failed
from ..lane import Lane
from ..store import digest, write_atomically

_KCONFIG = re.compile(r"(^|/)Kconfig[^/]*$|^scripts/kconfig/|^kernel/configs/|^arch/[^/]+/configs/tiny")
_SECONDS = 600  # for a target; beside boots it gets a fraction of a core


class Unconfigured(CannotJudge):
    """A configuration target failed; the text says how. The commit may be to blame.

    reason: how, in words that are the same in each cache.
    """

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"{reason}; {where}")
        self.reason = reason


def wanted(text: str) -> dict[str, str]:
    """The assignments of a fragment: {symbol: value}, "n" for one that is off; the last counts."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"(CONFIG_\w+)=(.*)$", line):
            found[match.group(1)] = match.group(2)
        elif match := re.match(r"# (CONFIG_\w+) is not set$", line):
            found[match.group(1)] = "n"
    return found


def unmet(fragment: str, config: str) -> list[tuple[str, str, str]]:
    """Lines of a fragment that did not take effect: [(symbol, wanted, got)]."""
    have = wanted(config)
    return [(symbol, value, have.get(symbol, "n")) for symbol, value in wanted(fragment).items()
            if have.get(symbol, "n") != value]


def make(lane: Lane, commit: str, tree: pathlib.Path, words: Sequence[object], toolchain: str) -> str:
    """The text of .config for one step of a lane.

    tree: worktree checked out at commit; words: of make, that name the lane's tools. Kept in
    the cache by Kconfig files, fragments and toolchain, so that it is made anew only for a step
    that touches one of them. Unconfigured: kbuild cannot make it. CannotJudge when a line of
    the fragments that no later one overrides does not take effect although the tree knows its
    symbol.
    """
    lines = plumbing.git(release.linux(), "ls-tree", "-r", commit).split("\n")
    kconfigs = digest([line for line in lines if _KCONFIG.search(line.split("\t", 1)[1])])
    kept = cache.directory() / "config" / digest(lane.arch, lane.config, lane.fragment, kconfigs, toolchain)
    try:
        text = kept.read_text()
        os.utime(kept)  # it is in use: pruning takes the oldest
        return text
    except FileNotFoundError:
        pass
    text = _made(lane, tree, words)
    bad = [f"{symbol}={value} (is {got})" for symbol, value, got in unmet(lane.fragment, text)
           if _known(commit, symbol)]
    if bad:
        names = ", ".join(f"kconfig-fragments/{path.name}" for path in lane.fragments)
        raise CannotJudge(f"{names}: no effect in lane {lane.name}: {', '.join(bad)}"
                          + _why_no_rust(lane, tree, words, text))
    write_atomically(kept, text.encode())
    return text


def _why_no_rust(lane: Lane, tree: pathlib.Path, words: Sequence[object], text: str) -> str:
    """What kbuild says of the Rust toolchain where a lane wants Rust and does not get it, or ""."""
    if wanted(lane.fragment).get("CONFIG_RUST") != "y" or wanted(text).get("CONFIG_RUST") == "y":
        return ""
    log = cache.lanes() / lane.name / "config/rustavailable"
    outcome = process.run(["make", "-s", "-C", tree, f"O={log.parent}", *words, "rustavailable"], log,
                          _SECONDS)
    said = re.findall(r"(?m)^\*\*\* (\w.*)", log.read_text(errors="replace"))
    return "; make rustavailable: " + (" ".join(said) or (
        "it is; something else that CONFIG_RUST depends on is not" if outcome.rc == 0 else
        f"ended with {outcome.rc}, see {log}"))


def _made(lane: Lane, tree: pathlib.Path, words: Sequence[object]) -> str:
    scratch = cache.lanes() / lane.name / "config"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    log = scratch / "log"
    base = ["make", "-s", "-C", tree, f"O={scratch}", *words]
    if lane.config == "allnoconfig":
        allconfig = scratch / "fragment"
        allconfig.write_text(lane.fragment)
        commands = [[*base, f"KCONFIG_ALLCONFIG={allconfig}", "allnoconfig"]]
    else:
        merge = tree / "scripts/kconfig/merge_config.sh"
        commands = [[*base, lane.config],
                    [merge, "-m", "-O", scratch, scratch / ".config", *lane.fragments],
                    [*base, "olddefconfig"]]
    for command in commands:
        outcome = process.run(command, log, _SECONDS, cwd=tree)
        if outcome.rc == 0:
            continue
        said = (log.read_text(errors="replace").strip().splitlines() or ["without a word"])[-1]
        where = f"see {log}; again: {process.shell(command)}"
        if ended := how_ended(outcome.rc, _SECONDS):
            raise CannotJudge(f"lane {lane.name}: configuration {ended}; {where}")
        for place in (scratch, tree):
            said = said.replace(f"{place}/", "")
        raise Unconfigured(f"lane {lane.name}: configuration failed: {said}", where)
    return (scratch / ".config").read_text()


def how_ended(rc: int | None, seconds: float) -> str:
    """How a command was ended that did not end by itself, or ""."""
    if rc is None:
        return f"took more than {seconds:g} s"
    return f"was ended by {signal.Signals(-rc).name}" if rc < 0 else ""


@functools.cache
def _symbols(commit: str) -> frozenset[str]:
    """The symbols that the Kconfig files of a commit define."""
    done = plumbing.result(release.linux(), "grep", "-h", "-o", "-E", r"^\s*(menu)?config\s+[A-Za-z0-9_]+",
                           commit, "--", "*Kconfig*")
    if done.returncode not in (0, 1):
        raise CannotJudge(f"git grep ended with {done.returncode}: {done.stderr.strip()}")
    return frozenset(f"CONFIG_{line.split()[-1]}" for line in done.stdout.splitlines())


def check(lane: Lane, commit: str) -> None:
    """Failed where the fragments of a lane name a symbol that no Kconfig file knows; commit: the
    last step's, since a step before it may not have the symbol yet."""
    for path in lane.fragments:
        if unknown := sorted(set(wanted(path.read_text())) - _symbols(commit)):
            raise Failed(f"kconfig-fragments/{path.name}: no Kconfig file knows {unknown[0]}")


def _known(commit: str, symbol: str) -> bool:
    """Whether some Kconfig file of the commit defines the symbol."""
    return symbol in _symbols(commit)


def install(text: str, objects: pathlib.Path) -> None:
    """Put .config in place only when it differs: its time stamp rebuilds nothing."""
    path = pathlib.Path(objects) / ".config"
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text.encode())
