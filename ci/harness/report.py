# SPDX-License-Identifier: GPL-2.0
"""One result, four forms: a plain table, KTAP, JSON, and one static HTML page."""

import fnmatch
import html
import json
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from lib.command import CannotJudge
from lib.proofs import Proof
from lib.series import Series, last, title
from lib.store import write_atomically
from lib.verdict import Judgement, Verdict, worst

from . import splat
from .cell import Cell
from .cost import Cost
from .gallery import Gallery
from .spans import spans, story

# The names that write() gives to logs, and no others.
_LOG = re.compile(r"\d+-[\w.-]+\.txt$")


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
        self.gallery = Gallery(cells)

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
                + self._title(step))
        lines.append("-" * min(max(map(len, lines)), 100))
        for proof in self.proofs:
            lines += self._proof_lines(proof)
        lines += [f"accelerator: lane {name}: {what}" for name, what in self.accelerators.items()]
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
            lines += [f"      {_places(places)}", f"      trace: {fingerprint}",
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

    def _title(self, step: int) -> str:
        return title(self.series, step)

    def _proof_lines(self, proof: Proof) -> list[str]:
        """The results of each pattern of a proof, step by step; cases with equal results share a line."""
        lines = []
        for pattern in proof.patterns:
            seen: dict[str, dict[int, str]] = {}
            for cell in self.cells:
                for cases in cell.cases.values():
                    for case in fnmatch.filter(cases, pattern):
                        seen.setdefault(case, {})[cell.step] = cases[case]
            stories: dict[str, list[str]] = {}
            for case, words in sorted(seen.items()):
                stories.setdefault(story(words), []).append(case)
            for told, alike in stories.items():
                name = alike[0] if len(alike) == 1 else f"{pattern} ({len(alike)} cases)"
                lines.append(f"proof of step {proof.patch.step}: {name}: {told}")
        return lines

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

    # --- HTML

    def write(self, directory: pathlib.Path) -> None:
        """Write table.txt, results.ktap, results.json, index.html, the logs and pictures they name."""
        logs = directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for old in logs.iterdir():
            if _LOG.match(old.name):
                old.unlink()
        for j in self.judgements:
            if j.log and pathlib.Path(j.log).is_file():
                name = f"{j.step}-{j.lane}-{j.gate.replace(':', '-')}.txt"
                shutil.copyfile(j.log, logs / name)
        self.gallery.write(directory)
        write_atomically(directory / "table.txt", self.table().encode())
        write_atomically(directory / "results.ktap", self.ktap().encode())
        write_atomically(directory / "results.json", self.results().encode())
        write_atomically(directory / "index.html", self.page().encode())

    def page(self) -> str:
        """The page: the matrix first, each cell one click from its gates and logs."""
        out = [_HEAD, f"<h1>{html.escape(self.series.base)} + {last(self.series)} patches</h1>",
               "<table><tr><th>step</th><th>patch</th>"]
        out += [f"<th>{html.escape(c)}</th>" for c in self.columns]
        out.append("</tr>")
        for step in self.steps:
            out.append(f"<tr><td>{step}</td><td>{html.escape(self._title(step))}</td>")
            for column in self.columns:
                word = self.word(step, column)
                value = word.value if word else "none"
                out.append(f'<td class="{value}"><a href="#s{step}-{column}">{value}</a></td>')
            out.append("</tr>")
        out.append("</table><h2>Proof per patch</h2><pre>")
        for proof in self.proofs:
            out += [html.escape(line) + "\n" for line in self._proof_lines(proof)]
        out.append("</pre><h2>Skipped cases</h2><table><tr><th>reason</th><th>case</th><th>steps</th></tr>")
        for reason, cases in self.skipped().items():
            for case, steps in cases.items():
                out.append(f"<tr><td>{html.escape(reason)}</td><td>{html.escape(case)}</td>"
                           f"<td>{', '.join(map(str, steps))}</td></tr>")
        out.append("</table>" + "".join(f"<p>Lane {html.escape(name)} boots under {html.escape(what)}</p>"
                                        for name, what in self.accelerators.items()))
        out.append(self._splats() + "<h2>Cost</h2>" + self._cost())
        for step in self.steps:
            for column in self.columns:
                found = self.of(step, column)
                if found:
                    out.append(self._cell(step, column, found))
        return "\n".join(out) + "</body></html>\n"

    def _splats(self) -> str:
        """The splats that nothing explains, with their traces; equal ones are one."""
        out = ["<h2>Splats</h2>"] if self.splats() else []
        for fingerprint, places in self.splats().items():
            one = places[0][2]
            out.append(f"<details open><summary><b>{html.escape(one.line)}</b><br>"
                       f"{html.escape(_places(places))}<br>trace: {html.escape(fingerprint)}</summary>"
                       f"<pre>{html.escape(chr(10).join(one.excerpt))}</pre></details>")
        return "\n".join(out)

    def _cell(self, step: int, column: str, found: Sequence[Judgement]) -> str:
        out = [f'<h3 id="s{step}-{column}">step {step}, {html.escape(column)}</h3><table>']
        for j in found:
            name = f"{j.step}-{j.lane}-{j.gate.replace(':', '-')}.txt"
            log = f'<a href="logs/{name}">log</a>' if pathlib.Path(j.log).is_file() else \
                "the log is missing" if j.log else ""
            out.append(f'<tr><td class="{j.verdict.value}">{j.verdict.value}</td>'
                       f"<td>{html.escape(j.gate)}</td><td>{html.escape(j.reason)}</td><td>{log}</td>"
                       f"<td><code>{html.escape(j.command)}</code></td>"
                       f"<td>{j.seconds:.0f} s wall, {j.cpu:.0f} s cpu"
                       f"{' (kept)' if j.cached else ''}</td></tr>")
        return "".join(out) + "</table>" + self.gallery.of(step, column)

    def _cost(self) -> str:
        """What this run spent on what; then seconds a step and lane, where kept verdicts show what
        they cost when they were made."""
        out = self._spent() + ["<table><tr><th>step</th>"]
        kinds = [(c, k) for c in self.lanes for k in ("build", "boot")]
        out += [f"<th>{html.escape(c)} {k}: wall / cpu s</th>" for c, k in kinds]
        out.append("</tr>")
        for step in [*self.steps, "all"]:
            out.append(f"<tr><td>{step}</td>")
            for lane, kind in kinds:
                found = [j for j in self.judgements if j.lane == lane and j.gate.startswith(kind)
                         and step in (j.step, "all")]
                out.append(f"<td>{sum(j.seconds for j in found):.0f} / "
                           f"{sum(j.cpu for j in found):.0f}</td>")
            out.append("</tr>")
        return "".join(out) + "</table>"

    def _spent(self) -> list[str]:
        """What this run spent, of the judgements that it made itself, beside the budget."""
        if not self.cost:
            return []
        rows = ["".join(f"<td>{html.escape(word)}</td>" for word in row) for row in self.cost.table()]
        return ["<table><tr><th>in this run</th><th>made</th><th>wall s</th><th>CPU s</th></tr>",
                *(f"<tr>{row}</tr>" for row in rows), f"</table><p>{html.escape(self.cost.verdict)}</p>"]


def _log(path: str) -> str:
    """The path of a log, for the table: verdicts may be here without their logs."""
    return path + " (missing)" if path and not pathlib.Path(path).is_file() else path


def _places(places: list[tuple[int, str, splat.Splat]]) -> str:
    """Where splats of one fingerprint were seen."""
    boots: dict[str, set[int]] = {}
    for step, where, _ in places:
        boots.setdefault(where, set()).add(step)
    return "; ".join(f"step {spans(sorted(steps))} {where}" for where, steps in boots.items())


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>Patch by patch</title><style>
body { font: 14px/1.4 sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .2em .6em; text-align: left }
td a { color: inherit } .pass { background: #cfc } .fail { background: #f99 }
.skip, .none { background: #eee } .flaky { background: #fd8 } .lost { background: #fca }
figure { display: inline-block; margin: .4em; padding: .4em; max-width: 500px }
</style></head><body>"""
