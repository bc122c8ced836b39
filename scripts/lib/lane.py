# SPDX-License-Identifier: GPL-2.0
"""A lane: architecture + kernel configuration + machine, read from ci/lanes/NAME.toml."""

import dataclasses
import os
import pathlib
import re
from typing import Any

from . import table
from .command import Failed
from .table import FLAG, LINE, NUMBER, TABLE, TABLES, TEXT, TEXT_OR_TEXTS, TEXTS, one_of


@dataclasses.dataclass(frozen=True)
class Boot:
    """One boot of the lane's kernel.

    append: kernel command line after the lane's own; qemu: more arguments, which
    override the lane's; devicetree: file beside the lane's with nodes to add to
    the machine's own device tree, or None; tests: names of guest tests in order;
    seconds: limit of the whole boot; silence: seconds without a byte on the console
    or results port before the boot is given up; test_seconds: limit of one test,
    enforced by the guest; at: "every" step; or "ends": on the base, on the last step of the
    series and of each topic that a case of the boot proves a patch of, and on the steps before
    and after each such patch; or "last": on the last step of the series, and on the steps before and
    after such a patch; topics: those whose steps "every" means, all of them if empty;
    on steps of other topics the boot is due as for "ends"; confirms: what a proof names in every
    lane, by a pattern that begins with "*", does not make it due: the boot of another lane
    shows that, and this one confirms it where it is due anyway; screen: the machine has a
    virtio port named "screen", over which the guest asks what the display shows.
    """

    name: str
    append: str
    qemu: list[str]
    devicetree: pathlib.Path | None
    tests: list[str]
    seconds: int
    silence: int
    test_seconds: int
    at: str
    topics: list[str]
    confirms: bool
    screen: bool = False


@dataclasses.dataclass(frozen=True)
class Lane:
    """The fields of the file, checked.

    builds: the "image" of the kernel, with modules, or only "objects": a lane without boots,
    that compiles what the series touches on the steps that touch what it builds;
    arch, cross: ARCH= and CROSS_COMPILE= of kbuild; llvm: LLVM= of kbuild, such as "-19", where
    clang builds the lane; linker: LD= of kbuild, where it is not that of the compiler; objcopy:
    OBJCOPY= likewise; config: the configuration target that the fragments modify; fragments: files
    of kconfig-fragments, "fragment" in the file, a name or a list of names, of which a later one
    overrides those before; at:
    "every" step; or built and booted only on the last step of each topic, "ends"; or only on the last
    step of the series, and on the steps before and after each patch that a case of its boots
    proves, "last";
    default: whether the lane runs when no lane is named; targets: make targets to build; of
    objects, the directories that the series touches where it is left out;
    image: path of the bootable image in the object directory; dtb: path there of the machine's
    device tree, where the emulator has none of its own; strip: reduce the image to what
    is loaded before keeping it; sizes: directories whose objects are kept for
    bloat-o-meter; test_patches: test-only patches that every kernel of the lane carries;
    modules: test modules built for it: "ci:NAME", a directory of ci/guest/modules, or
    "kunit:PATH", a KUnit suite in the tree of the last step, with "@PATCH" as the patch of that
    slug leaves it; kernel_modules: paths of the kernel's own modules that the
    guest gets, where a step has them; busybox: path of a static busybox, below / or
    below the foreign packages, or below usr there; foreign: the architecture, packages and library directory
    of what the guest's programs need and the machine's own architecture does not have.
    """

    name: str
    builds: str
    arch: str
    cross: str
    llvm: str
    linker: str
    objcopy: str
    config: str
    fragments: list[pathlib.Path]
    at: str
    default: bool
    targets: list[str]
    image: str
    strip: bool
    sizes: list[str]
    test_patches: list[pathlib.Path]
    modules: list[str]
    kernel_modules: list[str]
    busybox: str
    foreign: dict[str, Any]
    qemu: list[str]
    append: str
    boots: list[Boot]
    source: pathlib.Path
    dtb: str = ""

    @property
    def fragment(self) -> str:
        """The text of all fragments; of one alone it is the file's, byte by byte."""
        return "\n".join(path.read_text() for path in self.fragments)


_FIELDS = {"arch": TEXT, "config": TEXT, "fragment": TEXT_OR_TEXTS}
_MORE = {"at": one_of("every", "ends", "last"), "builds": one_of("image", "objects"), "cross": LINE,
         "default": FLAG, "linker": LINE, "llvm": LINE, "objcopy": LINE}
