# SPDX-License-Identifier: GPL-2.0
"""A boot's device tree: the machine's own, with the nodes that the boot adds.

The machine's own is QEMU's, or for a lane with `dtb` the one that kbuild makes of the kernel's
sources: beside the image, under the name MACHINE.
"""

import pathlib
from collections.abc import Sequence

from lib import process
from lib.command import Broken, CannotJudge, Failed, output
from lib.lane import Boot

# Beside the image of a lane with `dtb`.
MACHINE = "machine.dtb"

_SECONDS = 60


def check(boots: Sequence[Boot]) -> None:
    """CannotJudge where a boot adds nodes and there is no compiler for them."""
    if any(boot.devicetree for boot in boots):
        try:
            output(["dtc", "--version"])
        except (FileNotFoundError, Broken):
            raise CannotJudge("no dtc, which makes device trees; install the package "
                              "device-tree-compiler") from None


def own(command: Sequence[str], scratch: pathlib.Path) -> pathlib.Path:
    """The blob of the tree that QEMU makes of a machine; CannotJudge where it makes none.

    command: of QEMU, as the machine boots; scratch: directory.
    """
    machine, log = scratch / MACHINE, scratch / "devicetree.log"
    dump = [*command, "-M", f"dumpdtb={machine}"]
    if process.run(dump, log, _SECONDS).rc != 0 or not machine.exists():
        raise CannotJudge(f"{command[0]} gives no device tree: {_last(log)}; again: "
                          f"{process.shell(dump)}")
    return machine


def merge(machine: pathlib.Path, added: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """The device tree blob for a boot.

    machine: blob of the machine's own tree; added: file in device tree source whose nodes are
    merged into it, and may refer to the machine's by path, as in <&{/smmuv3@9050000} 0>;
    scratch: directory. Failed where the file is wrong.
    """
    source = scratch / "machine.dts"
    merged, blob = scratch / "merged.dts", scratch / "merged.dtb"
    log = scratch / "devicetree.log"
    merged.write_text(f'/include/ "{source}"\n/include/ "{added}"\n')
    for words in (["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", source, machine],
                  ["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", blob, merged]):
        log.unlink(missing_ok=True)
        if process.run(words, log, _SECONDS).rc != 0:
            raise Failed(f"{added}: {_errors(log)}")
    return blob


def _last(log: pathlib.Path) -> str:
    """The last line a command printed."""
    return log.read_text(errors="replace").strip().splitlines()[-1]


def _errors(log: pathlib.Path) -> str:
    """dtc's own words for what is wrong, which begin with file and line."""
    lines = log.read_text(errors="replace").splitlines()[1:]
    return "; ".join(lines[:3]) or "dtc failed and printed nothing"
