# SPDX-License-Identifier: GPL-2.0
"""The lanes in which mutants are built and booted: all that ci/mutate wants of the modules
that build and boot steps for ci/run.

A lane's own worktree and objects are used, so that a fault costs the compilation of its file
and a link. The verdicts on the last step without a fault are those of ci/run, kept or made.
"""

import dataclasses
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

from lib import cache, lane as lanes, plumbing
from lib.command import CannotJudge, output
from lib.kernel import diagnostics, patched
from lib.kernel.build import command_file
from lib.kernel.record import Build
from lib.lane import Boot, Lane
from lib.series import Series
from lib.store import digest, write_atomically
from lib.verdict import Verdict

from . import added, cell
from .attempt import Attempt
from .expectations import Expectations
from .lane_run import LaneRun
from .paths import Paths
from .plan import Policy
from .progress import Progress
from .step_modules import together
from .trees import Trees
from .work import Work


@dataclasses.dataclass(frozen=True)
class FaultyBuild:
    """A lane's kernel with a fault in one file.

    ok: it compiles, else reason says what does not; lost: that says nothing of the source;
    warnings: diagnostics that it has more; same: image and modules are those without the fault;
    log: of make; seconds, cpu: what it took; image: the directory that it is kept in.
    """

    lane: str
    ok: bool
    reason: str
    lost: bool
    warnings: list[str]
    same: bool
    log: str
    seconds: float
    cpu: float
    image: pathlib.Path | None = None
    record: Build | None = None


@dataclasses.dataclass(frozen=True)
class FaultyBoot:
    """One boot: as regress.Ran the words of its cases; record: as Expectations want it; problems:
    sentences, what is wrong with it."""

    words: dict[str, str]
    reasons: dict[str, str]
    problems: list[str]
    record: Attempt


