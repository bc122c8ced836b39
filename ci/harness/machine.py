# SPDX-License-Identifier: GPL-2.0
"""One boot in QEMU: the machine, its initramfs, the watchdog, the raw record."""

import os
import pathlib
import re
import subprocess
import time
from collections.abc import Sequence

from lib import process
from lib.command import Broken, output
from lib.lane import Boot

from . import devicetree
from .errors import CannotJudge

# How a record begins to say that the emulator failed, and not the guest.
BROKEN = "the emulator ended with"


def version(lane):
    """The emulator's own words for its version; CannotJudge where it is missing."""
    try:
        return output([_fill(lane.qemu[:1], {}, lane)[0], "--version"]).splitlines()[0]
    except (FileNotFoundError, Broken):
        raise CannotJudge(f"no {lane.qemu[0]}, which lane {lane.name} boots with; install the "
                          "packages in ci/packages, or leave the lane out with --lane") from None


def _fill(words, values, lane):
    """Put {image}, {initrd}, {results}, {append}, {lanes} into an argument list."""
    values = dict(values, lanes=str(lane.source.parent))
    return [re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), w) for w in words]


def command(lane, boot, tests, image, initrd, results):
    """The QEMU command of one boot; tests: names in the order that init runs them."""
    words = f"{lane.append} {boot.append} ci.tests={','.join(tests)}"
    words += f" ci.timeout={boot.test_seconds}"
    values = {"image": str(image), "initrd": str(initrd), "results": str(results),
              "append": " ".join(words.split())}
    return _fill([*lane.qemu, *boot.qemu], values, lane)


def run(lane, boot, tests, image, initrd, scratch):
    """Boot once. Returns the raw record: how it ended, what came over each channel.

    ended: "done" when QEMU ended by itself and with 0, else why; rc; seconds, cpu;
    console, results: text. scratch: a directory of this boot's own.
    """
    scratch = pathlib.Path(scratch)
    output(["rm", "-rf", scratch])
    scratch.mkdir(parents=True)
    results, console = scratch / "results", scratch / "console"
    results.touch()
    words = command(lane, boot, tests, image, initrd, results)
    if boot.devicetree:
        words += ["-dtb", str(devicetree.merge(words, boot.devicetree, scratch))]
    start = time.monotonic()
    with open(console, "wb") as stream:
        child = process.spawn(words, stdin=subprocess.DEVNULL, stdout=stream,
                              stderr=subprocess.STDOUT, cwd=scratch)
        try:
            ended = _watch(child, boot, [console, results])
        finally:
            # of a group that has ended already nothing is left to kill
            process.kill(child)
            cpu = process.reap(child)
    if ended == "done" and child.returncode != 0:
        # a guest cannot do that: it powers off, or resets, and -no-reboot ends with 0
        said = console.read_text(errors="replace").strip().splitlines()[-1:]
        ended = f"{BROKEN} {child.returncode}: {''.join(said)[:200]}"
    return {"ended": ended, "rc": child.returncode, "seconds": time.monotonic() - start, "cpu": cpu,
            "console": console.read_text(errors="replace"),
            "results": results.read_text(errors="replace")}


def _watch(child: subprocess.Popen, boot: Boot, channels: Sequence[pathlib.Path]) -> str:
    """Wait for a machine: "done" when it ended, else why it is to be ended. channels: files
    that grow while it lives."""
    start = last = time.monotonic()
    sizes = [0] * len(channels)
    while not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.1)
        now = time.monotonic()
        grown = [path.stat().st_size for path in channels]
        if grown != sizes:
            sizes, last = grown, now
        if now - start > boot.seconds:
            return f"no end within {boot.seconds} s"
        if now - last > boot.silence:
            return f"silent for {boot.silence} s"
    return "done"
