# SPDX-License-Identifier: GPL-2.0
"""What ci/run and ktest.pl are measured on: some steps, a boot of a lane, and faults in the last step."""

import dataclasses
import pathlib
import re
from typing import Any

from lib import lane as lanes
from lib import table
from lib.command import Failed
from lib.lane import Boot, Lane
from lib.table import NUMBER, TABLES, TEXT

from . import edits, mutant
from .defect import Defect

FILE = "ci/ktest/defects.toml"
_KEYS = {"lane": TEXT, "boot": TEXT, "first": NUMBER, "last": NUMBER}
_DEFECT = {"name": TEXT, "kind": TEXT}
_OWN = {**_DEFECT, "file": TEXT, "edits": TABLES}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*$")


@dataclasses.dataclass(frozen=True)
class Workload:
    """lane, boot; first, last: the steps, of which the one before the first is where both begin;
    defects: in the order of the file."""

    lane: Lane
    boot: Boot
    first: int
    last: int
    defects: tuple[Defect, ...]

    @property
    def steps(self) -> range:
        """From the first to the last."""
        return range(self.first, self.last + 1)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the options say in place of the file: names, or "" for its own; steps: None for its own;
    defects: whether there are any."""

    lane: str = ""
    boot: str = ""
    steps: range | None = None
    defects: bool = True


def read(top: pathlib.Path, wanted: Wanted) -> Workload:
    """The workload of ci/ktest/defects.toml, as the options want it; Failed where it is none."""
    data = table.load(top, FILE)
    table.check(data, FILE, _KEYS, {"defect": TABLES})
    lane = lanes.read(top, wanted.lane or data["lane"])
    boot = _boot(lane, wanted.boot or data["boot"])
    if why := unsuited(lane, boot):
        raise Failed(f"ci/bench --ktest: boot {boot.name} of lane {lane.name}: {why}; name another with "
                     "--lane and --boot")
    steps = wanted.steps or range(data["first"], data["last"] + 1)
    if not steps:
        raise Failed(f"{FILE}: first = {data['first']} is behind last = {data['last']}")
    if steps[0] < 1:
        raise Failed("ci/bench --ktest: both begin at the step before the first, and the base has none")
    return Workload(lane, boot, steps[0], steps[-1], _defects(top, data) if wanted.defects else ())


def _boot(lane: Lane, name: str) -> Boot:
    """The boot of a lane with this name."""
    for boot in lane.boots:
        if boot.name == name:
            return boot
    raise Failed(f"lane {lane.name} has no boot {name!r}; it has: {', '.join(b.name for b in lane.boots)}")


def unsuited(lane: Lane, boot: Boot) -> str:
    """Why the machine of a boot cannot be given to ktest.pl as it is here, or ""."""
    for there, what in ((lane.test_patches, "its kernels carry test-only patches"),
                        (lane.kernel_modules, "it loads modules of the kernel's own"),
                        (lane.dtb or boot.devicetree, "it has a device tree of its own"),
                        (boot.screen, "its display is judged while it runs")):
        if there:
            return f"{what}, which ktest.pl does not know of"
    return ""


def _defects(top: pathlib.Path, data: dict[str, Any]) -> tuple[Defect, ...]:
    """The defects of the file."""
    found: dict[str, Defect] = {}
    for number, entry in enumerate(data.get("defect", []), 1):
        where = f"{FILE}: {entry.get('name', f'defect {number}')}"
        one = _defect(top, entry, where)
        if not _NAME.match(one.name) or one.name in found:
            raise Failed(f"{where}: a name has small letters, digits and -, and is there once")
        found[one.name] = one
    return tuple(found.values())


def _defect(top: pathlib.Path, entry: dict[str, Any], where: str) -> Defect:
    """The defect of a table, or of the mutant that it names."""
    if "mutant" in entry:
        table.check(entry, where, {**_DEFECT, "mutant": TEXT})
        file, changes = mutant.change(top, entry["mutant"])
        return Defect(entry["name"], entry["kind"], file, changes, f"{mutant.FILE}: {entry['mutant']}")
    table.check(entry, where, _OWN)
    return Defect(entry["name"], entry["kind"], entry["file"], edits.read(entry, where), where)
