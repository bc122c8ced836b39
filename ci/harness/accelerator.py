# SPDX-License-Identifier: GPL-2.0
"""Whether a lane's machine runs under KVM: where a probe of at most five seconds says that it
works, and under TCG elsewhere.

That /dev/kvm is there says little: it may lack rights, or hang, or interpret the guest's kernel
instruction by instruction (kvm-pvm did: half a microsecond each, until it came to one that it does
not know). So the probe has work to do, of a tenth of a second where the processor does it.
"""

import dataclasses
import pathlib
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Mapping

from lib import cache, process
from lib.lane import Lane, own_arch
from lib.store import digest, write_atomically

SECONDS = 5.0
# The probe's firmware: counts down from 2^28, and ends the machine.
_X86 = bytes.fromhex("66b900000010" "6649" "75fc"  # mov ecx, 1 << 28; dec ecx; jnz -4
                     "b02a" "e6f4" "f4" "ebfd")    # mov al, 42; out 0xf4, al; hlt; jmp -3
_ARM = bytes.fromhex("0100a252" "21040071" "e1ffff54"  # mov w1, #1 << 28; subs w1, w1, #1; b.ne .-4
                     "00018052" "0080b072" "020000d4" "00000014")  # PSCI SYSTEM_OFF; b .
_ROM = 0x10000
_RESET = 16  # bytes before the end of the ROM, where a processor of x86 begins


@dataclasses.dataclass(frozen=True)
class Probe:
    """A firmware that ends the machine. rom: its bytes; arguments: what it needs; rc: the exit
    code of the emulator when it ran."""

    rom: bytes
    arguments: tuple[str, ...]
    rc: int


PROBES = {
    # begins with a jump back to _X86; (42 << 1) | 1 is 85
    "x86_64": Probe((_X86 + bytes([0xeb, 254 - len(_X86)])).rjust(_ROM - _RESET + 2, b"\xf4")
                    .ljust(_ROM, b"\xf4"),
                    ("-device", "isa-debug-exit,iobase=0xf4,iosize=4"), 85),
    "arm64": Probe(_ARM, (), 0),
}


def suited(lane: Lane, version: str) -> tuple[Lane, str]:
    """The lane as it runs here, and "kvm", or "tcg" with the reason; "" where it names none.

    version: of its emulator. The answer is kept in the cache until this machine boots anew, or
    gets another emulator: where it came and went, all boots would be judged anew.
    """
    if "-accel" not in lane.qemu:
        return lane, ""
    if why := _never(lane):
        return lane, f"tcg: {why}"
    words = _words(lane)
    kept = cache.directory() / "accelerator" / digest(_booted(), version, words, PROBES[lane.arch].rom.hex())
    try:
        why = kept.read_text()
    except FileNotFoundError:
        why = probe(lane.arch, words, SECONDS)
        write_atomically(kept, why.encode())
    if why:
        return lane, f"tcg: {why}"
    return dataclasses.replace(lane, qemu=_under_kvm(lane)), "kvm"


def sentences(accelerators: Mapping[str, str]) -> list[str]:
    """What lanes boot under, those with the same answer in one sentence.

    accelerators: {lane: what suited() says}.
    """
    lanes: dict[str, list[str]] = {}
    for name, what in accelerators.items():
        lanes.setdefault(what, []).append(name)
    return [f"lane {names[0]} boots under {what}" if len(names) == 1 else
            f"lanes {', '.join(names)} boot under {what}" for what, names in lanes.items()]


def _never(lane: Lane) -> str:
    """Why a lane cannot run under KVM, whatever the machine, or ""."""
    if "-icount" in lane.qemu:
        return "only TCG counts instructions"
    if lane.arch != own_arch():
        return f"this machine is not {lane.arch}"
    if lane.arch not in PROBES:
        return f"there is no probe for {lane.arch}"
    return ""


def _under_kvm(lane: Lane) -> list[str]:
    """The lane's arguments of the emulator with KVM in place of TCG."""
    words = list(lane.qemu)
    words[words.index("-accel") + 1] = "kvm"
    if lane.arch == "arm64" and "-cpu" in words:
        words[words.index("-cpu") + 1] = "max"  # a processor by its name is of some hosts only
    return words


def _words(lane: Lane) -> list[str]:
    """The emulator with the lane's machine and processor, under KVM."""
    words = _under_kvm(lane)
    found = [words[0].replace("{lanes}", str(lane.source.parent))]
    for option in ("-M", "-accel", "-cpu"):
        if option in words:
            found += words[words.index(option):][:2]
    return found


def _booted() -> str:
    """What names this boot of this machine."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""


def probe(arch: str, words: list[str], seconds: float) -> str:
    """Why KVM does not work, or "". words: the emulator with machine, accelerator, processor."""
    how = PROBES[arch]
    with tempfile.TemporaryDirectory(prefix="series-kvm-") as scratch:
        rom = pathlib.Path(scratch) / "rom"
        rom.write_bytes(how.rom)
        log = pathlib.Path(scratch) / "log"
        with open(log, "wb") as stream:
            child = process.spawn(
                [*words, "-m", "64M", "-nodefaults", "-display", "none", "-no-reboot", "-bios", "rom",
                 *how.arguments], stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                cwd=scratch)
        try:
            if not _ends(child, seconds):
                return f"KVM does not end the probe within {seconds:g} s"
        finally:
            # in the kernel's hands it may not even end when it is killed: then it is left alone
            process.kill(child)
            if _ends(child, 1.0):
                process.reap(child)
            else:
                process.forget(child)
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
    return "" if child.returncode == how.rc else \
        f"KVM: the probe ended with {child.returncode}{': ' if said else ''}" \
        + textwrap.shorten("".join(said), 200, placeholder=" ...")


def _ends(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a child ends within so many seconds; it is not reaped."""
    limit = time.monotonic() + seconds
    while not process.ended(child):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True
