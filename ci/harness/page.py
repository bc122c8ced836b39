# SPDX-License-Identifier: GPL-2.0
"""The report as one page of HTML that needs no other file: steps by lanes, each cell with the part of
its logs that tells, its pictures and the command that repeats it, proofs, plots."""

import dataclasses
import html
import json
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.series import last
from lib.verdict import Judgement, Verdict

from . import accelerator, excerpt, plot
from .gallery import Gallery
from .report import Report, told_places
from .spans import spans, story
from .style import SCRIPT, STYLE

text = html.escape


def head(*words: str) -> str:
    """A row of a table that names its columns."""
    return "<tr>" + "".join(f'<th scope="col">{text(word)}</th>' for word in words) + "</tr>"


def row(*cells: object) -> str:
    """A row of a table; cells: HTML."""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


@dataclasses.dataclass(frozen=True)
class Beside:
    """What other commands wrote to the directory of a report. mutants: those of mutate.json; bench:
    {lane: the rows of bench.json}; told: bench.txt; ktest: ktest.txt. Empty where they did not run."""

    mutants: Sequence[Mapping[str, Any]] = ()
    bench: Mapping[str, Sequence[Mapping[str, Any]]] = dataclasses.field(default_factory=dict)
    told: str = ""
    ktest: str = ""

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Beside":
        """What is there; a broken file counts as none."""
        return cls(_member(directory / "mutate.json", "mutants", list),
                   _member(directory / "bench.json", "lanes", dict),
                   _text(directory / "bench.txt"), _text(directory / "ktest.txt"))


def _text(path: pathlib.Path) -> str:
    """The text of a file, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _member(path: pathlib.Path, name: str, kind: type) -> Any:
    """A member of the object that a file of JSON holds; an empty one where it is not of this kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError, AttributeError):
        return kind()
    return found if isinstance(found, kind) else kind()


