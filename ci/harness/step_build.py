# SPDX-License-Identifier: GPL-2.0
"""The builds of a lane: a step is built, or its kept verdict is taken."""

import pathlib
from collections.abc import Callable
from typing import Any, cast

from lib.command import CannotJudge
from lib.kernel import kconfig, patched
from lib.kernel.record import Build
from lib.lane import Lane
from lib.series import last
from lib.store import digest, hash_file, write_atomically
from lib.verdict import Judgement, Verdict

from . import prune, symbols
from .cell import Built, again
from .image import ImageBuilder, modules_of
from .work import Work

# Raise when the meaning of a kept record changes.
BUILD_VERSION = 2


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
        self.modules = modules_of(lane, work.series, work.commits, work.paths.top)

    def inputs(self, step: int) -> dict[str, Any]:
        """What a build's verdict depends on, by name."""
        kernel = self.lane.kernel_modules
        return {**({"kernel_modules": kernel} if kernel else {}),
                **self.builder.inputs(self.commits[step]),
                "image": [self.lane.builds, self.lane.targets, self.lane.image, self.lane.strip,
                          *self.lane.sizes],
                "modules": {m.name: digest(m.sources) for m in self.modules},
                "harness": BUILD_VERSION}

    def kept(self, step: int) -> Build | None:
        """The record of a step's kernel in the store; None where there is none that was built."""
        record = self._stored(self.inputs(step)) if step in self.commits else None
        return record if record and record["ok"] else None

    def judged(self, step: int) -> Build | None:
        """The record that build() takes from the store, for which no image is needed; else None."""
        if step not in self.commits:
            return None
        inputs = self.inputs(step)
        return self._usable(step, inputs, self.image(inputs), lambda record: True)

    def image(self, inputs: dict[str, Any]) -> pathlib.Path:
        """Where the image and the modules of a build are kept."""
        return self.work.paths.artifacts / self.work.store.key(inputs)

    def _stored(self, inputs: dict[str, Any]) -> Build | None:
        return cast(Build | None, self.work.store.get("build", inputs))

    def build(self, step: int, booted: Callable[[Build], bool]) -> Built:
        """Build a step, or take the kept verdict.

        booted(record): whether no boot of the step needs its image any more.
        """
        repeat = again(self.lane.name, step)
        if step in self.refusal:
            return Built(Judgement(step, self.lane.name, "apply", Verdict.LOST, self.refusal[step],
                                   command=repeat))
        inputs = self.inputs(step)
        image = self.image(inputs)
        record = self._usable(step, inputs, image, booted)
        cached = record is not None
        if record is None:
            record = self._make(step, inputs, image)
        else:
            self.work.store.point("build", inputs, self.work.name(step, self.lane.name))
            prune.use(image, self.work.paths.log(record["log"]))
        verdict = Verdict.PASS if record["ok"] else Verdict.LOST if record["lost"] else Verdict.FAIL
        judgement = Judgement(step, self.lane.name, "build", verdict, record["reason"],
                              str(self.work.paths.log(record["log"])), repeat, record["seconds"],
                              record["cpu"], cached)
        self.work.told(judgement, "build")
        if not (record["ok"] and self.lane.boots):
            return Built(judgement, record)
        return Built(judgement, record, image, text=record.get("text") or symbols.text_size(image))

    def _usable(self, step: int, inputs: dict[str, Any], image: pathlib.Path,
                booted: Callable[[Build], bool]) -> Build | None:
        """The kept record, unless its image is gone and a boot needs it, or the sizes do, or
        sparse has not read what the patch touches."""
        record = None if self.work.anew(inputs, builds=True) else self._stored(inputs)
        if record and record["ok"] and not (image / "image").exists() and self.lane.boots \
                and (self.lane.sizes or not booted(record)):
            return None
        return record if record and self.builder.covers(record, self.work.directories(step)) else None

    def _make(self, step: int, inputs: dict[str, Any], image: pathlib.Path) -> Build:
        """Build a step, with its test modules: the record, which the store keeps unless it is lost."""
        work, name = self.work, self.work.name(step, self.lane.name)
        work.progress.begin(("build", name), f"build {name}")
        if work.why:
            work.progress.note(f"build {name}: {work.store.why('build', inputs, name)}")
        record = self.builder.build(self.commits[step], image)
        before = work.policy.before(self.lane, step)
        if not record["configured"] and not (before in self.commits
                                             and self.builder.configures(self.commits[before])):
            # nothing says that the patch is to blame
            raise CannotJudge(f"{record['reason']}; see {self.builder.log}")
        record["log"] = f"build-{work.store.key(inputs)}.log"
        write_atomically(work.paths.log(record["log"]), self.builder.log.read_bytes())
        if record["ok"] and self.lane.boots:
            record["modules_failed"] = self.builder.build_modules(self.modules, image)
            record["modules"] = {p.name: hash_file(p) for p in sorted((image / "modules").iterdir())}
        if not record["lost"]:
            work.store.put("build", inputs, record, name)
        if record["ok"]:
            self.builder.keep(self.commits[step], record)
        work.fresh.add(work.store.key(inputs))
        work.progress.end(("build", name))
        return record