_IMAGE = {"targets": TEXTS, "image": TEXT, "qemu": TEXTS, "boot": TABLES}
_IMAGE_MORE = {"append": LINE, "busybox": TEXT, "dtb": TEXT, "foreign": TABLE, "kernel_modules": TEXTS,
               "modules": TEXTS, "sizes": TEXTS, "strip": FLAG, "test_patches": TEXTS}
_FOREIGN = {"architecture": TEXT, "library": TEXT, "packages": TEXTS}
_BOOT = {"name": TEXT, "tests": TEXTS, "seconds": NUMBER}
_BOOT_MORE = {"append": LINE, "at": one_of("every", "ends", "last"), "confirms": FLAG,
              "devicetree": TEXT, "qemu": TEXTS, "screen": FLAG, "silence": NUMBER,
              "test_seconds": NUMBER, "topics": TEXTS}
# Names that stand in paths, in the kernel command line and in the names of cases.
_NAME = re.compile(r"[\w.-]+$")


def names(top: pathlib.Path) -> list[str]:
    """All lanes that have a file."""
    return sorted(p.stem for p in (pathlib.Path(top) / "ci/lanes").glob("*.toml"))


def _check(data: dict[str, Any], where: str) -> None:
    """Failed where the file of a lane is wrong. where: its path, for messages."""
    if data.get("builds") == "objects":
        table.check(data, where, _FIELDS, {**_MORE, "targets": TEXTS})
        return
    table.check(data, where, {**_FIELDS, **_IMAGE}, {**_MORE, **_IMAGE_MORE})
    if "foreign" in data:
        table.check(data["foreign"], f"{where}: foreign", _FOREIGN)
    for number, boot in enumerate(data["boot"], 1):
        table.check(boot, f"{where}: boot {boot.get('name', number)}", _BOOT, _BOOT_MORE)
    every = [b["name"] for b in data["boot"]]
    for name in [*every, *(t for b in data["boot"] for t in b["tests"])]:
        if not _NAME.match(name):
            raise Failed(f"{where}: {name!r} is not a valid name of a boot or test: "
                         "use only letters, digits and . _ -")
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise Failed(f"{where}: two boots have the name {twice[0]}")


def _boot(data: dict[str, Any], path: pathlib.Path) -> Boot:
    return Boot(name=data["name"], append=data.get("append", ""), qemu=data.get("qemu", []),
                devicetree=path.with_name(data["devicetree"]) if "devicetree" in data else None,
                tests=data["tests"], seconds=data["seconds"], silence=data.get("silence", 120),
                test_seconds=data.get("test_seconds", data["seconds"]),
                at=data.get("at", "every"), topics=data.get("topics", []),
                confirms=data.get("confirms", False), screen=data.get("screen", False))


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
    lane = Lane(name=name, builds=data.get("builds", "image"), arch=data["arch"],
                cross=data.get("cross", ""), llvm=data.get("llvm", ""), linker=data.get("linker", ""),
                objcopy=data.get("objcopy", ""),
                config=data["config"],
                fragments=[top / "kconfig-fragments" / f for f in fragments],
                at=data.get("at", "every"), default=data.get("default", True),
                targets=data.get("targets", []), image=data.get("image", ""),
                strip=data.get("strip", False), sizes=data.get("sizes", []),
                test_patches=[top / "ci/lanes" / p for p in data.get("test_patches", [])],
                modules=data.get("modules", []),
                kernel_modules=data.get("kernel_modules", []),
                busybox=data.get("busybox", ""),
                foreign=data.get("foreign", {}),
                qemu=data.get("qemu", []), append=data.get("append", ""),
                boots=[_boot(b, path) for b in data.get("boot", [])], source=path,
                dtb=data.get("dtb", ""))
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


def own_arch() -> str:
    """The ARCH= of this machine, which os.uname() may call otherwise."""
    return {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def building(top: pathlib.Path) -> list[Lane]:
    """The lanes of a plain ci/run, in the order in which a source looks for one that compiles it: those
    that are built at every step, of images first, and of those of the machine's own architecture, so
    that one lane often does."""
    own = own_arch()
    return sorted((read(top, name) for name in default(top)),
                  key=lambda lane: (lane.at != "every", lane.builds != "image", lane.arch != own, lane.name))
