# SPDX-License-Identifier: GPL-2.0
"""The test modules of a lane: those that the boots of a step need are built with it, or their kept
records are taken.

A module has a record of its own beside the one of its step's kernel, so that an edit of a module
makes only the boots due again that load it.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, cast

from lib.kernel.record import Build
from lib.lane import Lane
from lib.store import digest, hash_file

from . import needs
from .image import ImageBuilder, Module, ModuleRecord, file_name, modules_of
from .work import Work

# Raise when the meaning of a kept record changes.
MODULE_VERSION = 1

# By the names of modules.
Records = dict[str, ModuleRecord]


class Modules:
    """The test modules of one lane. patterns: of the names of those that boots load."""

    def __init__(self, lane: Lane, work: Work, builder: ImageBuilder) -> None:
        self.work, self.builder = work, builder
        self.all = modules_of(lane, work.series, work.commits, work.paths.top)

    @property
    def sources(self) -> dict[str, str]:
        """{name: digest of its sources}."""
        return {m.name: digest(m.sources) for m in self.all}

    def named(self, patterns: Sequence[str]) -> list[Module]:
        """Those that some pattern names."""
        names = needs.matching([file_name(m) for m in self.all], patterns)
        return [m for m in self.all if file_name(m) in names]

    def _inputs(self, kernel: str, module: Module) -> dict[str, Any]:
        """What a module is made from. kernel: the key of the kernel's build."""
        return {"kernel": kernel, "module": module.name, "sources": digest(module.sources),
                "harness": MODULE_VERSION}

    def kept(self, kernel: str) -> Records:
        """What the store has of the modules for a kernel."""
        found = {m.name: self.work.store.get("module", self._inputs(kernel, m)) for m in self.all}
        return {name: cast(ModuleRecord, record) for name, record in found.items() if record}

    def missing(self, patterns: Sequence[str], kept: Records) -> list[Module]:
        """Those that some pattern names and that are not among the kept."""
        return [m for m in self.named(patterns) if m.name not in kept]

    def why(self, kernel: str, patterns: Sequence[str], name: str) -> list[str]:
        """Why those are built that the store lacks: a sentence each. name: of the step in the lane."""
        return [f"module {name}/{m.name}: " + self.work.store.why(
            "module", self._inputs(kernel, m), f"{name}/{m.name}")
            for m in self.missing(patterns, self.kept(kernel))]

    def there(self, patterns: Sequence[str], kept: Records, image: pathlib.Path) -> bool:
        """Whether the files of those that some pattern names, all of them kept, are beside the image."""
        files = {image / "modules" / file_name(m): kept[m.name]["hash"] for m in self.named(patterns)}
        return all(path.exists() and hash_file(path) == known for path, known in files.items() if known)

    def make(self, kernel: str, record: Build, patterns: Sequence[str], image: pathlib.Path,
             name: str) -> Build:
        """Build and keep those that some pattern names: the record of the kernel that was just built,
        with all that the store then has. name: of the step in the lane, for the store."""
        modules = self.named(patterns)
        made = self.builder.build_modules(modules, image)
        for module in modules:
            self.work.store.put("module", self._inputs(kernel, module), made[module.name],
                                f"{name}/{module.name}")
        return together(record, self.kept(kernel))


def together(record: Build, modules: Records) -> Build:
    """The record of a kernel with those of modules."""
    whole = record.copy()
    whole["modules"] = {**record.get("modules", {}),
                        **{f"{name}.ko": one["hash"] for name, one in modules.items() if one["hash"]}}
    whole["modules_failed"] = [f"{name}: {one['why']}" for name, one in modules.items() if one["why"]]
    return whole
