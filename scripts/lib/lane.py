# SPDX-License-Identifier: GPL-2.0
"""A lane: architecture + kernel configuration + machine, read from ci/lanes/NAME.toml."""

import dataclasses
import pathlib
import tomllib
from typing import Any

from .command import Failed


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
    step; or "ends": built and booted on the last step of each topic only;
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


# Of what kind each field is; list: of strings; a fragment is one name or a list of them.
_FIELDS = {"arch": str, "cross": str, "config": str, "fragment": (str, list), "at": str,
           "targets": list, "image": str, "strip": bool, "sizes": list, "test_patches": list,
           "modules": list, "kernel_modules": list, "busybox": str, "foreign": dict, "qemu": list,
           "append": str, "boot": list, "default": bool}
_BOOT = {"name": str, "append": str, "qemu": list, "devicetree": str, "tests": list,
         "seconds": int, "silence": int, "test_seconds": int, "at": str, "topics": list}
_KINDS = {str: "a string", bool: "true or false", int: "a whole number", dict: "a table",
          list: "a list of strings", (str, list): "a string or a list of strings"}


def _check(table: dict[str, Any], kinds: dict[str, Any], where: str) -> None:
    """Failed where a table has a field that is not known, or one of another kind."""
    if unknown := set(table) - set(kinds):
        raise Failed(f"{where}: unknown: {', '.join(sorted(unknown))}")
    for name, value in table.items():
        good = isinstance(value, kinds[name]) and isinstance(value, bool) == (kinds[name] is bool)
        if isinstance(value, list) and name != "boot":
            good = good and all(isinstance(word, str) for word in value)
        if not good:
            raise Failed(f"{where}: {name} = {value!r}; it is {_KINDS[kinds[name]]}")


def _data(path: pathlib.Path) -> dict[str, Any]:
    """What the file of a lane says, every field of its kind; Failed where it is wrong."""
    where = f"ci/lanes/{path.name}"
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{where}: {error}") from None
    _check(data, _FIELDS, where)
    for boot in data.get("boot", []):
        if not isinstance(boot, dict):
            raise Failed(f"{where}: boot = {boot!r}; it is a table, [[boot]]")
        _check(boot, _BOOT, f"{where}: boot {boot.get('name', 'without a name')}")
    return data


def names(top):
    """All lanes that have a file."""
    return sorted(p.stem for p in (pathlib.Path(top) / "ci/lanes").glob("*.toml"))


def read(top, name):
    """The lane of that name; Failed where the file is missing or wrong."""
    top = pathlib.Path(top)
    path = top / "ci/lanes" / f"{name}.toml"
    if not path.is_file():
        raise Failed(f"no lane {name!r}; there are: {', '.join(names(top)) or 'none'}")
    data = _data(path)
    try:
        boots = [Boot(name=b["name"], append=b.get("append", ""), qemu=b.get("qemu", []),
                      devicetree=path.with_name(b["devicetree"]) if "devicetree" in b else None,
                      tests=b["tests"], seconds=b["seconds"], silence=b.get("silence", 120),
                      test_seconds=b.get("test_seconds", b["seconds"]), at=b.get("at", "every"),
                      topics=b.get("topics", []))
                 for b in data["boot"]]
        fragments = data["fragment"]
        fragments = [fragments] if isinstance(fragments, str) else fragments
        lane = Lane(name=name, arch=data["arch"], cross=data.get("cross", ""),
                    config=data["config"],
                    fragments=[top / "kconfig-fragments" / f for f in fragments],
                    at=data.get("at", "every"),
                    targets=data["targets"], image=data["image"],
                    strip=data.get("strip", False), sizes=data.get("sizes", []),
                    test_patches=[top / "ci/lanes" / p for p in data.get("test_patches", [])],
                    modules=data.get("modules", []),
                    kernel_modules=data.get("kernel_modules", []),
                    busybox=data.get("busybox", ""),
                    foreign=data.get("foreign", {}),
                    qemu=data["qemu"], append=data.get("append", ""), boots=boots,
                    source=path)
    except KeyError as error:
        raise Failed(f"ci/lanes/{path.name}: {error.args[0]} is missing") from None
    trees = [b.devicetree for b in boots if b.devicetree]
    if lane.at not in ("every", "ends"):
        raise Failed(f"ci/lanes/{path.name}: at = {lane.at!r}; it is \"every\" or \"ends\"")
    for boot in boots:
        if boot.at not in ("every", "ends", "last"):
            raise Failed(f"ci/lanes/{path.name}: boot {boot.name}: at = {boot.at!r}; "
                             "it is \"every\", \"ends\" or \"last\"")
    for needed in [*lane.fragments, *lane.test_patches, *trees]:
        if not needed.is_file():
            raise Failed(f"ci/lanes/{path.name}: no such file: {needed.relative_to(top)}")
    return lane


def benches(top):
    """The lanes that ci/bench measures in."""
    return [name for name in names(top) if name.startswith("bench-")]


def default(top):
    """Lanes run when none is named: those whose file does not say default = false."""
    return [name for name in names(top)
            if _data(pathlib.Path(top) / "ci/lanes" / f"{name}.toml").get("default", True)]
