# SPDX-License-Identifier: GPL-2.0
"""The walk over steps and lanes: builds in order, boots beside them, all recorded."""

import concurrent.futures
import dataclasses
import os
import pathlib
import threading

from lib import lane as lanes
from lib.command import output
from lib.series import ends
from lib.store import Store, digest, hash_file, write_atomically
from lib.verdict import Judgement, Verdict

from . import build, devicetree, diagnostics, evaluate, guest, machine, proof, results, splat
from .source import DoesNotApply

# Raise when the meaning of a kept record changes.
BUILD_VERSION = 1
BOOT_VERSION = 1


@dataclasses.dataclass
class Cell:
    """One step in one lane: its judgements, each boot's cases, why cases were skipped,
    and the lines of what was measured."""

    step: int
    lane: str
    judgements: list
    cases: dict = dataclasses.field(default_factory=dict)
    skips: dict = dataclasses.field(default_factory=dict)
    measured: list = dataclasses.field(default_factory=list)
    image: pathlib.Path = None
    record: dict = None
    left_out: list = dataclasses.field(default_factory=list)


class LaneRun:
    """One lane over all chosen steps."""

    def __init__(self, name, run):
        self.run = run
        self.lane = lanes.read(run.paths.top, name)
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
            step, self.lane.name, "build", Verdict.SKIP, "the lane is due at the ends of topics",
            command=f"ci/run --lane {self.lane.name} --step {step}")],
            left_out=[b.name for b in self.run.boots(self.lane)])

    def build(self, step, before):
        """Build a step, or take the kept verdict. before: the step before's diagnostics or None.

        Returns (cell, diagnostics).
        """
        run, name = self.run, f"{step}/{self.lane.name}"
        cell = Cell(step, self.lane.name, [])
        repeat = f"ci/run --lane {self.lane.name} --step {step}"
        if step in self.refusal:
            cell.judgements.append(Judgement(step, self.lane.name, "apply", Verdict.LOST,
                                             self.refusal[step], command=repeat))
            return cell, before
        inputs = self.inputs(step)
        kept = run.paths.artifacts / run.store.key(inputs)
        record = run.store.get("build", inputs)
        if record and record["ok"] and not (kept / "image").exists() \
                and (self.lane.sizes or not self.boots_kept(step, record)):
            record = None  # the image is gone and a boot needs it, or the sizes do
        cached = record is not None
        if not cached:
            run.progress.begin(("build", name), f"build {name}")
            if run.why:
                run.progress.note(f"build {name}: {run.store.why('build', inputs, name)}")
            record = self.builder.build(self.commits[step], kept)
            log = run.paths.logs / f"build-{run.store.key(inputs)}.log"
            write_atomically(log, self.builder.log.read_bytes())
            record["log"] = str(log)
            if record["ok"]:
                record["modules_failed"] = self.builder.build_modules(self.modules, kept)
                record["modules"] = {p.name: hash_file(p) for p in sorted((kept / "modules").iterdir())}
            if not record["lost"]:
                run.store.put("build", inputs, record, name)
            run.progress.end(("build", name))
        verdict = Verdict.PASS if record["ok"] else Verdict.LOST if record["lost"] else Verdict.FAIL
        cell.judgements.append(Judgement(
            step, self.lane.name, "build", verdict, record["reason"], record["log"], repeat,
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
                             record["log"], repeat)
        if before is None:
            return Judgement(step, self.lane.name, "diagnostics", Verdict.SKIP,
                             "the step before was not built, nothing to compare with",
                             record["log"], repeat)
        added = diagnostics.new(before, record["diagnostics"])
        return Judgement(step, self.lane.name, "diagnostics",
                         Verdict.FAIL if added else Verdict.PASS,
                         f"new: {'; '.join(added)}" if added else "", record["log"], repeat)

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
                "command": machine.command(self.lane, boot, tests, "image", "initrd", "results"),
                "bounds": [boot.seconds, boot.silence], "harness": BOOT_VERSION}

    def boots_kept(self, step, record):
        """Whether all boots of a step have their verdict in the store."""
        return all(self.run.store.get("boot", self.boot_inputs(step, b, record))
                   for b in self.run.due(self.lane, step))

    def leave_out(self, cell, boot):
        """Record that a boot is not due at a step."""
        cell.left_out.append(boot.name)
        cell.judgements.append(Judgement(
            cell.step, self.lane.name, f"boot:{boot.name}", Verdict.SKIP,
            {"every": f"is due in {', '.join(boot.topics)}, and as other topics end",
             "ends": "is due at the ends of topics and where a case of it is a proof",
             "last": "is due on the last step and where a case of it is a proof"}[boot.at],
            command=f"ci/run --lane {self.lane.name} --step {cell.step} --boot {boot.name}"))

    def boot(self, cell, boot):
        """Boot once, once more if something was wrong; adds the judgement to the cell."""
        inputs = self.boot_inputs(cell.step, boot, cell.record)
        # two steps with the same image share one boot: the second waits for it
        with self.run.key_lock(self.run.store.key(inputs)):
            self._boot(cell, boot, inputs)

    def _boot(self, cell, boot, inputs):
        run, name = self.run, f"{cell.step}/{self.lane.name}/{boot.name}"
        record = run.store.get("boot", inputs) or {"attempts": []}
        attempts, cached = record["attempts"], True
        while not attempts or (len(attempts) == 1 and self._problems(cell, boot, attempts[0])):
            if run.why and not attempts:
                run.progress.note(f"boot {name}: {run.store.why('boot', inputs, name)}")
            run.progress.begin(("boot", name), f"boot {name}")
            attempts.append(self._attempt(cell, boot, inputs, len(attempts)))
            run.store.put("boot", inputs, {"attempts": attempts}, name)
            run.progress.end(("boot", name))
            cached = False
        judgement = self._judge(cell, boot, attempts, cached)
        with run.lock:
            cell.judgements.append(judgement)
            words = cell.cases.setdefault(boot.name, {})
            words[f"{self.lane.name}/{boot.name}/{proof.END}"] = \
                "pass" if evaluate.reached_end(attempts[-1]) else "fail"
            for name, test in attempts[-1]["tests"].items():
                cell.measured += test.get("measured", [])
                for case, word in test["cases"].items():
                    where = f"{self.lane.name}/{boot.name}/{case}"
                    if not name.endswith("@step"):
                        words[where] = word
                    if word == "skip":
                        cell.skips[where] = test["reasons"].get(case, "no reason given")
        run.progress.note(f"step {cell.step} {self.lane.name}: boot {boot.name} "
                          f"{judgement.verdict.value}"
                          + (" (kept)" if cached else f" {judgement.seconds:.0f} s")
                          + (f": {judgement.reason}" if judgement.reason else ""))

    def _problems(self, cell, boot, attempt):
        return self.run.expectations.problems(cell.step, self.lane.name, boot, attempt)

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
        attempt["console"] = str(run.paths.logs / f"boot-{key}.console")
        attempt["results"] = str(run.paths.logs / f"boot-{key}.results")
        write_atomically(attempt["console"], console.encode())
        write_atomically(attempt["results"], text.encode())
        tests, attempt["complete"] = results.read(run.parser, text)
        attempt["tests"] = {n: dataclasses.asdict(t) for n, t in tests.items()}
        attempt["splats"] = splat.scan(console, run.expectations.deny)
        output(["rm", "-rf", scratch, initrd])
        return attempt

    def _judge(self, cell, boot, attempts, cached):
        first = self._problems(cell, boot, attempts[0])
        final = self._problems(cell, boot, attempts[-1])
        if not final:
            verdict = Verdict.FLAKY if first else Verdict.PASS
        elif all(evaluate.lost(a) for a in attempts):
            verdict = Verdict.LOST
        else:
            verdict = Verdict.FAIL
        reason = _sentence(final) or (f"first attempt: {_sentence(first)}" if first else "")
        return Judgement(cell.step, self.lane.name, f"boot:{boot.name}", verdict, reason,
                         attempts[-1]["console"],
                         f"ci/run --lane {self.lane.name} --step {cell.step} --boot {boot.name}",
                         sum(a["seconds"] for a in attempts), sum(a["cpu"] for a in attempts),
                         cached)


