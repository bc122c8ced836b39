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

from lib.command import output
from lib.lane import Boot, Lane
from lib.series import Series
from lib.store import digest, hash_file, write_atomically
from lib.verdict import Verdict

from . import diagnostics, guest, runner
from .errors import CannotJudge
from .evaluate import Expectations
from .paths import Paths
from .progress import Progress
from .source import Source


@dataclasses.dataclass
class Built:
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
    record: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Attempt:
    """One boot: as regress.Ran the words of its cases; record: as evaluate wants it; problems:
    sentences, what is wrong with it."""

    words: dict[str, str]
    reasons: dict[str, str]
    problems: list[str]
    record: dict


class Testbed:
    """lanes: that can run here; unable: why the others cannot, by name."""

    def __init__(self, paths: Paths, source: Source, series: Series, commits: Sequence[str],
                 names: Sequence[str], expectations: Expectations, show: Progress) -> None:
        self._source, self._paths, self._last = source, paths, len(commits) - 1
        self._expectations = expectations
        self._run = runner.Run(paths, source, series, commits, [self._last], names, [], show,
                               expectations=expectations)
        self.unable: dict[str, str] = dict(self._run.unable)
        self._lanes = {}
        for one in self._run.lanes:
            if why := one.refusal.get(self._last):
                self.unable[one.lane.name] = why
            else:
                self._lanes[one.lane.name] = one
        self._locks = {name: threading.RLock() for name in self._lanes}
        self._cells: dict[str, runner.Cell] = {}
        self._touched: set[str] = set()
        self.store = self._run.store
        self.lanes: list[Lane] = [one.lane for one in self._lanes.values()]

    # --- without a fault

    def seconds(self, lane: Lane, boot: Boot) -> float:
        """The CPU seconds of a boot when it last ran on the last step; its limit before."""
        inputs = self.store.latest("boot", f"{self._last}/{lane.name}/{boot.name}")
        record = self.store.get("boot", inputs) if inputs else None
        attempts = (record or {}).get("attempts", [])
        return float(attempts[-1]["cpu"]) if attempts else float(boot.seconds)

    def _clean(self, lane: Lane) -> runner.Cell:
        """The last step, built; CannotJudge where it does not build."""
        with self._locks[lane.name]:
            if lane.name not in self._cells:
                cell, _ = self._lanes[lane.name].build(self._last, None)
                if cell.record is None:
                    why = cell.judgements[-1]
                    raise CannotJudge(f"the last step, without a fault, does not build in lane "
                                      f"{lane.name}: {why.reason}; again: {why.command}")
                self._cells[lane.name] = cell
            return self._cells[lane.name]

    def key(self, lane: Lane, boot: Boot | None = None) -> str:
        """What the last step's build, or a boot of it, is made from, as a key."""
        one = self._lanes[lane.name]
        if boot is None:
            return self.store.key(one.inputs(self._last))
        return self.store.key(one.boot_inputs(self._last, boot, self._clean(lane).record))

    def words(self, lane: Lane, boot: Boot) -> dict[str, str]:
        """How the cases of a boot go without a fault; CannotJudge where the boot does not pass."""
        cell, gate = self._clean(lane), f"boot:{boot.name}"
        with self._run.key_lock(f"clean {lane.name} {boot.name}"):
            if boot.name not in cell.ran:
                self._lanes[lane.name].boot(cell, boot)
        judgement = next(j for j in cell.judgements if j.gate == gate)
        if judgement.verdict is not Verdict.PASS:
            raise CannotJudge(f"the boot {boot.name} of lane {lane.name} is {judgement.verdict.value} on the "
                              f"last step without a fault: {judgement.reason}; again: {judgement.command}")
        return dict(cell.ran[boot.name].words)

    def text(self, lane: Lane, file: str) -> str:
        """A file of the last step as the lane has it, with its test-only patches."""
        return self._source.content(self._lanes[lane.name].commits[self._last], file)

    # --- with a fault

    def builds(self, lane: Lane, file: str) -> bool:
        """Whether a lane may build a file; False only where its objects show that it does not."""
        if lane.name not in self._touched or not file.endswith(".c"):
            return True
        return (self._lanes[lane.name].builder.objects / file).with_suffix(".o").exists()

    def build(self, lane: Lane, file: str, text: str, boots: Sequence[Boot]) -> Built:
        """Build the last step with other content of one file, and the modules of some boots."""
        one, clean = self._lanes[lane.name], self._clean(lane)
        commit = self._source.with_content(one.commits[self._last], file, text)
        keep = self._paths.cache / "mutants" / f"{lane.name}-{digest(file, text)}"
        with self._locks[lane.name]:
            self._touched.add(lane.name)
            record = one.builder.build(commit, keep)
            if record["ok"]:
                needed = one.guest.modules_needed([t for boot in boots for t in boot.tests])
                names = guest.chosen([f"{m.name}.ko" for m in one.modules], needed)
                record["modules_failed"] = one.builder.build_modules(
                    [m for m in one.modules if f"{m.name}.ko" in names], keep)
                record["modules"] = {p.name: hash_file(p) for p in sorted((keep / "modules").iterdir())}
            log = self._paths.logs / f"mutant-{digest(lane.name, file, text)}.log"
            write_atomically(log, one.builder.log.read_bytes())
        theirs = clean.record
        same = record["ok"] and record["image"] == theirs["image"] and \
            set(record["modules_failed"]) <= set(theirs["modules_failed"]) and \
            all(theirs["modules"].get(n) == h for n, h in record["modules"].items())
        warnings = diagnostics.new(theirs["diagnostics"], record["diagnostics"]) if record["ok"] else []
        reason = record["reason"].replace(f"{one.builder.tree}/", "")
        return Built(lane.name, record["ok"], reason, record["lost"], warnings, same, str(log),
                     record["seconds"], record["cpu"], keep, record)

    def boot(self, lane: Lane, boot: Boot, built: Built, inputs: dict, number: int) -> Attempt:
        """Boot a kernel once. inputs, number: that make the names of its logs its own."""
        one = self._lanes[lane.name]
        cell = runner.Cell(self._last, lane.name, [], image=built.image, record=built.record)
        # pylint: disable=protected-access
        record = one._attempt(cell, boot, inputs, number)
        ran = one._ran(boot, record, built.record)
        return Attempt(dict(ran.words), dict(ran.reasons),
                       self._expectations.problems(self._last, lane.name, boot, record), record)

    def forget(self, built: Built) -> None:
        """Remove what a build keeps."""
        if built.image is not None:
            output(["rm", "-rf", built.image])

    def begin(self) -> None:
        """Remove what a run that was killed has left."""
        output(["rm", "-rf", self._paths.cache / "mutants"])

    def end(self) -> None:
        """Let the worktrees stand at the last step, without a fault."""
        for name in sorted(self._touched):
            one = self._lanes[name]
            self._source.checkout(one.builder.tree, one.commits[self._last])
