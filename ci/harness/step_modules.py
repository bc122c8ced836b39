# SPDX-License-Identifier: GPL-2.0
"""The test modules of a lane: those that the boots of a step need are built with it, or their kept
records are taken.

A module has a record of its own beside the one of its step's kernel, so that an edit of a module
makes only the boots due again that load it.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from lib.kernel.record import Build
from lib.lane import Lane
from lib.store import digest, hash_file

from . import needs
from .image import ImageBuilder, Module, file_name, modules_of
from .work import Work

# Raise when the meaning of a kept record changes.
MODULE_VERSION = 1


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

    def _kept(self, kernel: str, module: Module) -> dict[str, Any] | None:
        return self.work.store.get("module", self._inputs(kernel, module))

    def with_kept(self, kernel: str, record: Build) -> Build:
        """The record of a kernel with what the store has of the modules for it."""
        kept = {m.name: one for m in self.all if (one := self._kept(kernel, m))}
        return _together(record, kept)

    def missing(self, kernel: str, patterns: Sequence[str]) -> list[Module]:
        """Those that some pattern names and the store lacks."""
        return [m for m in self.named(patterns) if self._kept(kernel, m) is None]

    def why(self, kernel: str, patterns: Sequence[str], name: str) -> list[str]:
        """Why those are built that the store lacks: a sentence each. name: of the step in the lane."""
        return [f"module {name}/{m.name}: " + self.work.store.why(
            "module", self._inputs(kernel, m), f"{name}/{m.name}") for m in self.missing(kernel, patterns)]

    def there(self, kernel: str, patterns: Sequence[str], image: pathlib.Path) -> bool:
        """Whether the files of the modules that some pattern names are beside the image."""
        for module in self.named(patterns):
            record, path = self._kept(kernel, module), image / "modules" / file_name(module)
            if record is None or record["hash"] and not (path.exists() and hash_file(path) == record["hash"]):
                return False
        return True

    def _make(self, patterns: Sequence[str], image: pathlib.Path) -> dict[str, dict[str, Any]]:
        """Build those that some pattern names for the kernel that was just built: {name: record}."""
        modules = self.named(patterns)
        failed = self.builder.build_modules(modules, image)
        return {m.name: {"why": failed[m.name], "hash": ""} if m.name in failed else
                {"why": "", "hash": hash_file(image / "modules" / file_name(m))} for m in modules}

    def make(self, kernel: str, record: Build, patterns: Sequence[str], image: pathlib.Path,
             name: str) -> Build:
        """Build and keep those that some pattern names: the record of the kernel that was just built,
        with all that the store then has. name: of the step in the lane, for the store."""
        made = self._make(patterns, image)
        for module in self.all:
            if module.name in made:
                self.work.store.put("module", self._inputs(kernel, module), made[module.name],
                                    f"{name}/{module.name}")
        return self.with_kept(kernel, record)

    def add(self, record: Build, patterns: Sequence[str], image: pathlib.Path) -> Build:
        """The same for a kernel that the store does not have."""
        return _together(record, self._make(patterns, image))


def _together(record: Build, modules: dict[str, dict[str, Any]]) -> Build:
    """The record of a kernel with those of modules, by their names."""
    whole = record.copy()
    whole["modules"] = {**record.get("modules", {}),
                        **{f"{name}.ko": one["hash"] for name, one in modules.items() if one["hash"]}}
    whole["modules_failed"] = [f"{name}: {one['why']}" for name, one in modules.items() if one["why"]]
    return whole
