# SPDX-License-Identifier: GPL-2.0
"""The walk over steps and lanes: builds in order, boots beside them, all recorded."""

import concurrent.futures
import dataclasses
import os
import pathlib
import threading
import traceback
from collections.abc import Iterable

from lib import lane as lanes
from lib import process
from lib.command import Full, full, output
from lib.series import ends
from lib.store import Store, digest, hash_file, write_atomically
from lib.verdict import Judgement, Verdict

from . import build, devicetree, diagnostics, evaluate, guest, machine, proof, prune, regress
from . import results, splat
from .errors import CannotJudge, UsageError
from .source import DoesNotApply

# Raise when the meaning of a kept record changes.
BUILD_VERSION = 2
BOOT_VERSION = 1


@dataclasses.dataclass
class Cell:
    """One step in one lane: its judgements, each boot's cases, why cases were skipped,
    the lines of what was measured, the splats that nothing explains as (boot, splat), the
    names of boots that are not due and of those that are and could not be judged."""

    step: int
    lane: str
    judgements: list
    cases: dict = dataclasses.field(default_factory=dict)
    skips: dict = dataclasses.field(default_factory=dict)
    measured: list = dataclasses.field(default_factory=list)
    ran: dict = dataclasses.field(default_factory=dict)
    image: pathlib.Path = None
    record: dict = None
    left_out: list = dataclasses.field(default_factory=list)
    splats: list = dataclasses.field(default_factory=list)
    unjudged: list = dataclasses.field(default_factory=list)


def again(lane: str, *steps: int, boot: str = "") -> str:
    """The command that judges steps of a lane anew, or one of its boots."""
    words = ["ci/run --no-static --again --lane", lane, *(f"--step {k}" for k in steps)]
    return " ".join([*words, f"--boot {boot}"] if boot else words)


