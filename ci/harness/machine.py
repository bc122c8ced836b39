# SPDX-License-Identifier: GPL-2.0
"""One boot in QEMU: the machine, its initramfs, the watchdog, the raw record."""

import os
import pathlib
import re
import subprocess
import time

from lib import process
from lib.command import Broken, output

from . import devicetree
from .errors import CannotJudge

_MTIME = 0
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


def pack(directory):
    """A directory as a newc cpio archive; equal trees give equal bytes.

    Not compressed: under emulation a guest takes longer to unpack than to read.
    """
    names = ["."] + sorted(str(p.relative_to(directory)) for p in pathlib.Path(directory).rglob("*"))
    for name in names:
        os.utime(pathlib.Path(directory) / name, (_MTIME, _MTIME), follow_symlinks=False)
    return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0", "--reproducible"],
                          input="\n".join(names).encode(), cwd=directory, check=True,
                          capture_output=True, timeout=120).stdout


def command(lane, boot, tests, image, initrd, results):
    """The QEMU command of one boot; tests: names in the order that init runs them."""
    words = f"{lane.append} {boot.append} ci.tests={','.join(tests)}"
    words += f" ci.timeout={boot.test_seconds}"
    values = {"image": str(image), "initrd": str(initrd), "results": str(results),
              "append": " ".join(words.split())}
    return _fill([*lane.qemu, *boot.qemu], values, lane)


def run(lane, boot, tests, image, initrd, scratch):
    """Boot once. Returns the raw record: how it ended, what came over each channel.

    ended: "done" when QEMU ended by itself and with 0, else why; rc; seconds, cpu; console, results: text. scratch: a directory of this boot's own.
    """
    scratch = pathlib.Path(scratch)
    output(["rm", "-rf", scratch])
    scratch.mkdir(parents=True)
    results, console = scratch / "results", scratch / "console"
    results.touch()
    words = command(lane, boot, tests, image, initrd, results)
    if boot.devicetree:
        words += ["-dtb", str(devicetree.merge(words, boot.devicetree, scratch))]
    start = last = time.monotonic()
    sizes, ended = (0, 0), ""
    with open(console, "wb") as stream:
        child = process.spawn(words, stdin=subprocess.DEVNULL, stdout=stream,
                              stderr=subprocess.STDOUT, cwd=scratch)
        while not ended:
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                ended = "done"
                break
            time.sleep(0.1)
            now = time.monotonic()
            grown = (console.stat().st_size, results.stat().st_size)
            if grown != sizes:
                sizes, last = grown, now
            if now - start > boot.seconds:
                ended = f"no end within {boot.seconds} s"
            elif now - last > boot.silence:
                ended = f"silent for {boot.silence} s"
        if ended != "done":
            process.kill(child)
        cpu = process.reap(child)
    if ended == "done" and child.returncode != 0:
        # a guest cannot do that: it powers off, or resets, and -no-reboot ends with 0
        said = console.read_text(errors="replace").strip().splitlines()[-1:]
        ended = f"{BROKEN} {child.returncode}: {''.join(said)[:200]}"
    return {"ended": ended, "rc": child.returncode, "seconds": time.monotonic() - start, "cpu": cpu,
            "console": console.read_text(errors="replace"),
            "results": results.read_text(errors="replace")}