def _sentence(problems):
    """The first few of many problems: the log has all."""
    more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
    return "; ".join(problems[:6]) + more


class Run:
    """All that one call of ci/run does. Fields are the options, checked.

    forced: names of lanes that are due on every chosen step, whatever their file says.
    """

    def __init__(self, paths, source, series, commits, steps, lane_names, boot_names, progress,
                 why=False, expectations=None, forced=()):
        self.paths, self.source, self.series = paths, source, series
        self.commits, self.steps, self.progress = commits, steps, progress
        self.boot_names, self.why, self.expectations = boot_names, why, expectations
        self.forced = forced
        self.jobs = os.cpu_count() or 1
        self.store = Store(paths.store)
        self.lock = threading.Lock()
        self.key_locks = {}
        self.parser = results.parser(source, paths)
        self.lanes = [LaneRun(name, self) for name in lane_names]

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

    def walk(self):
        """Build every step in every lane, boot what built; returns the cells.

        Builds go one after the other with all cores; boots of finished steps run
        beside them, one a core and one more, since they wait a lot. A failing step does
        not end the walk.
        """
        cells, pending = [], []
        for lane in self.lanes:
            due = [s for s in self.steps or [0] if self.lane_due(lane.lane, s)]
            if due:
                for boot in self.boots(lane.lane):
                    lane.parts(due[-1], boot)  # fail early, if at all
        with concurrent.futures.ThreadPoolExecutor(max_workers=self.jobs + 1) as pool:
            known = {}
            for step in self.steps:
                for lane in self.lanes:
                    name = lane.lane.name
                    if not self.lane_due(lane.lane, step):
                        cells.append(lane.leave_out_step(step))
                        self.progress.end(None, cell=True)
                        continue
                    if step - 1 in self.steps and self.lane_due(lane.lane, step - 1):
                        before = known.get(name)
                    else:
                        before = self._kept_diagnostics(lane, step - 1) if step else None
                    cell, known[name] = lane.build(step, before)
                    cells.append(cell)
                    if cell.image is None:
                        self.progress.end(None, cell=True)
                        continue
                    due = self.due(lane.lane, step)
                    for boot in self.boots(lane.lane):
                        if boot not in due:
                            lane.leave_out(cell, boot)
                    futures = [pool.submit(lane.boot, cell, boot) for boot in due]
                    pending += futures
                    threading.Thread(target=self._count, args=(futures,), daemon=True).start()
            for future in pending:
                future.result()
        return cells

    def _count(self, futures):
        concurrent.futures.wait(futures)
        self.progress.end(None, cell=True)

    def _kept_diagnostics(self, lane, step):
        record = self.store.get("build", lane.inputs(step)) if step in lane.commits else None
        return record["diagnostics"] if record and record["ok"] else None
