# SPDX-License-Identifier: GPL-2.0
"""The image of one step of a lane, with the modules and tests that its boots need."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import TypedDict

from lib import cache, plumbing, process
from lib.command import CannotJudge, Failed, output
from lib.kernel import build as kernel
from lib.kernel.record import Build
from lib.lane import Lane
from lib.series import Series, slug
from lib.store import hash_file, write_atomically

from . import needs, symbols
from .devicetree import MACHINE

MODULES_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Module:
    """A test module built against every step's kernel.

    name: of the .ko; sources: {file name: text}. A directory of ci/guest/modules and the headers
    above it that it includes, as ../NAME, or a KUnit suite of the last step, which then also runs
    on the kernels before.
    """

    name: str
    sources: dict[str, str]


class ModuleRecord(TypedDict):
    """hash: sha256 of the .ko, "" where it does not build; why: it does not, or ""."""

    hash: str
    why: str


def file_name(module: Module) -> str:
    """The name of the file that a test module becomes."""
    return f"{module.name}.ko"


def modules_of(lane: Lane, series: Series, commits: Sequence[str], top: pathlib.Path) -> list[Module]:
    """The test modules of a lane.

    An entry "ci:NAME" is the directory ci/guest/modules/NAME. "kunit:PATH" is the
    KUnit suite at PATH in the tree of the last step, "kunit:PATH@PATCH" as the patch
    of that slug leaves it (for a suite whose expectations a later patch turns);
    left out while the tree has none.
    """
    steps = {slug(p): p.step for p in series.patches}
    found = []
    for entry in lane.modules:
        kind, _, what = entry.partition(":")
        if kind == "ci":
            directory = pathlib.Path(top) / "ci/guest/modules" / what
            files = [p for p in directory.iterdir() if p.is_file() and not p.name.startswith(".")]
            shared = [header for p in files if p.suffix == ".c" for header in needs.sources(p)]
            found.append(Module(what, {os.path.relpath(p, directory): p.read_text()
                                       for p in [*files, *shared]}))
            continue
        what, _, patch = what.partition("@")
        if patch and patch not in steps:
            raise Failed(f"ci/lanes/{lane.name}.toml: {entry}: no patch {patch!r} in series")
        step = steps.get(patch, len(commits) - 1)
        text = plumbing.content(cache.repository(), commits[step], what) if step < len(commits) else None
        if text is not None:
            path = pathlib.PurePath(what)
            found.append(Module(path.stem, {
                path.name: text,
                "Kbuild": f"obj-m := {path.stem}.o\nccflags-y := -I$(srctree)/{path.parent}\n"}))
    return found


class ImageBuilder(kernel.Builder):
    """Builds the kernels of a lane, and test modules for them."""

    def build(self, commit: str, keep: pathlib.Path) -> Build:
        """Build a commit; keep: directory that receives image, device tree and the modules that
        the lane names of the kernel's own.

        Returns the record of compile(), with image, dtb and modules (sha256) for a lane that has them.
        """
        record = self.compile(commit, self.lane.targets)
        if record["ok"] and self.lane.builds == "image":
            self._keep(keep, record)
        return record

    def _keep(self, keep: pathlib.Path, record: Build) -> None:
        """Copy the image out of the way of the next step's build."""
        keep.mkdir(parents=True, exist_ok=True)
        target = keep / "image"
        built = self.objects / self.lane.image
        if self.lane.strip:
            output([f"{self.lane.cross}strip", "-s", "-o", keep / ".image", built])
        else:
            shutil.copyfile(built, keep / ".image")
        os.replace(keep / ".image", target)
        record["image"] = hash_file(target)
        if self.lane.dtb:
            write_atomically(keep / MACHINE, (self.objects / self.lane.dtb).read_bytes())
            record["dtb"] = hash_file(keep / MACHINE)
        symbols.keep(self.objects / "System.map", keep)
        record["text"] = symbols.text_size(keep)
        for directory in self.lane.sizes:
            self._keep_objects(keep, directory)
        self._keep_modules(keep / "modules", record)

    def _keep_modules(self, keep: pathlib.Path, record: Build) -> None:
        """Copy the kernel's own modules that the lane names and the step has."""
        keep.mkdir(parents=True, exist_ok=True)
        record["modules"] = {}
        for name in self._built(self.lane.kernel_modules):
            record["modules"][pathlib.PurePath(name).name] = _copy(self.objects / name, keep)

    def _keep_objects(self, keep: pathlib.Path, directory: str) -> None:
        """The objects of a kernel directory as one file, where the step has any."""
        archive = self.objects / directory / "built-in.a"
        target = objects_of(keep, directory)
        target.unlink(missing_ok=True)
        if archive.exists():
            output([f"{self.lane.cross}ld", "-r", "-o", target, "--whole-archive", archive],
                   cwd=self.objects)

    def _built(self, names: Sequence[str]) -> list[str]:
        """Those of the modules that this step has: what another step built may still lie there."""
        order = self.objects / "modules.order"
        built = order.read_text().split() if names and order.exists() else []
        return [n for n in names if str(pathlib.PurePath(n).with_suffix(".o")) in built]

    def _forget_older_than_configuration(self, directory: pathlib.Path) -> None:
        """Of a module outside the tree, kbuild does not see that the configuration changed."""
        config = self.objects / "include/config/auto.conf"
        for path in directory.glob("*.o"):
            if config.exists() and path.stat().st_mtime_ns < config.stat().st_mtime_ns:
                path.unlink()

    def build_modules(self, modules: Sequence[Module], keep: pathlib.Path) -> dict[str, ModuleRecord]:
        """Build test modules against the kernel just built: what became of each, by name.

        keep/modules receives the .ko files of the others. A module that does not build on a step
        is not a fault of the step: its tests are then missing there.
        """
        top = self.directory / "modules"
        for module in modules:
            self._write(top / module.name, module)
        together = self._build_together(top, [module.name for module in modules])
        made = {}
        for module in modules:
            name = module.name
            why = "" if name in together else self._make_module(top / name, name)
            made[name] = ModuleRecord(why=why, hash="" if why else _copy(
                top / name / file_name(module), keep / "modules"))
        return made

    def _build_together(self, top: pathlib.Path, names: Sequence[str]) -> Sequence[str]:
        """Build modules by one call of make, since kbuild takes a second for each: the names of
        those that it built. The others are to be built alone, which says why they fail."""
        while len(names) > 1:
            if not self._make_module(top, "all", [f"{name}/" for name in names]):
                return names
            log = (self.directory / "module-all.log").read_text(errors="replace")
            wrong = "\n".join(re.findall(r"(?m)^.*(?:\*\*\*|error|ERROR).*$", log))
            left = [name for name in names if not re.search(rf"\b{name}/{name}\.", wrong)]
            if len(left) == len(names):
                break  # it does not say which
            names = left
        return []

    def _write(self, directory: pathlib.Path, module: Module) -> None:
        """Put the sources of a module in place, those that differ."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in module.sources.items():
            path = directory / name
            if not path.exists() or path.read_text() != text:
                write_atomically(path, text.encode())
        self._forget_older_than_configuration(directory)

    def _make_module(self, directory: pathlib.Path, name: str, below: Sequence[str] = ()) -> str:
        """Why what is in a directory does not build, "" where it does; below: the directories of
        the modules, where it is not one of them. CannotJudge where the machine may be to blame."""
        if below:
            text = f"obj-m := {' '.join(below)}\n"
            if not (directory / "Kbuild").exists() or (directory / "Kbuild").read_text() != text:
                write_atomically(directory / "Kbuild", text)
        log = self.directory / f"module-{name}.log"
        log.unlink(missing_ok=True)
        environment = {**self.environment(keep=False), "SERIES_SOURCE": str(self.tree),
                       "SERIES_SOURCE_AS": os.path.relpath(self.tree, directory)}
        outcome = process.run(self.make("-s", "-k", f"M={directory}", "modules"), log, MODULES_SECONDS,
                              env=environment)
        text = log.read_text(errors="replace")
        if kernel.lost(outcome, text):
            raise CannotJudge(f"module {name}: {kernel.why_failed(text, outcome.rc)}; see {log}")
        return self.plain(kernel.why_failed(text, outcome.rc)) if outcome.rc else ""


def _copy(path: pathlib.Path, keep: pathlib.Path) -> str:
    """Copy a module, in place of what a boot may read that has the same kernel: its sha256."""
    data = path.read_bytes()
    write_atomically(keep / path.name, data)
    return hashlib.sha256(data).hexdigest()


def objects_of(keep: pathlib.Path, directory: str) -> pathlib.Path:
    """Where the objects of a kernel directory are kept beside an image."""
    return keep / f"{directory.replace('/', '-')}.o"
