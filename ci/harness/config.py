# SPDX-License-Identifier: GPL-2.0
"""The kernel configuration of a lane: its fragments, merged into a configuration target of kbuild."""

import pathlib
import re

from lib import process
from lib.command import Broken, output
from lib.store import digest, write_atomically

from . import prune
from .errors import CannotJudge

_KCONFIG = r"(^|/)Kconfig[^/]*$|^scripts/kconfig/|^kernel/configs/|^arch/[^/]+/configs/tiny"


def wanted(text):
    """The assignments of a fragment: {symbol: value}, "n" for one that is off; the last counts."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"(CONFIG_\w+)=(.*)$", line):
            found[match.group(1)] = match.group(2)
        elif match := re.match(r"# (CONFIG_\w+) is not set$", line):
            found[match.group(1)] = "n"
    return found


def unmet(fragment, config):
    """Lines of a fragment that did not take effect: [(symbol, wanted, got)]."""
    have = wanted(config)
    return [(symbol, value, have.get(symbol, "n")) for symbol, value in wanted(fragment).items()
            if have.get(symbol, "n") != value]


def make(source, lane, commit, tree, toolchain, paths):
    """The text of .config for one step of a lane.

    source: Source; tree: worktree checked out at commit. Kept in the cache by
    Kconfig files, fragments and toolchain, so that it is made anew only for a step that
    touches one of them. CannotJudge when a line of the fragments that no later one
    overrides does not take effect although the tree knows its symbol.
    """
    fragment = lane.fragment
    kconfig = source.listing(commit, _KCONFIG)
    kept = paths.cache / "config" / digest(lane.arch, lane.config, fragment, kconfig, toolchain)
    try:
        text = kept.read_text()
        prune.use(kept)
        return text
    except FileNotFoundError:
        pass
    scratch = paths.lane(lane.name) / "config"
    output(["rm", "-rf", scratch])
    scratch.mkdir(parents=True)
    log = scratch / "log"
    base = ["make", "-s", "-C", tree, f"O={scratch}", f"ARCH={lane.arch}",
            f"CROSS_COMPILE={lane.cross}"]
    if lane.config == "allnoconfig":
        allconfig = scratch / "fragment"
        allconfig.write_text(fragment)
        commands = [[*base, f"KCONFIG_ALLCONFIG={allconfig}", "allnoconfig"]]
    else:
        merge = tree / "scripts/kconfig/merge_config.sh"
        commands = [[*base, lane.config],
                    [merge, "-m", "-O", scratch, scratch / ".config", *lane.fragments],
                    [*base, "olddefconfig"]]
    for command in commands:
        if process.run(command, log, 300, cwd=tree).rc != 0:
            said = log.read_text(errors="replace").strip().splitlines()[-1]
            raise CannotJudge(f"lane {lane.name}: configuration failed: {said}; see {log}; "
                              f"again: {process.shell(command)}")
    text = (scratch / ".config").read_text()
    bad = [f"{symbol}={value} (is {got})" for symbol, value, got in unmet(fragment, text)
           if _known(source, commit, symbol)]
    if bad:
        names = ", ".join(f"kconfig-fragments/{path.name}" for path in lane.fragments)
        raise CannotJudge(f"{names}: no effect in lane {lane.name}: {', '.join(bad)}")
    write_atomically(kept, text.encode())
    return text


def _known(source, commit, symbol):
    """Whether some Kconfig file of the commit defines the symbol."""
    name = symbol.removeprefix("CONFIG_")
    try:
        source.git("grep", "-q", "-E", rf"^\s*(menu)?config {name}\s*$", commit, "--", "*Kconfig*")
        return True
    except Broken:
        return False


def install(text, objects):
    """Put .config in place only when it differs: its time stamp rebuilds nothing."""
    path = pathlib.Path(objects) / ".config"
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text.encode())
