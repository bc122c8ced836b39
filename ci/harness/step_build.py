# SPDX-License-Identifier: GPL-2.0
"""The builds of a lane: a step is built, or its kept verdict is taken."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from lib.command import CannotJudge
from lib.kernel import kconfig, patched
from lib.kernel.record import Build
from lib.lane import Lane
from lib.series import last
from lib.store import write_atomically
from lib.verdict import Judgement, Verdict

from . import prune, symbols
from .cell import Built, again
from .image import ImageBuilder
from .step_modules import Modules, together
from .work import Work

# Raise when the meaning of a kept record changes.
BUILD_VERSION = 3


class Builds:
    """All builds of one lane; CannotJudge where it cannot be built here. no_sparse: why nothing
    reads its sources, None where something does or nothing is to."""

    def __init__(self, lane: Lane, work: Work) -> None:
        self.lane, self.work = lane, work
        checker, self.no_sparse = work.checker_of(lane)
        self.builder = ImageBuilder(lane, work.touched, checker, work.jobs)
        self.commits: dict[int, str] = {}
        self.refusal: dict[int, str] = {}
        for step, commit in enumerate(work.commits):
            try:
                self.commits[step] = patched.commit(commit, lane.test_patches)
            except patched.DoesNotApply as error:
                self.refusal[step] = f"test-only patch does not apply: {error}"
        if len(work.commits) == len(work.series.patches) + 1:
            kconfig.check(lane, self.commits.get(last(work.series), work.commits[-1]))
        self.modules = Modules(lane, work, self.builder)

    def inputs(self, step: int) -> dict[str, Any]:
        """What a build's verdict depends on, by name."""
        kernel = self.lane.kernel_modules
        return {**({"kernel_modules": kernel} if kernel else {}),
                **self.builder.inputs(self.commits[step]),
                "image": [self.lane.builds, self.lane.targets, self.lane.image, self.lane.strip,
                          *self.lane.sizes],
                "harness": BUILD_VERSION}

    def kept(self, step: int, patterns: Sequence[str]) -> Build | None:
        """The record of a step's kernel in the store, with its test modules; None where it was not
        built, or a module not tried that some pattern names."""
        if step not in self.commits:
            return None
        inputs = self.inputs(step)
        record, modules = self._stored(inputs), self.modules.kept(self.work.store.key(inputs))
        if record is None or not record["ok"] or self.modules.missing(patterns, modules):
            return None
        return together(record, modules)

    def judged(self, step: int, patterns: Sequence[str]) -> Build | None:
        """The record that build() takes from the store, for which no image is needed; else None."""
        if step not in self.commits:
            return None
        return self._usable(step, self.inputs(step), patterns, lambda record: True)

    def image(self, inputs: dict[str, Any]) -> pathlib.Path:
        """Where the image and the modules of a build are kept."""
        return self.work.paths.artifacts / self.work.store.key(inputs)

    def _stored(self, inputs: dict[str, Any]) -> Build | None:
        return cast(Build | None, self.work.store.get("build", inputs))

    def build(self, step: int, patterns: Sequence[str], booted: Callable[[Build], bool]) -> Built:
        """Build a step with the test modules that some pattern names, or take what is kept.

        booted(record): whether no boot of the step needs its image any more.
        """
        repeat = again(self.lane.name, step)
        if step in self.refusal:
            return Built(Judgement(step, self.lane.name, "apply", Verdict.LOST, self.refusal[step],
                                   command=repeat))
        inputs = self.inputs(step)
        record = self._usable(step, inputs, patterns, booted)
        cached = record is not None
        if record is None:
            record = self._make(step, inputs, patterns)
        else:
            self.work.store.point("build", inputs, self.work.name(step, self.lane.name))
            prune.use(self.image(inputs), self.work.paths.log(record["log"]))
        verdict = Verdict.PASS if record["ok"] else Verdict.LOST if record["lost"] else Verdict.FAIL
        judgement = Judgement(step, self.lane.name, "build", verdict, record["reason"],
                              str(self.work.paths.log(record["log"])), repeat, record["seconds"],
                              record["cpu"], cached)
        self.work.told(judgement, "build")
        if not (record["ok"] and self.lane.boots):
            return Built(judgement, record)
        image = self.image(inputs)
        return Built(judgement, record, image, text=record.get("text") or symbols.text_size(image))

    def _usable(self, step: int, inputs: dict[str, Any], patterns: Sequence[str],
                booted: Callable[[Build], bool]) -> Build | None:
        """The kept record, unless a boot needs what is gone or was never built, or the sizes do, or
        sparse has not read what the patch touches."""
        record = None if self.work.anew(inputs, builds=True) else self._stored(inputs)
        if record and record["ok"] and self.lane.boots:
            modules, image = self.modules.kept(self.work.store.key(inputs)), self.image(inputs)
            record = together(record, modules)
            there = (image / "image").exists()
            if self.modules.missing(patterns, modules) or self.lane.sizes and not there or not (
                    there and self.modules.there(patterns, modules, image) or booted(record)):
                return None
        return record if record and self.builder.covers(record, self.work.directories(step)) else None

    def _make(self, step: int, inputs: dict[str, Any], patterns: Sequence[str]) -> Build:
        """Build a step, with its test modules: the record, which the store keeps unless it is lost."""
        work, name, key, image = (self.work, self.work.name(step, self.lane.name),
                                  self.work.store.key(inputs), self.image(inputs))
        work.progress.begin(("build", name), f"build {name}")
        if work.why:
            for said in [f"build {name}: {work.store.why('build', inputs, name)}",
                         *self.modules.why(key, patterns, name)]:
                work.progress.note(said)
        record = self.builder.build(self.commits[step], image)
        before = work.policy.before(self.lane, step)
        if not record["configured"] and not (before in self.commits
                                             and self.builder.configures(self.commits[before])):
            # nothing says that the patch is to blame
            raise CannotJudge(f"{record['reason']}; see {self.builder.log}")
        record["log"] = f"build-{key}.log"
        write_atomically(work.paths.log(record["log"]), self.builder.log.read_bytes())
        if not record["lost"]:
            work.store.put("build", inputs, record, name)
        if record["ok"]:
            self.builder.keep(self.commits[step], record)
        if record["ok"] and self.lane.boots:
            record = self.modules.make(key, record, patterns, image, name)
        work.fresh.add(key)
        work.progress.end(("build", name))
        return record