class Testbed:
    """lanes: that can run here; unable: why the others cannot, by name."""

    def __init__(self, paths: Paths, trees: Trees, series: Series, commits: Sequence[str],
                 names: Sequence[str], expectations: Expectations, show: Progress) -> None:
        self._trees, self._paths, self._last = trees, paths, len(commits) - 1
        self._expectations = expectations
        self._work = Work(paths, trees, series, list(commits), Policy(series, expectations.proofs),
                          expectations, show)
        self.unable: dict[str, str] = {}
        self._lanes: dict[str, LaneRun] = {}
        for name in names:
            self._add(name)
        self._locks = {name: threading.RLock() for name in self._lanes}
        self._built: dict[str, cell.Built] = {}
        self._booted: dict[str, cell.Booted] = {}
        self._touched: set[str] = set()
        self.store = self._work.store
        self.lanes: list[Lane] = [one.lane for one in self._lanes.values()]

    def _add(self, name: str) -> None:
        """A lane, if it can run here."""
        try:
            one = LaneRun(lanes.read(self._paths.top, name), self._work)
        except (CannotJudge, FileNotFoundError) as error:
            self.unable[name] = " ".join(str(error).split())
            return
        if why := one.builds.refusal.get(self._last):
            self.unable[name] = why
        else:
            self._lanes[name] = one

    # --- without a fault

    def seconds(self, lane: Lane, boot: Boot) -> float:
        """The CPU seconds of a boot when it last ran on the last step; its limit before."""
        attempts = self._lanes[lane.name].boots.latest(self._last, boot)
        return attempts[-1]["cpu"] if attempts else float(boot.seconds)

    def _clean(self, lane: Lane) -> cell.Built:
        """The last step, built; CannotJudge where it does not build."""
        with self._locks[lane.name]:
            if lane.name not in self._built:
                built = self._lanes[lane.name].built(self._last, lane.boots)
                if built.good is None:
                    raise CannotJudge(f"the last step, without a fault, does not build in lane {lane.name}: "
                                      f"{built.judgement.reason}; again: {built.judgement.command}")
                self._built[lane.name] = built
            return self._built[lane.name]

    def _record(self, lane: Lane) -> Build:
        """The record of the last step's build, which _clean() has made sure of."""
        record = self._clean(lane).good
        assert record is not None
        return record

    def key(self, lane: Lane, boot: Boot | None = None) -> str:
        """What the last step's build with all modules, or a boot of it, is made from, as a key."""
        one = self._lanes[lane.name]
        if boot is None:
            return self.store.key({**one.builds.inputs(self._last), "modules": one.builds.modules.sources})
        return self.store.key(one.boots.inputs(self._last, boot, self._record(lane)))

    def words(self, lane: Lane, boot: Boot) -> dict[str, str]:
        """How the cases of a boot go without a fault; CannotJudge where the boot does not pass."""
        name, built = self._lanes[lane.name].boots.name(self._last, boot), self._clean(lane)
        with self._work.key_lock(f"clean {name}"):
            if name not in self._booted:
                self._booted[name] = self._lanes[lane.name].boots.boot(self._last, boot, built)
        booted = self._booted[name]
        said = booted.judgement
        if said.verdict is not Verdict.PASS:
            raise CannotJudge(f"the boot {boot.name} of lane {lane.name} is {said.verdict.value} on the "
                              f"last step without a fault: {said.reason}; again: {said.command}")
        assert booted.ran is not None  # as it passes
        return dict(booted.ran.words)

    def text(self, lane: Lane, file: str) -> str:
        """A file of the last step as the lane has it, with its test-only patches."""
        commit = self._lanes[lane.name].builds.commits[self._last]
        found = plumbing.content(cache.repository(), commit, file)
        assert found is not None  # the fault is in a line of it
        return found

    # --- with a fault

    def builds(self, lane: Lane, file: str) -> bool:
        """Whether a lane may build a file; False only where its objects show that it does not.

        The object's .cmd file tells, since the object is away while it is made, and after a fault that does
        not compile.
        """
        if lane.name not in self._touched or not file.endswith(".c"):
            return True
        path = self._lanes[lane.name].builds.builder.objects / file
        return command_file(path.with_suffix(".o")).exists()

    def build(self, lane: Lane, file: str, text: str, boots: Sequence[Boot]) -> FaultyBuild:
        """Build the last step with other content of one file, and the modules of some boots."""
        one, theirs = self._lanes[lane.name].builds, self._record(lane)
        commit = patched.with_content(one.commits[self._last], file, text)
        keep = self._paths.cache / "mutants" / f"{lane.name}-{digest(file, text)}"
        with self._locks[lane.name]:
            self._touched.add(lane.name)
            record = one.builder.build(commit, keep)
            if record["ok"]:
                modules = one.modules.named(self._lanes[lane.name].modules(boots))
                record = together(record, one.builder.build_modules(modules, keep))
            log = f"mutant-{digest(lane.name, file, text)}.log"
            write_atomically(self._paths.log(log), one.builder.log.read_bytes())
        same = record["ok"] and record["image"] == theirs["image"] and \
            set(record["modules_failed"]) <= set(theirs["modules_failed"]) and \
            all(theirs["modules"].get(n) == h for n, h in record["modules"].items())
        warnings = [line for gate in added.GATES for line in diagnostics.added(
            gate, theirs["diagnostics"], record["diagnostics"])] if record["ok"] else []
        return FaultyBuild(lane.name, record["ok"], record["reason"], record["lost"], warnings, same, log,
                           record["seconds"], record["cpu"], keep, record)

    def boot(self, lane: Lane, boot: Boot, built: FaultyBuild, inputs: dict[str, Any],
             number: int) -> FaultyBoot:
        """Boot a kernel once. inputs, number: that make the names of its logs its own."""
        one = self._lanes[lane.name]
        assert built.record is not None
        made = cell.Built(self._clean(lane).judgement, built.record, built.image)
        key = f"{self.store.key(inputs)}-{number}"
        record = one.boots.once(self._last, boot, made, key)
        ran = one.boots.attempts.ran(self._last, boot, record, built.record["modules_failed"])
        return FaultyBoot(dict(ran.words), dict(ran.reasons),
                    self._expectations.problems(self._last, lane.name, boot, record), record)

    def log(self, name: str) -> str:
        """The path of a log that a record names."""
        return str(self._paths.log(name)) if name else ""

    def forget(self, built: FaultyBuild) -> None:
        """Remove what a build keeps."""
        if built.image is not None:
            output(["rm", "-rf", built.image])

    def begin(self) -> None:
        """Remove what a run that was killed has left."""
        output(["rm", "-rf", self._paths.cache / "mutants"])

    def end(self) -> None:
        """Let the worktrees stand at the last step, without a fault."""
        for name in sorted(self._touched):
            one = self._lanes[name].builds
            self._trees.checkout(one.builder.tree, one.commits[self._last])