class LaneRun:
    """One lane over all chosen steps."""

    def __init__(self, name, run):
        self.run = run
        self.lane = lanes.read(run.paths.top, name)
        if not self.lane.boots:
            raise UsageError(f"ci/lanes/{name}.toml: it has no boot, and nothing would be tested")
        self.builder = build.Builder(self.lane, run.source, run.paths, run.jobs)
        self.guest = guest.Guest(self.lane, run.source, run.paths, self.builder.toolchain)
        self.qemu = machine.version(self.lane)
        devicetree.check(run.boots(self.lane))
        self.commits = {}
        self.refusal = {}
        for step, commit in enumerate(run.commits):
            try:
                self.commits[step] = run.source.with_test_patches(commit, self.lane.test_patches)
            except DoesNotApply as error:
                self.refusal[step] = f"test-only patch does not apply: {error}"
        self.modules = build.modules(self.lane, run.source, run.series, run.commits, run.paths.top)

    def inputs(self, step):
        """What a build's verdict depends on, by name."""
        kernel = self.lane.kernel_modules
        return {**({"kernel_modules": kernel} if kernel else {}),
                "tree": self.run.source.tree(self.commits[step]),
                "fragment": self.lane.fragment,
                "lane": [self.lane.arch, self.lane.cross, self.lane.config, self.lane.targets,
                         self.lane.image, self.lane.strip, *self.lane.sizes],
                "toolchain": self.builder.toolchain,
                "modules": {m.name: digest(m.sources) for m in self.modules},
                "harness": BUILD_VERSION}

    def parts(self, step, boot):
        """(archives, tests) of a boot of a step; the step's modules are not among them."""
        return self.guest.archives(self.run.commits[step], self.run.commits[-1], boot.tests)

    def leave_out_step(self, step):
        """The cell of a step that the lane is not due at: one skip, and no boot of it."""
        return Cell(step, self.lane.name, [Judgement(
            step, self.lane.name, "build", Verdict.SKIP, "the lane is due on the last step of each topic",
            command=f"ci/run --lane {self.lane.name} --step {step}")],
            left_out=[b.name for b in self.run.boots(self.lane)])

    def build(self, step, before):
        """Build a step, or take the kept verdict. before: the step before's diagnostics or None.

        Returns (cell, diagnostics).
        """
        run, name = self.run, f"{step}/{self.lane.name}"
        cell = Cell(step, self.lane.name, [])
        repeat = again(self.lane.name, step)
        if step in self.refusal:
            cell.judgements.append(Judgement(step, self.lane.name, "apply", Verdict.LOST,
                                             self.refusal[step], command=repeat))
            return cell, before
        inputs = self.inputs(step)
        kept = run.paths.artifacts / run.store.key(inputs)
        record = None if run.anew(inputs, builds=True) else run.store.get("build", inputs)
        if record and record["ok"] and not (kept / "image").exists() \
                and (self.lane.sizes or not self.boots_kept(step, record)):
            record = None  # the image is gone and a boot needs it, or the sizes do
        cached = record is not None
        if not cached:
            run.progress.begin(("build", name), f"build {name}")
            if run.why:
                run.progress.note(f"build {name}: {run.store.why('build', inputs, name)}")
            record = self.builder.build(self.commits[step], kept)
            record["log"] = f"build-{run.store.key(inputs)}.log"
            write_atomically(run.paths.log(record["log"]), self.builder.log.read_bytes())
            if record["ok"]:
                record["modules_failed"] = self.builder.build_modules(self.modules, kept)
                record["modules"] = {p.name: hash_file(p) for p in sorted((kept / "modules").iterdir())}
            if not record["lost"]:
                run.store.put("build", inputs, record, name)
            run.fresh.add(run.store.key(inputs))
            run.progress.end(("build", name))
        else:
            prune.use(kept, run.paths.log(record["log"]))
        verdict = Verdict.PASS if record["ok"] else Verdict.LOST if record["lost"] else Verdict.FAIL
        cell.judgements.append(Judgement(
            step, self.lane.name, "build", verdict, record["reason"], self._log(record), repeat,
            record["seconds"], record["cpu"], cached))
        if record["ok"]:
            cell.judgements.append(self._diagnostics(step, before, record, repeat))
            cell.image, cell.record = kept, record
        run.progress.note(f"step {step} {self.lane.name}: build {verdict.value}"
                          + (" (kept)" if cached else f" {record['seconds']:.0f} s")
                          + (f": {record['reason']}" if record["reason"] else ""))
        return cell, record["diagnostics"] if record["ok"] else before

    def _diagnostics(self, step, before, record, repeat):
        if step == 0:
            return Judgement(step, self.lane.name, "diagnostics", Verdict.SKIP,
                             f"the base adds nothing; it has {len(record['diagnostics'])}",
                             self._log(record), repeat)
        if before is None:
            return Judgement(step, self.lane.name, "diagnostics", Verdict.SKIP,
                             "the step before was not built, nothing to compare with",
                             self._log(record), repeat)
        added = diagnostics.new(before, record["diagnostics"])
        repeat = again(self.lane.name, step - 1, step)
        return Judgement(step, self.lane.name, "diagnostics",
                         Verdict.FAIL if added else Verdict.PASS,
                         f"new: {'; '.join(added)}" if added else "", self._log(record), repeat)

    def _log(self, record, kind="log"):
        """The path of the log that a record names."""
        return str(self.run.paths.log(record[kind]))

    # --- boots

    def boot_inputs(self, step, boot, record):
        """What a boot's verdict depends on, by name. record: of the step's build."""
        archives, tests = self.parts(step, boot)
        modules = guest.chosen(record["modules"], self.guest.modules_needed(boot.tests))
        tree = {"devicetree": boot.devicetree.read_text()} if boot.devicetree else {}
        return {**tree, "image": record["image"],
                "modules": {name: record["modules"][name] for name in modules},
                "initramfs": [self.guest.hash(p) for p in archives],
                "qemu": self.qemu,
                "command": [word.replace(str(self.lane.source.parent), "{lanes}") for word in
                            machine.command(self.lane, boot, tests, "image", "initrd", "results")],
                "bounds": [boot.seconds, boot.silence], "harness": BOOT_VERSION}

    def boots_kept(self, step, record):
        """Whether all boots of a step have their verdict in the store."""
        return all(self._ended(step, b, self.attempts(step, b, self.boot_inputs(step, b, record)))
                   for b in self.run.due(self.lane, step))

    def ran(self, step: int, boot: lanes.Boot) -> regress.Ran | None:
        """A boot on a step that this run does not judge, where its verdict is in the store."""
        store = self.run.store
        if step not in self.commits:
            return None
        record = store.get("build", self.inputs(step))
        latest = store.latest("boot", f"{step}/{self.lane.name}/{boot.name}")
        # so that nothing is made for a boot that was never run
        if not record or not record["ok"] or latest.get("image") != record["image"]:
            return None
        attempts = self.attempts(step, boot, self.boot_inputs(step, boot, record))
        return self._ran(boot, attempts[-1], record) if attempts else None

    def attempts(self, step: int, boot: lanes.Boot, inputs: dict) -> list[dict]:
        """The kept attempts of a boot, judged by today's patterns: at most two.

        Empty where the verdict is to be made anew: it was flaky or lost, a console is gone that
        has to be read again, or --again says so.
        """
        run, deny = self.run, self.run.expectations.deny
        if run.anew(inputs, builds=False):
            return []
        record = run.store.get("boot", inputs) or {"attempts": []}
        attempts = record["attempts"]
        if any(a.get("scanned") != deny.key for a in attempts):
            if not all(map(self._scan, attempts)):
                return []
            run.store.put("boot", inputs, {"attempts": attempts},
                          f"{step}/{self.lane.name}/{boot.name}")
        if run.store.key(inputs) not in run.fresh and self._ended(step, boot, attempts) and \
                self._verdict(step, boot, attempts) in (Verdict.FLAKY, Verdict.LOST):
            return []
        for attempt in attempts:
            prune.use(self._log(attempt, "console"), self._log(attempt, "results"))
        return attempts

    def _scan(self, attempt: dict) -> bool:
        """Look for splats in the console of an attempt; whether it is still there."""
        try:
            console = self.run.paths.log(attempt["console"]).read_text(errors="replace")
        except FileNotFoundError:
            return False
        deny = self.run.expectations.deny
        attempt["splats"] = [dataclasses.asdict(s) for s in splat.scan(console, deny)]
        attempt["missing"], attempt["scanned"] = splat.missing(console), deny.key
        return True

    def _ended(self, step: int, boot: lanes.Boot, attempts: list[dict]) -> bool:
        """Whether attempts make a verdict: the first is good, or there are two."""
        return len(attempts) > 1 or \
            (len(attempts) == 1 and not self._problems(step, boot, attempts[0]))

    def leave_out(self, cell, boot):
        """Record that a boot is not due at a step."""
        cell.left_out.append(boot.name)
        cell.judgements.append(Judgement(
            cell.step, self.lane.name, f"boot:{boot.name}", Verdict.SKIP,
            {"every": f"is due in {', '.join(boot.topics)}, at the end of other topics, and where a case "
                      "of it is a proof",
             "ends": "is due on the base, at the end of each topic, and where a case of it is a proof",
             "last": "is due on the last step, and where a case of it is a proof"}[boot.at],
            command=f"ci/run --lane {self.lane.name} --step {cell.step} --boot {boot.name}"))

    def boot(self, cell, boot):
        """Boot once, once more if something was wrong; adds the judgement to the cell."""
        inputs = self.boot_inputs(cell.step, boot, cell.record)
        # two steps with the same image share one boot: the second waits for it
        with self.run.key_lock(self.run.store.key(inputs)):
            self._boot(cell, boot, inputs)

    def _boot(self, cell, boot, inputs):
        run, name = self.run, f"{cell.step}/{self.lane.name}/{boot.name}"
        attempts, cached = self.attempts(cell.step, boot, inputs), True
        while not self._ended(cell.step, boot, attempts):
            if run.why and not attempts:
                run.progress.note(f"boot {name}: {run.store.why('boot', inputs, name)}")
            run.progress.begin(("boot", name), f"boot {name}")
            attempts.append(self._attempt(cell, boot, inputs, len(attempts)))
            if process.stopping():
                raise KeyboardInterrupt  # it was ended by us
            run.store.put("boot", inputs, {"attempts": attempts}, name)
            run.fresh.add(run.store.key(inputs))
            run.progress.end(("boot", name))
            cached = False
        run.store.point("boot", inputs, name)
        judgement = self._judge(cell, boot, attempts, cached)
        ran = self._ran(boot, attempts[-1], cell.record)
        with run.lock:
            cell.judgements.append(judgement)
            cell.cases[boot.name] = ran.words
            cell.ran[boot.name] = ran
            cell.skips |= ran.reasons
            for test in attempts[-1]["tests"].values():
                cell.measured += test.get("measured", [])
            cell.splats += [(boot.name, splat.Splat(**one)) for one in
                            run.expectations.unexpected(cell.step, attempts[-1])]
            if judgement.verdict is Verdict.LOST:
                cell.unjudged.append(boot.name)
        run.progress.note(f"step {cell.step} {self.lane.name}: boot {boot.name} "
                          f"{judgement.verdict.value}"
                          + (" (kept)" if cached else f" {judgement.seconds:.0f} s")
                          + (f": {judgement.reason}" if judgement.reason else ""))

    def _ran(self, boot: lanes.Boot, attempt: dict, record: dict) -> regress.Ran:
        """The cases of an attempt. record: of the step's build."""
        where = f"{self.lane.name}/{boot.name}"
        words = {f"{where}/{proof.END}": "pass" if evaluate.reached_end(attempt) else "fail"}
        reasons = {}
        for name, test in attempt["tests"].items():
            for case, word in test["cases"].items():
                if not name.endswith("@step"):
                    words[f"{where}/{case}"] = word
                if word == "skip":
                    reasons[f"{where}/{case}"] = test["reasons"].get(case, "no reason given")
        failed = [f"the module {said}" for said in record.get("modules_failed", [])]
        return regress.Ran(words, reasons, self._log(attempt, "console"), failed)

    def _problems(self, step: int, boot: lanes.Boot, attempt: dict) -> list[str]:
        return self.run.expectations.problems(step, self.lane.name, boot, attempt)

    def _attempt(self, cell, boot, inputs, number):
        run = self.run
        key = f"{run.store.key(inputs)}-{number}"
        scratch = run.paths.cache / "boots" / key
        archives, tests = self.parts(cell.step, boot)
        archives.append(self.guest.modules(cell.image, cell.record["modules"],
                                           self.guest.modules_needed(boot.tests)))
        initrd = run.paths.cache / "boots" / f"{key}.cpio"
        self.guest.initramfs(archives, initrd)
        attempt = machine.run(self.lane, boot, tests, cell.image / "image", initrd, scratch)
        attempt["due"] = tests
        console, text = attempt.pop("console"), attempt.pop("results")
        attempt["console"], attempt["results"] = f"boot-{key}.console", f"boot-{key}.results"
        write_atomically(run.paths.log(attempt["console"]), console.encode())
        write_atomically(run.paths.log(attempt["results"]), text.encode())
        tests, attempt["complete"] = results.read(run.parser, text)
        attempt["tests"] = {n: dataclasses.asdict(t) for n, t in tests.items()}
        self._scan(attempt)
        output(["rm", "-rf", scratch, initrd])
        return attempt

    def _verdict(self, step: int, boot: lanes.Boot, attempts: list[dict]) -> Verdict:
        if not self._problems(step, boot, attempts[-1]):
            first = self._problems(step, boot, attempts[0])
            return Verdict.FLAKY if first else Verdict.PASS
        return Verdict.LOST if all(map(evaluate.lost, attempts)) else Verdict.FAIL

    def _judge(self, cell, boot, attempts, cached):
        first = self._problems(cell.step, boot, attempts[0])
        final = self._problems(cell.step, boot, attempts[-1])
        reason = _sentence(final) or (f"first attempt: {_sentence(first)}" if first else "")
        return Judgement(cell.step, self.lane.name, f"boot:{boot.name}",
                         self._verdict(cell.step, boot, attempts), reason,
                         self._log(attempts[-1], "console"), again(self.lane.name, cell.step, boot=boot.name),
                         sum(a["seconds"] for a in attempts), sum(a["cpu"] for a in attempts),
                         cached)

    # --- what goes wrong around them

    def judge_build(self, step: int, before: list[str] | None) -> tuple[Cell, list[str] | None]:
        """As build(); where that cannot be judged, the cell says so, and the run goes on."""
        try:
            return self.build(step, before)
        except Exception as error:  # pylint: disable=broad-except
            self.run.progress.end(("build", f"{step}/{self.lane.name}"))
            cell = Cell(step, self.lane.name, [
                self._could_not(step, "build", error, again(self.lane.name, step))])
            return cell, None

    def judge_boot(self, cell: Cell, boot: lanes.Boot) -> None:
        """As boot(); where that cannot be judged, the cell says so, and the run goes on."""
        if self.run.broken:
            return
        try:
            self.boot(cell, boot)
        except Exception as error:  # pylint: disable=broad-except
            self.run.progress.end(("boot", f"{cell.step}/{self.lane.name}/{boot.name}"))
            judgement = self._could_not(cell.step, f"boot:{boot.name}", error,
                                        again(self.lane.name, cell.step, boot=boot.name))
            with self.run.lock:
                cell.judgements.append(judgement)
                cell.unjudged.append(boot.name)

    def _could_not(self, step: int, gate: str, error: Exception, repeat: str) -> Judgement:
        """The judgement of a gate that an exception ended: LOST, or FAIL for a file of ours
        that is wrong. A full disk, and our own end, end the whole run."""
        run = self.run
        if full(error) or isinstance(error, Full) or process.stopping():
            run.broken = run.broken or error
            raise error
        said = str(error).strip() or type(error).__name__
        if not isinstance(error, (CannotJudge, UsageError)):
            said = f"{type(error).__name__}: {said}"
        log = run.paths.logs / f"error-{step}-{self.lane.name}-{gate.replace(':', '-')}"
        write_atomically(log, "".join(traceback.format_exception(error)).encode("utf-8", "replace"))
        verdict = Verdict.FAIL if isinstance(error, UsageError) else Verdict.LOST
        run.progress.note(f"step {step} {self.lane.name}: {gate} {verdict.value}: {said}")
        return Judgement(step, self.lane.name, gate, verdict, " ".join(said.split()), str(log), repeat)


