# SPDX-License-Identifier: GPL-2.0
"""A lane: architecture + kernel configuration + machine, read from ci/lanes/NAME.toml."""

import dataclasses
import pathlib
import re

from . import table
from .command import Failed
from .table import FLAG, LINE, NUMBER, TABLE, TABLES, TEXT, TEXT_OR_TEXTS, TEXTS, one_of


@dataclasses.dataclass
class Boot:
    """One boot of the lane's kernel.

    append: kernel command line after the lane's own; qemu: more arguments, which
    override the lane's; devicetree: file beside the lane's with nodes that the
    machine's own device tree is extended by, or None; tests: names of guest tests in
    order; seconds: bound of the whole boot; silence: seconds without a byte on
    console or results port before the boot is given up; test_seconds: bound of one
    test, kept by the guest; at: "every" step; or "ends": on the base, on the last
    step of each topic, and on both sides of a patch that a case of it proves; or
    "last": on the last step of the series, and on both sides of such a patch; topics:
    those whose steps "every" means, all of them if empty; on other steps it is "ends".
    """

    name: str
    append: str
    qemu: list
    devicetree: pathlib.Path | None
    tests: list
    seconds: int
    silence: int
    test_seconds: int
    at: str
    topics: list


@dataclasses.dataclass
class Lane:
    """The fields of the file, checked.

    arch, cross: ARCH= and CROSS_COMPILE= of kbuild; config: the target the
    fragments go on; fragments: files of kconfig-fragments, "fragment" in the file, a
    name or a list of names, of which a later one overrides those before; at: "every"
    step; or "ends": built and booted on the last step of each topic only; default: run
    when no lane is named;
    targets: what is built; image: path of the bootable image
    in the object directory; strip: reduce it to what is loaded before keeping
    it; sizes: directories whose objects are kept for bloat-o-meter;
    test_patches: test-only patches every kernel of the lane carries; modules:
    test modules built for it; kernel_modules: modules of its own that the guest gets,
    by path, where a step has them;
    busybox: path of a static one, below / or below the foreign packages; foreign:
    architecture, packages and library directory of what the guest's programs need
    that the machine's own architecture does not bring.
    """

    name: str
    arch: str
    cross: str
    config: str
    fragments: list
    at: str
    default: bool
    targets: list
    image: str
    strip: bool
    sizes: list
    test_patches: list
    modules: list
    kernel_modules: list
    busybox: str
    foreign: dict
    qemu: list
    append: str
    boots: list
    source: pathlib.Path

    @property
    def fragment(self):
        """The text of all fragments; of one alone it is the file's, byte by byte."""
        return "\n".join(path.read_text() for path in self.fragments)


_FIELDS = {"arch": TEXT, "config": TEXT, "fragment": TEXT_OR_TEXTS, "targets": TEXTS, "image": TEXT,
           "qemu": TEXTS, "boot": TABLES}
_MORE = {"at": one_of("every", "ends"), "append": LINE, "busybox": TEXT, "cross": LINE,
         "default": FLAG, "foreign": TABLE, "kernel_modules": TEXTS, "modules": TEXTS,
         "sizes": TEXTS, "strip": FLAG, "test_patches": TEXTS}
_FOREIGN = {"architecture": TEXT, "library": TEXT, "packages": TEXTS}
_BOOT = {"name": TEXT, "tests": TEXTS, "seconds": NUMBER}
_BOOT_MORE = {"append": LINE, "at": one_of("every", "ends", "last"), "devicetree": TEXT, "qemu": TEXTS,
              "silence": NUMBER, "test_seconds": NUMBER, "topics": TEXTS}
# Names that stand in paths, in the kernel command line and in the names of cases.
_NAME = re.compile(r"[\w.-]+$")


def names(top: pathlib.Path) -> list[str]:
    """All lanes that have a file."""
    return sorted(p.stem for p in (pathlib.Path(top) / "ci/lanes").glob("*.toml"))


def _check(data: dict, where: str) -> None:
    """Failed where the file of a lane is wrong. where: its path, for messages."""
    table.check(data, where, _FIELDS, _MORE)
    if "foreign" in data:
        table.check(data["foreign"], f"{where}: foreign", _FOREIGN)
    for number, boot in enumerate(data["boot"], 1):
        table.check(boot, f"{where}: boot {boot.get('name', number)}", _BOOT, _BOOT_MORE)
    every = [b["name"] for b in data["boot"]]
    for name in [*every, *(t for b in data["boot"] for t in b["tests"])]:
        if not _NAME.match(name):
            raise Failed(f"{where}: {name!r} is no name of a boot or test: "
                         "it has letters, digits and any of . _ - only")
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise Failed(f"{where}: two boots have the name {twice[0]}")


def _boot(data: dict, path: pathlib.Path) -> Boot:
    return Boot(name=data["name"], append=data.get("append", ""), qemu=data.get("qemu", []),
                devicetree=path.with_name(data["devicetree"]) if "devicetree" in data else None,
                tests=data["tests"], seconds=data["seconds"], silence=data.get("silence", 120),
                test_seconds=data.get("test_seconds", data["seconds"]),
                at=data.get("at", "every"), topics=data.get("topics", []))


def read(top: pathlib.Path, name: str) -> Lane:
    """The lane of that name; Failed where the file is missing or wrong."""
    top = pathlib.Path(top)
    path = top / "ci/lanes" / f"{name}.toml"
    if not path.is_file():
        raise Failed(f"no lane {name!r}; there are: {', '.join(names(top)) or 'none'}")
    where = f"ci/lanes/{path.name}"
    data = table.load(top, where)
    _check(data, where)
    fragments = data["fragment"]
    fragments = [fragments] if isinstance(fragments, str) else fragments
    lane = Lane(name=name, arch=data["arch"], cross=data.get("cross", ""),
                config=data["config"],
                fragments=[top / "kconfig-fragments" / f for f in fragments],
                at=data.get("at", "every"), default=data.get("default", True),
                targets=data["targets"], image=data["image"],
                strip=data.get("strip", False), sizes=data.get("sizes", []),
                test_patches=[top / "ci/lanes" / p for p in data.get("test_patches", [])],
                modules=data.get("modules", []),
                kernel_modules=data.get("kernel_modules", []),
                busybox=data.get("busybox", ""),
                foreign=data.get("foreign", {}),
                qemu=data["qemu"], append=data.get("append", ""),
                boots=[_boot(b, path) for b in data["boot"]], source=path)
    trees = [b.devicetree for b in lane.boots if b.devicetree]
    for needed in [*lane.fragments, *lane.test_patches, *trees]:
        if not needed.is_file():
            raise Failed(f"{where}: no such file: {needed.relative_to(top)}")
    return lane


def benches(top: pathlib.Path) -> list[str]:
    """The lanes that ci/bench measures in."""
    return [name for name in names(top) if name.startswith("bench-")]


def default(top: pathlib.Path) -> list[str]:
    """Lanes run when none is named: those whose file does not say default = false."""
    return [name for name in names(top) if read(top, name).default]