class Page:
    """report: what it shows; beside: what other commands wrote to its directory."""

    def __init__(self, report: Report, beside: Beside | None = None) -> None:
        self.report, self.beside = report, beside or Beside()
        self._gallery = Gallery(report.cells)
        self._cells: dict[tuple[int, str], list[Judgement]] = {}
        for j in report.judgements:
            self._cells.setdefault((j.step, j.lane), []).append(j)

    def html(self) -> str:
        """The document."""
        title = f"{self.report.series.base} + {last(self.report.series)} patches"
        parts = [("matrix", "Steps and lanes", self._matrix()), ("splats", "Splats", self._splats()),
                 ("proofs", "Proof per patch", self._proofs()), ("time", "Time", self._time()),
                 ("size", "Size", self._size()), ("bench", "Instructions", self._bench()),
                 ("mutants", "Mutants", self._mutants()), ("ktest", "Beside ktest.pl", self._ktest()),
                 ("skips", "Skipped cases", self._skips()),
                 ("cost", "Cost", self._cost()), ("cells", "Each step in each lane", self._sections())]
        shown = [(name, heading, body) for name, heading, body in parts if body]
        out = ['<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
               '<meta name="viewport" content="width=device-width, initial-scale=1">'
               f"<title>{text(title)}</title><style>{STYLE}</style></head><body>",
               '<a class="skipto" href="#matrix">to the results</a>', f"<h1>{text(title)}</h1>",
               self._sums(), "<nav>" + "".join(f'<a href="#{name}-h">{text(heading)}</a>'
                                               for name, heading, _ in shown) + "</nav>"]
        out += [f'<h2 id="{name}-h">{text(heading)}</h2>{body}' for name, heading, body in shown]
        return "\n".join([*out, f"<script>{SCRIPT}</script></body></html>"]) + "\n"

    def _topic(self, step: int) -> str:
        """The topic of a step's patch, "" for the base."""
        return self.report.series.patches[step - 1].topic if step else ""

    def _verdicts(self, found: Sequence[Judgement]) -> str:
        return " ".join(sorted({j.verdict.value for j in found}))

    def _sums(self) -> str:
        """How many judgements have which verdict; what the lanes boot under."""
        count = {v: sum(j.verdict is v for j in self.report.judgements) for v in Verdict}
        return "<p>" + ", ".join(f'<span class="{v.value}">{n} {v.value}</span>'
                                 for v, n in count.items() if n) + "</p>" + "".join(
            f"<p>{text(said[:1].upper() + said[1:])}</p>"
            for said in accelerator.sentences(self.report.accelerators))

    def _matrix(self) -> str:
        """Filters, and a row for each step with a cell for each lane."""
        topics = list(dict.fromkeys(p.topic for p in self.report.series.patches))
        boxes = "".join(f'<label><input type="checkbox" value="{v.value}" checked> {v.value}</label>'
                        for v in Verdict)
        options = "".join(f'<option value="{text(t)}">{text(t)}</option>' for t in topics)
        columns = self.report.columns
        out = [f'<form class="filter" onsubmit="return false">Steps with {boxes}<label>of topic <select>'
               f'<option value="">all</option>{options}</select></label><output id="shown"></output></form>'
               '<p class="filter">Keys: / to the filter, arrows from cell to cell, Enter to its gates, '
               f'Escape back.</p><table id="matrix"><thead>{head("step", "patch", *columns)}</thead><tbody>']
        for step in self.report.steps:
            of_step = [j for c in columns for j in self._cells.get((step, c), [])]
            out.append(f'<tr data-topic="{text(self._topic(step))}" '
                       f'data-verdicts="{self._verdicts(of_step)}"><th scope="row">{step}</th>'
                       f"<td>{text(self.report.title(step))}</td>"
                       + "".join(self._cell(step, column) for column in columns) + "</tr>")
        return "\n".join(out) + "</tbody></table>"

    def _cell(self, step: int, column: str) -> str:
        word = self.report.word(step, column)
        if not word:
            return '<td class="none">-</td>'
        return f'<td class="{word.value}"><a href="#s{step}-{text(column)}">{word.value}</a></td>'

    def _sections(self) -> str:
        """The gates of each cell."""
        return "".join(self._section(step, column, found) for step in self.report.steps
                       for column in self.report.columns if (found := self._cells.get((step, column))))

    def _section(self, step: int, column: str, found: Sequence[Judgement]) -> str:
        out = [f'<section class="cell" id="s{step}-{text(column)}" data-topic="{text(self._topic(step))}" '
               f'data-verdicts="{self._verdicts(found)}"><h3>step {step}, {text(column)} '
               '<a class="back" href="#matrix">back</a></h3><table>']
        for j in found:
            out.append(f'<tr><td class="{j.verdict.value}">{j.verdict.value}</td><td>{text(j.gate)}</td>'
                       f"<td>{text(j.reason)}{self._log(j)}</td><td><code>{text(j.command)}</code></td>"
                       f"<td>{j.seconds:.0f} s wall, {j.cpu:.0f} s cpu"
                       f"{' (kept)' if j.cached else ''}</td></tr>")
        return "\n".join(out) + f"</table>{self._gallery.of(step, column)}</section>"

    def _log(self, j: Judgement) -> str:
        """Where the log is, and of what does not pass, the part that tells."""
        if not j.log:
            return ""
        if not pathlib.Path(j.log).is_file():
            return " (the log is missing)"
        link = f' <a href="logs/{text(j.log_name)}">log</a>'
        if j.verdict in (Verdict.PASS, Verdict.SKIP):
            return link
        lines = "\n".join(excerpt.of(j.log, j.reason))
        return f"{link}<details open><summary>from the log</summary><pre>{text(lines)}</pre></details>"

    def _splats(self) -> str:
        """The splats that nothing explains, with their traces; equal ones are one."""
        return "\n".join(
            f"<details open><summary><b>{text(places[0][2].line)}</b><br>{text(told_places(places))}<br>"
            f"trace: {text(fingerprint)}</summary>"
            f"<pre>{text(chr(10).join(places[0][2].excerpt))}</pre></details>"
            for fingerprint, places in self.report.splats().items())

    def _proofs(self) -> str:
        """A row for each case that a patch proves: red before it, green from it on."""
        rows = [row(f'<a href="#s{proof.patch.step}-series">{proof.patch.step}</a>', text(name),
                    plot.strip(words, self.report.steps), text(story(words)))
                for proof in self.report.proofs for name, words in self.report.stories(proof)]
        nothing = [proof for proof in self.report.proofs if proof.nothing]
        said = "<details><summary>patches without a case to show: " \
            f"{len(nothing)}</summary><ul>" + "".join(
                f"<li>step {p.patch.step}: {text(p.nothing)}</li>" for p in nothing) + "</ul></details>"
        table = f"<table>{head('step', 'case', 'by step', 'in words')}" + "\n".join(rows) + "</table>"
        return (table if rows else "") + (said if nothing else "")

    def _seconds(self, lane: str, kind: str, cpu: bool) -> dict[int, float]:
        found: dict[int, float] = {}
        for j in self.report.judgements:
            if j.lane == lane and j.gate.startswith(kind) and (j.seconds or j.cpu):
                found[j.step] = found.get(j.step, 0.0) + (j.cpu if cpu else j.seconds)
        return found

    def _time(self) -> str:
        """CPU seconds of the builds, and seconds of the boots, which wait."""
        return plot.lines("Builds", "CPU seconds", {
            lane: self._seconds(lane, "build", True) for lane in self.report.lanes}) + plot.lines(
            "Boots", "seconds", {lane: self._seconds(lane, "boot", False) for lane in self.report.lanes})

    def _size(self) -> str:
        """The bytes of the kernel's code, step by step, beside that of the first step that was built."""
        found: dict[str, dict[int, float]] = {}
        for cell in self.report.cells:
            if cell.built and cell.built.text:
                found.setdefault(cell.lane, {})[cell.step] = cell.built.text
        grown = {lane: {step: size - sizes[min(sizes)] for step, size in sizes.items()}
                 for lane, sizes in found.items()}
        rows = "".join(
            row(text(lane), min(sizes), f"{sizes[min(sizes)]:,.0f}", max(sizes), f"{sizes[max(sizes)]:,.0f}",
                f"{sizes[max(sizes)] - sizes[min(sizes)]:+,.0f}") for lane, sizes in found.items())
        names = head("lane", "first step", "bytes", "last step", "bytes", "more")
        return plot.lines("Code of the kernel, more than at the first step", "bytes", grown, zero=False) \
            + (f"<table>{names}{rows}</table>" if rows else "")

    def _bench(self) -> str:
        """What ci/bench measured: the later step beside the earlier one."""
        plots = "".join(plot.bars(f"{lane}: instructions of the later step / of the earlier one", {
            row["name"]: (row["ratio"], row["verdict"]) for row in rows if row["ratio"] is not None})
            for lane, rows in self.beside.bench.items())
        return plots + (f"<pre>{text(self.beside.told)}</pre>" if self.beside.told else "")

    def _ktest(self) -> str:
        """What ci/bench --ktest measured: ci/run beside the kernel's own ktest.pl."""
        return f"<pre>{text(self.beside.ktest)}</pre>" if self.beside.ktest else ""

    def _mutants(self) -> str:
        """How many faults were noticed, and each that was not."""
        found = self.beside.mutants
        if not found:
            return ""
        counts = Counter(m["outcome"] for m in found)
        rows = "".join(
            row(text(m["outcome"]), text(m["name"]), f"{text(m['file'])}:{m['line']}",
                text(m["reason"] or m["why"]), f"<code>{text(m['command'])}</code>")
            for m in found if m["outcome"] != "caught")
        names = head("outcome", "fault", "place", "why", "again")
        return f"<p>{', '.join(f'{n} {text(word)}' for word, n in sorted(counts.items()))}</p>" \
            + (f"<table>{names}{rows}</table>" if rows else "")

    def _skips(self) -> str:
        rows = "".join(row(text(reason), text(case), spans(steps))
                       for reason, cases in self.report.skipped().items() for case, steps in cases.items())
        return f"<table>{head('reason', 'case', 'steps')}{rows}</table>" if rows else ""

    def _cost(self) -> str:
        """What this run spent on what; then seconds a step and lane, where kept verdicts show what
        they cost when they were made."""
        kinds = [(lane, kind) for lane in self.report.lanes for kind in ("build", "boot")]
        times = {where: (self._seconds(*where, False), self._seconds(*where, True)) for where in kinds}
        out = [*self._spent(), "<table>",
               head("step", *(f"{lane} {kind}: wall / cpu s" for lane, kind in kinds))]
        out += [row(step, *(f"{wall.get(step, 0):.0f} / {cpu.get(step, 0):.0f}"
                            for wall, cpu in times.values())) for step in self.report.steps]
        out.append(row("all", *(f"{sum(wall.values()):.0f} / {sum(cpu.values()):.0f}"
                                for wall, cpu in times.values())))
        return "\n".join([*out, "</table>"])

    def _spent(self) -> Iterator[str]:
        """What this run spent, of the judgements that it made itself, beside the budget."""
        if not self.report.cost:
            return
        yield "<table>" + head("in this run", "made", "wall s", "CPU s")
        yield from (row(*(text(word) for word in words)) for words in self.report.cost.table())
        yield f"</table><p>{text(self.report.cost.verdict)}</p>"
