# SPDX-License-Identifier: GPL-2.0
"""The report of a run, in all its forms, into a directory; its table and verdict on standard output."""

import os
import pathlib
from collections.abc import Sequence

from lib.series import Series
from lib.store import write_atomically
from lib.verdict import Judgement, Verdict, overall

from . import junit, results
from .cost import Cost
from .expectations import Expectations
from .outcome import Outcome
from .page import Beside, Page
from .paths import Paths
from .report import Report
from .trees import Trees


def write(paths: Paths, found: Series, lanes: Sequence[str], outcome: Outcome,
          judgements: Sequence[Judgement], expectations: Expectations, cost: Cost,
          output: pathlib.Path) -> Report:
    """Write the report. lanes: in the order of its columns; judgements: all of the run."""
    whole = Report(found, sorted({*outcome.runnable, *(j.step for j in judgements)}), lanes, judgements,
                   outcome.cells, expectations.proofs, cost, outcome.accelerators)
    whole.write(output)
    write_atomically(output / "index.html", Page(whole, Beside.read(output)).html())
    junit.write(output / "results.xml", results.parser(Trees(paths), paths), found.base, judgements,
                outcome.cells, expectations.may_fail)
    outcome.write(output)
    return whole


def conclude(whole: Report, output: pathlib.Path) -> Verdict:
    """Print the report and the verdict; returns it."""
    print(whole.table(), end="")
    verdict = overall(j.verdict for j in whole.judgements)
    if all(j.verdict is Verdict.SKIP for j in whole.judgements):
        print("nothing was judged")
    count = {v: sum(j.verdict is v for j in whole.judgements) for v in Verdict}
    print(", ".join(f"{n} {v.value}" for v, n in count.items() if n)
          + f"; report: {os.path.relpath(output)}/index.html")
    print(f"verdict: {verdict.value}")
    return verdict
