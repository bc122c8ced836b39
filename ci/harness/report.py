# SPDX-License-Identifier: GPL-2.0
"""One result in three forms: a plain table, KTAP, JSON. page.py makes the fourth of it."""

import fnmatch
import json
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from lib.command import CannotJudge
from lib.proofs import Proof
from lib.series import Series, title
from lib.store import write_atomically
from lib.verdict import Judgement, Verdict, worst

from . import accelerator, splat
from .cell import Cell
from .cost import Cost
from .spans import spans, story

# The names that write() gives to logs and pictures, and no others.
_LOG = re.compile(r"\d+-[\w.-]+\.(?:txt|png)$")


def writable(directory: pathlib.Path) -> None:
    """CannotJudge where no report can be written: to be called before anything runs."""
    try:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".writable-"):
            pass
    except OSError as error:
        raise CannotJudge(f"the report cannot be written to {directory}: {error.strerror}; "
                          "name another directory with --output") from None


class Report:
    """judgements: all of the run; cells: of runner; series; steps: those that ran; cost: or None;
    accelerators: what each lane boots under, and why."""

    def __init__(self, series: Series, steps: Sequence[int], lanes: Sequence[str],
                 judgements: Sequence[Judgement], cells: Sequence[Cell], proofs: Sequence[Proof],
                 cost: Cost | None = None, accelerators: Mapping[str, str] | None = None) -> None:
        self.accelerators = dict(accelerators or {})
        self.series, self.steps, self.lanes = series, steps, lanes
        self.judgements, self.cells, self.proofs, self.cost = judgements, cells, proofs, cost

    def of(self, step: int, lane: str) -> list[Judgement]:
        """The judgements of a step in a lane."""
        return [j for j in self.judgements if j.step == step and j.lane == lane]

    def word(self, step: int, lane: str) -> Verdict | None:
        """The verdict of a cell: skips of a gate do not hide a pass beside them."""
        found = self.of(step, lane)
        if not found:
            return None
        grave = worst(j.verdict for j in found if j.verdict is not Verdict.SKIP)
        only_skips = all(j.verdict is Verdict.SKIP for j in found)
        return Verdict.SKIP if only_skips else grave

    @property
    def columns(self) -> list[str]:
        """The lanes that have judgements, and what is judged without one."""
        have = {j.lane for j in self.judgements}
        return [c for c in ["series", "static", *self.lanes] if c in have]

    # --- plain

    def table(self) -> str:
        """A row per step, a column per lane; then every fail and every skip with its reason; the cost."""
        widths = {c: max(len(c), 7) + 2 for c in self.columns}
        lines = ["step  " + "".join(f"{c:<{w}}" for c, w in widths.items()) + "patch"]
        for step in self.steps:
            words = {c: self.word(step, c) for c in self.columns}
            lines.append(f"{step:4}  " + "".join(
                f"{word.value if word else '-':<{widths[c]}}" for c, word in words.items())
                + self.title(step))
        lines.append("-" * min(max(map(len, lines)), 100))
        for proof in self.proofs:
            lines += self._proof_lines(proof)
        lines += [f"accelerator: {said}" for said in accelerator.sentences(self.accelerators)]
        lines += self._skip_lines()
        grouped: dict[tuple[Verdict, str, str, str], list[Judgement]] = {}
        for j in self.judgements:
            if j.verdict is not Verdict.PASS:
                grouped.setdefault((j.verdict, j.lane, j.gate, j.reason), []).append(j)
        for (verdict, lane, gate, reason), found in grouped.items():
            steps = spans([j.step for j in found])
            lines.append(f"{verdict.value}: step {steps} {lane} {gate}: {reason}")
            if verdict is not Verdict.SKIP:
                patch = self.series.patches[found[0].step - 1].name if found[0].step else "the base"
                lines.append(f"      patch: {patch}")
                lines += [f"      {k}: {v}" for k, v in (("log", _log(found[0].log)),
                                                         ("again", found[0].command)) if v]
        for fingerprint, places in self.splats().items():
            one = places[0][2]
            lines.append(f"splat: {one.line}")
            lines += [f"      {told_places(places)}", f"      trace: {fingerprint}",
                      *(f"      | {line}" for line in one.excerpt)]
        lines += self.cost.lines() if self.cost else []
        return "\n".join(lines) + "\n"

    def splats(self) -> dict[str, list[tuple[int, str, splat.Splat]]]:
        """The splats that nothing explains: {fingerprint: [(step, "lane/boot", Splat)]}."""
        found: dict[str, list[tuple[int, str, splat.Splat]]] = {}
        for cell in self.cells:
            for boot, one in cell.splats:
                found.setdefault(one.fingerprint, []).append((cell.step, f"{cell.lane}/{boot}", one))
        return found

    def title(self, step: int) -> str:
        """The subject of a step's patch."""
        return title(self.series, step)

    def stories(self, proof: Proof) -> Iterator[tuple[str, dict[int, str]]]:
        """(case, {step: word}) of each case of a proof; of cases with equal results one alone, with
        its pattern and how many there are."""
        for pattern in proof.patterns:
            seen: dict[str, dict[int, str]] = {}
            for cell in self.cells:
                for cases in cell.cases.values():
                    for case in fnmatch.filter(cases, pattern):
                        seen.setdefault(case, {})[cell.step] = cases[case]
            alike: dict[str, list[str]] = {}
            for case, words in sorted(seen.items()):
                alike.setdefault(story(words), []).append(case)
            for cases_alike in alike.values():
                first = cases_alike[0]
                name = first if len(cases_alike) == 1 else f"{pattern} ({len(cases_alike)} cases)"
                yield name, seen[first]

    def _proof_lines(self, proof: Proof) -> list[str]:
        """The results of each pattern of a proof, step by step; cases with equal results share a line."""
        return [f"proof of step {proof.patch.step}: {name}: {story(words)}"
                for name, words in self.stories(proof)]

    def skipped(self) -> dict[str, dict[str, list[int]]]:
        """Skipped test cases by reason: {reason: {case: [steps]}}."""
        found: dict[str, dict[str, list[int]]] = {}
        for cell in self.cells:
            for case, reason in sorted(cell.skips.items()):
                found.setdefault(reason, {}).setdefault(case, []).append(cell.step)
        return found

    def _skip_lines(self) -> Iterator[str]:
        for reason, cases in self.skipped().items():
            first = next(iter(cases))
            more = f" and {len(cases) - 1} more cases" if len(cases) > 1 else ""
            steps = spans({k for found in cases.values() for k in found})
            yield f"skip: step {steps} {first}{more}: {reason}"

    # --- KTAP

    def ktap(self) -> str:
        """A subtest per step, a result per lane and gate; skips keep their reason."""
        lines = ["KTAP version 1", f"1..{len(self.steps)}"]
        for number, step in enumerate(self.steps, 1):
            found = [j for c in self.columns for j in self.of(step, c)]
            lines += ["    KTAP version 1", f"    1..{len(found)}"]
            for index, j in enumerate(found, 1):
                bad = j.verdict not in (Verdict.PASS, Verdict.SKIP)
                mark = f" # SKIP {j.reason}" if j.verdict is Verdict.SKIP else ""
                if bad:
                    lines.append(f"    # {j.verdict.value}: {j.reason}")
                lines.append(f"    {'not ok' if bad else 'ok'} {index} {j.lane}.{j.gate}{mark}")
            bad = any(j.verdict not in (Verdict.PASS, Verdict.SKIP) for j in found)
            lines.append(f"{'not ok' if bad else 'ok'} {number} step-{step}")
        return "\n".join(lines) + "\n"

    # --- JSON

    def results(self) -> str:
        """What ci/test and other programs read: {"judgements": [...], "accelerators": {lane: what
        it boots under}, "cost": ...}, the fields of Judgement each, its verdict as a word; of
        Cost.data()."""
        return json.dumps({"judgements": [j.data() for j in self.judgements],
                           "accelerators": self.accelerators,
                           **({"cost": self.cost.data()} if self.cost else {})}, indent=1) + "\n"

    # --- files

    def write(self, directory: pathlib.Path) -> None:
        """Write table.txt, results.ktap, results.json, the logs that page.py links to, and the pictures."""
        logs = directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for old in logs.iterdir():
            if _LOG.match(old.name):
                old.unlink()
        for j in self.judgements:
            if j.log and pathlib.Path(j.log).is_file():
                shutil.copyfile(j.log, logs / j.log_name)
        for path, name in (copy for cell in self.cells for b in cell.boots for copy in b.picture_files):
            if path.is_file():
                shutil.copyfile(path, logs / name)
        write_atomically(directory / "table.txt", self.table().encode())
        write_atomically(directory / "results.ktap", self.ktap().encode())
        write_atomically(directory / "results.json", self.results().encode())


def _log(path: str) -> str:
    """The path of a log, for the table: verdicts may be here without their logs."""
    return path + " (missing)" if path and not pathlib.Path(path).is_file() else path


def told_places(places: list[tuple[int, str, splat.Splat]]) -> str:
    """Where splats of one fingerprint were seen."""
    boots: dict[str, set[int]] = {}
    for step, where, _ in places:
        boots.setdefault(where, set()).add(step)
    return "; ".join(f"step {spans(sorted(steps))} {where}" for where, steps in boots.items())