def _sentence(problems):
    """The first few of many problems."""
    more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
    return "; ".join(problems[:6]) + more


class Run:
    """All that one call of ci/run does. Fields are the options, checked.

    forced: names of lanes that are due on every chosen step, whatever their file says;
    again: builds and boots are made anew, with names of boots only these.
    unable: why lanes cannot run here, by name; fresh: keys of records that this run made;
    broken: what ends the whole run, or None.
    """

    def __init__(self, paths, source, series, commits, steps, lane_names, boot_names, progress,
                 why=False, expectations=None, forced=(), again=False):
        self.paths, self.source, self.series = paths, source, series
        self.commits, self.steps, self.progress = commits, steps, progress
        self.boot_names, self.why, self.expectations = boot_names, why, expectations
        self.forced, self.again = forced, again
        self.fresh: set[str] = set()
        self.broken: Exception | None = None
        self.jobs = os.cpu_count() or 1
        self.store = Store(paths.store)
        self.lock = threading.Lock()
        self.key_locks = {}
        self.parser = results.parser(source, paths)
        self.lanes: list[LaneRun] = []
        self.unable: dict[str, str] = {}
        self.lane_names = list(lane_names)
        for name in self.lane_names:
            try:
                self.lanes.append(LaneRun(name, self))
            except (CannotJudge, FileNotFoundError) as error:
                self._unable(name, error)

    def _unable(self, name: str, error: Exception) -> None:
        """Note that a lane cannot run here: it is LOST, and the others run."""
        self.unable[name] = " ".join(str(error).split())
        self.progress.note(f"lane {name} cannot run here: {self.unable[name]}")

    def anew(self, inputs: dict, builds: bool) -> bool:
        """Whether --again wants no kept verdict of a build or boot of these inputs."""
        return self.again and not (builds and self.boot_names) \
            and self.store.key(inputs) not in self.fresh

    def key_lock(self, key):
        """The lock of one boot's key."""
        with self.lock:
            return self.key_locks.setdefault(key, threading.Lock())

    def boots(self, lane):
        """The boots of a lane that were asked for."""
        return [b for b in lane.boots if not self.boot_names or b.name in self.boot_names]

    def lane_due(self, lane, step):
        """Whether a lane is built and booted at a step."""
        return lane.at == "every" or lane.name in self.forced or step in ends(self.series)

    def due(self, lane, step):
        """The boots at a step that a lane is due at; one that is asked for by name is always due."""
        patches = self.series.patches
        topic = patches[step - 1].topic if step else ""

        def proves(boot):
            return step in proof.milestones(self.expectations.proofs, lane.name, boot)

        def at_ends(boot):
            return step in {0, *ends(self.series)} or proves(boot)

        due = {"every": lambda boot: not boot.topics or topic in boot.topics or at_ends(boot),
               "ends": at_ends,
               "last": lambda boot: step == len(patches) or proves(boot)}
        return [b for b in self.boots(lane) if self.boot_names or due[b.at](b)]

    def walk(self) -> list[Cell]:
        """Build every step in every lane, boot what built; returns the cells.

        Builds go one after the other with all cores; boots of finished steps run
        beside them, one a core and one more, since they wait a lot. A failing step does
        not end the walk, nor does a lane that cannot run. Where the walk is interrupted,
        what runs is ended and nothing else begins.
        """
        self._prepare()
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=self.jobs + 1)
        try:
            cells, pending = self._walk(pool)
            for future in pending:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            process.kill_all()
            raise
        pool.shutdown()
        return cells

    def _prepare(self) -> None:
        """Make what the boots of each lane share, so that a missing tool is reported at the start."""
        for lane in list(self.lanes):
            due = [s for s in self.steps or [0] if self.lane_due(lane.lane, s)]
            try:
                for boot in self.boots(lane.lane) if due else []:
                    lane.parts(due[-1], boot)
            except (CannotJudge, FileNotFoundError) as error:
                self.lanes.remove(lane)
                self._unable(lane.lane.name, error)

    def _walk(self, pool: concurrent.futures.Executor
              ) -> tuple[list[Cell], list[concurrent.futures.Future]]:
        """The cells, whose boots are still to end, and those boots."""
        cells, pending = [], []
        runs, known = {lane.lane.name: lane for lane in self.lanes}, {}
        for step in self.steps:
            for name in self.lane_names:
                if self.broken:
                    raise self.broken
                lane = runs.get(name)
                if lane is None or not self.lane_due(lane.lane, step):
                    cells.append(lane.leave_out_step(step) if lane else self._cannot(name, step))
                    self.progress.end(None, cell=True)
                    continue
                if step - 1 in self.steps and self.lane_due(lane.lane, step - 1):
                    before = known.get(name)
                else:
                    before = self._kept_diagnostics(lane, step - 1) if step else None
                cell, known[name] = lane.judge_build(step, before)
                cells.append(cell)
                due = self.due(lane.lane, step)
                if cell.image is None:
                    if any(j.verdict is Verdict.LOST for j in cell.judgements):
                        cell.unjudged += [b.name for b in due]
                    self.progress.end(None, cell=True)
                    continue
                for boot in self.boots(lane.lane):
                    if boot not in due:
                        lane.leave_out(cell, boot)
                futures = [pool.submit(lane.judge_boot, cell, boot) for boot in due]
                pending += futures
                threading.Thread(target=self._count, args=(futures,), daemon=True).start()
        return cells, pending

    def _cannot(self, name: str, step: int) -> Cell:
        """The cell of a lane that cannot run here."""
        lane = lanes.read(self.paths.top, name)
        boots = [b.name for b in self.boots(lane)]
        if not self.lane_due(lane, step):
            return Cell(step, name, [], left_out=boots)
        return Cell(step, name, [Judgement(step, name, "lane", Verdict.LOST, self.unable[name],
                                           command=again(name, step))], unjudged=boots)

    def still_there(self, cells: Iterable[Cell]) -> list[Judgement]:
        """Whether the cases of each boot that passed are still there on the next step.

        The first step of the run is compared with the one before, if that was judged once.
        """
        judgements: list[Judgement] = []
        cells = list(cells)
        for lane in self.lanes:
            of_lane = {c.step: c for c in cells if c.lane == lane.lane.name}
            for boot in self.boots(lane.lane):
                history = {k: c.ran[boot.name] for k, c in of_lane.items() if boot.name in c.ran}
                if not history:
                    continue
                first = min(history)
                earlier = [k for k in range(first) if k not in of_lane
                           and self.lane_due(lane.lane, k) and boot in self.due(lane.lane, k)]
                if earlier and (ran := self._before(lane, earlier[-1], boot)):
                    history[earlier[-1]] = ran
                judgements += regress.judge(
                    lane.lane.name, boot.name, history, first, self.expectations.proofs,
                    self.expectations.reason_known,
                    lambda a, b, lane=lane, boot=boot: again(lane.lane.name, a, b, boot=boot.name))
        return judgements

    def _before(self, lane: LaneRun, step: int, boot: lanes.Boot) -> regress.Ran | None:
        try:
            return lane.ran(step, boot)
        except (CannotJudge, OSError):
            return None  # this comparison is an extra, which the user did not ask for

    def _count(self, futures):
        concurrent.futures.wait(futures)
        self.progress.end(None, cell=True)

    def _kept_diagnostics(self, lane, step):
        record = self.store.get("build", lane.inputs(step)) if step in lane.commits else None
        return record["diagnostics"] if record and record["ok"] else None
