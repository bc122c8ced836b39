# SPDX-License-Identifier: GPL-2.0
"""A shell in the machine of one boot: built and packed as for its tests, which do not run."""

import dataclasses
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence

from lib import lane as lanes
from lib import process, replay
from lib.command import CannotJudge, Failed, say
from lib.lane import Boot, Lane
from lib.series import Series

from . import cpio, lane_run, machine, progress, session
from .expectations import Expectations
from .paths import Paths
from .plan import Policy
from .trees import Trees
from .work import Work


@dataclasses.dataclass(frozen=True)
class ShellOptions:
    """The options of ci/run by their names."""

    lane: Sequence[str]
    step: Sequence[str]
    boot: Sequence[str]
    topic: Sequence[str]
    again: bool
    why: bool
    output: pathlib.Path | None


@dataclasses.dataclass(frozen=True)
class _Machine:
    """What is booted. tests: their names, as init runs them; archives: of its initramfs."""

    lane: Lane
    boot: Boot
    tests: list[str]
    image: pathlib.Path
    archives: list[pathlib.Path]


def run(paths: Paths, series: Series, asked: ShellOptions, expectations: Expectations,
        policy: Policy) -> None:
    """Give the shell that the options of ci/run ask for; nothing is judged.

    A terminal becomes the console of the machine; what is piped in is a script that runs
    there. Failed where the options name no one boot, or standard input is neither.
    """
    step = _step(series, asked)
    script = _script()
    with session.held(paths):
        found = _prepare(paths, series, step, asked, expectations, policy)
    with tempfile.TemporaryDirectory(prefix="series-shell-") as scratch:
        _boot(found, pathlib.Path(scratch), script)


def _step(series: Series, asked: ShellOptions) -> int:
    """The one step that is asked for."""
    for name in ("lane", "step", "boot"):
        if len(set(getattr(asked, name))) != 1:
            raise Failed(f"--shell is for one machine: name one --{name}, as in "
                         "ci/run --lane NAME --step K --boot NAME --shell")
    for name in ("topic", "again", "why", "output"):
        if getattr(asked, name):
            raise Failed(f"--{name} says how steps are judged; --shell judges nothing")
    steps = session.step_range(asked.step[0], series)
    if len(steps) != 1:
        raise Failed(f"--step {asked.step[0]}: --shell is for one step")
    return steps[0]


def _script() -> bytes | None:
    """What is piped in; None for a terminal."""
    if sys.stdin is not None and sys.stdin.isatty():
        return None
    kind = os.fstat(0).st_mode if sys.stdin is not None else 0
    if not (stat.S_ISFIFO(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind)):
        raise Failed("--shell: standard input is no terminal; pipe in a script to run it in the guest")
    return sys.stdin.buffer.read()


def _prepare(paths: Paths, series: Series, step: int, asked: ShellOptions,
             expectations: Expectations, policy: Policy) -> _Machine:
    """Build what is missing. CannotJudge where the step, or what the lane needs, does not build."""
    commits, refusal = replay.steps(series.patches)
    if step >= len(commits):
        raise Failed(f"step {step} does not apply: {' '.join((refusal or '').split())}")
    work = Work(paths, Trees(paths), series, commits, policy, expectations,
                progress.Progress(1, sys.stderr))
    try:
        run = lane_run.LaneRun(lanes.read(paths.top, asked.lane[0]), work)
    except FileNotFoundError as error:
        raise CannotJudge(str(error)) from None
    boots = policy.boots(run.lane)
    if not boots:
        raise Failed(f"lane {run.lane.name} has no boot {asked.boot[0]!r}; it has: "
                     f"{', '.join(b.name for b in run.lane.boots)}")
    built = run.builds.build(step, run.modules(boots), lambda record: False)
    if built.image is None or built.good is None:
        bad = built.judgement
        raise CannotJudge(f"step {step} {run.lane.name}: {bad.gate} {bad.verdict.value}: {bad.reason}"
                          + (f"; log: {bad.log}" if bad.log else ""))
    archives, tests = run.boots.parts(step, boots[0])
    archives.append(run.boots.guest.modules(built.image, built.good["modules"],
                                            run.modules(boots)))
    return _Machine(run.boots.lane, boots[0], tests, built.image / "image",
                    [run.boots.guest.made(a) for a in archives])


def _boot(found: _Machine, scratch: pathlib.Path, script: bytes | None) -> None:
    """Run the machine to its end. scratch: a directory, which is the emulator's own."""
    (scratch / "initrd").write_bytes(b"".join(p.read_bytes() for p in found.archives)
                                     + (_archive(scratch, script) if script is not None else b""))
    (scratch / "results").touch()
    lane, boot = found.lane, dataclasses.replace(found.boot, append=f"{found.boot.append} ci.shell=1")
    if script is None:
        # Ctrl-A C is then QEMU's monitor, and Ctrl-C the guest's
        lane = dataclasses.replace(lane, qemu=["mon:stdio" if w == "stdio" else w for w in lane.qemu])
    words = machine.command(lane, boot, found.tests, found.image, "initrd", "results")
    blob = machine.devicetree_of(lane, words, boot, found.image, scratch)
    words += ["-dtb", str(blob)] if blob else []
    say(f"$ {process.shell(words)}")
    if script is None:
        say("to leave: exit, or Ctrl-A X")
        _on_terminal(words, scratch)
        return
    child = process.spawn(words, cwd=scratch, stdin=subprocess.DEVNULL)
    process.reap(child)


def _archive(scratch: pathlib.Path, script: bytes) -> bytes:
    """A script as /script, which init runs in place of a shell."""
    tree = scratch / "tree"
    tree.mkdir()
    (tree / "script").write_bytes(script)
    return cpio.pack(tree)


def _on_terminal(words: list[str], scratch: pathlib.Path) -> None:
    """Run a command, whose process group is its own, as the one that has the terminal."""
    kept = termios.tcgetattr(0)
    # who is not in the foreground is stopped when it sets the terminal
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = process.spawn(words, cwd=scratch)
    try:
        os.tcsetpgrp(0, child.pid)
        os.killpg(child.pid, signal.SIGCONT)
        process.reap(child)
    finally:
        os.tcsetpgrp(0, os.getpgrp())
        termios.tcsetattr(0, termios.TCSADRAIN, kept)
        say("")
