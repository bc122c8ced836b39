# SPDX-License-Identifier: GPL-2.0
"""One boot in QEMU: the machine, its initramfs, the watchdog, the raw record."""

import io
import pathlib
import re
import subprocess
import time
from collections.abc import Mapping, Sequence

from lib import process
from lib.command import Broken, CannotJudge, output
from lib.lane import Boot, Lane
from lib.store import write_atomically

from . import devicetree, hang, qmp, screen
from .attempt import Raw
from .symbols import Symbols

# How a record begins to say that the emulator failed, and not the guest.
BROKEN = "the emulator ended with"


def version(lane: Lane) -> str:
    """The emulator's own words for its version; CannotJudge where it is missing."""
    try:
        return output([_fill(lane.qemu[:1], {}, lane)[0], "--version"]).splitlines()[0]
    except (FileNotFoundError, Broken):
        raise CannotJudge(f"no {lane.qemu[0]}, which lane {lane.name} boots with; install the "
                          "packages in ci/packages, or leave the lane out with --lane") from None


def _fill(words: Sequence[str], values: Mapping[str, str], lane: Lane) -> list[str]:
    """Put {image}, {initrd}, {results}, {append}, {lanes} into an argument list."""
    known = {**values, "lanes": str(lane.source.parent)}
    return [re.sub(r"\{(\w+)\}", lambda m: known.get(str(m[1]), str(m[0])), w) for w in words]


def command(lane: Lane, boot: Boot, tests: Sequence[str], image: object, initrd: object,
            results: object) -> list[str]:
    """The QEMU command of one boot; tests: names in the order that init runs them."""
    words = f"{lane.append} {boot.append} ci.tests={','.join(tests)}"
    words += f" ci.timeout={boot.test_seconds}"
    values = {"image": str(image), "initrd": str(initrd), "results": str(results),
              "append": " ".join(words.split())}
    return _fill([*lane.qemu, *boot.qemu], values, lane)


def described(lane: Lane, boot: Boot, tests: Sequence[str], image: pathlib.Path,
              archives: Sequence[pathlib.Path], blob: pathlib.Path | None = None) -> str:
    """How to start the machine of a boot by hand: lines for the head of its console.

    The first is the command, with initrd and results in the working directory. What the
    initramfs is made of, archives, stays in the cache, as do image and blob.
    """
    words = command(lane, boot, tests, image, "initrd", "results")
    words += ["-dtb", str(blob)] if blob else []
    made = f"cat {process.shell(archives)} >initrd" if archives else "none is named"
    return f"$ {process.shell(words)}\n# its initrd: {made}\n"


def devicetree_of(lane: Lane, words: Sequence[str], boot: Boot, image: pathlib.Path,
                  scratch: pathlib.Path) -> pathlib.Path | None:
    """The device tree blob of a boot, kept beside the image; None where it is the emulator's own."""
    built = pathlib.Path(image).with_name(devicetree.MACHINE) if lane.dtb else None
    if not boot.devicetree:
        return built
    blob = pathlib.Path(image).with_name(f"{boot.name}.dtb")
    machine = built or devicetree.own(words, scratch)
    write_atomically(blob, devicetree.merge(machine, boot.devicetree, scratch).read_bytes())
    return blob


def run(lane: Lane, boot: Boot, tests: Sequence[str], image: pathlib.Path, initrd: pathlib.Path,
        scratch: pathlib.Path, archives: Sequence[pathlib.Path] = ()) -> Raw:
    """Boot once. Returns the raw record: how it ended, what came over each channel.

    scratch: a directory of this boot's own; archives: what initrd is made of.
    """
    scratch = pathlib.Path(scratch)
    output(["rm", "-rf", scratch])
    scratch.mkdir(parents=True)
    results, console = scratch / "results", scratch / "console"
    results.touch()
    words = command(lane, boot, tests, image, initrd, results)
    blob = devicetree_of(lane, words, boot, image, scratch)
    head = described(lane, boot, tests, image, archives, blob)
    words += ["-dtb", str(blob)] if blob else []
    start = time.monotonic()
    with open(console, "ab") as stream:
        stream.write(head.encode())
        stream.flush()
        child = process.spawn([*words, *qmp.SERVER, *(screen.SERVER if boot.screen else ())],
                              stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT, cwd=scratch)
        display = screen.Screen(scratch) if boot.screen else None
        judged: list[int | None] = [None, None]
        try:
            ended = _watch(child, boot, [console, results])
            if ended != "done":
                judged = [path.stat().st_size for path in (console, results)]
                symbols = Symbols(pathlib.Path(image).parent)
                where = hang.Asked(child, scratch, console, symbols).ask(ended)
                ended += f"; {where}" if where else ""
        finally:
            # of a group that has ended already nothing is left to kill
            process.kill(child)
            cpu = process.reap(child)
            _close(child)
            pictures = display.close() if display else []
    said = _text(console, 0, judged[0])
    answers = _text(console, judged[0]) if judged[0] is not None else ""
    if ended == "done" and child.returncode != 0:
        # a guest cannot do that: it powers off, or resets, and -no-reboot ends with 0
        last = said.removeprefix(head).strip().splitlines()[-1:]
        ended = f"{BROKEN} {child.returncode}: {''.join(last)[:200]}"
    return {"ended": ended, "rc": child.returncode, "seconds": time.monotonic() - start, "cpu": cpu,
            "console": said + answers, "judged": len(said) if answers else None,
            "results": _text(results, 0, judged[1]), "pictures": pictures}


def _text(path: pathlib.Path, start: int, end: int | None = None) -> str:
    """The bytes of a file from start to end as text; None is its end."""
    data = path.read_bytes()[start:end]
    return io.TextIOWrapper(io.BytesIO(data), errors="replace").read()


def _close(child: subprocess.Popen[bytes]) -> None:
    """Close the pipe to an emulator that has ended."""
    try:
        assert child.stdin is not None
        child.stdin.close()
    except OSError:
        pass  # a question that it never read


def _watch(child: subprocess.Popen[bytes], boot: Boot, channels: Sequence[pathlib.Path]) -> str:
    """Wait for a machine: "done" when it ended, else why it is to be ended. channels: files
    that grow while it lives."""
    start = last = time.monotonic()
    sizes: list[int] = []
    while not process.ended(child):
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
