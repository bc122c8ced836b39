# SPDX-License-Identifier: GPL-2.0
"""Count the results of ci/test: a line for each gate as it ends, the sums at the end."""

import json
import pathlib
import textwrap
from typing import Any

from lib.verdict import Verdict, overall

from .suite import Count


class Tally:
    """passed, failed, skipped: results; of those that failed, `lost` could not be judged."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = self.lost = 0
        self.bad: list[str] = []  # names, of gates that failed
        self.unjudged: list[str] = []  # and of those that could not be judged

    def gate(self, label: str, verdict: Verdict, text: str = "", again: str = "") -> None:
        """Count one gate that is no unit test, and show it; text: what it says unless it passes."""
        if verdict is Verdict.PASS:
            self.passed += 1
            show(f"[{label}]  PASS")
            return
        self._count_bad(label, verdict)
        word = "FAIL" if verdict is Verdict.FAIL else "LOST, could not be judged"
        show(f"[{label}]  {word}", text, f"again: {again}" if again else "")

    def _count_bad(self, label: str, verdict: Verdict, number: int = 1) -> None:
        self.failed += number
        if verdict is Verdict.FAIL:
            self.bad.append(label)
        else:
            self.lost += number
            self.unjudged.append(label)

    def tests(self, label: str, count: Count, again: str) -> None:
        """Count the unit tests of a file, and show them."""
        self.passed += count.passed
        if not count.bad:
            show(f"[unit {label}]  PASS: {count.passed} tests, {count.cpu:.0f} s of CPU"
                 + (f"; without {count.slow} slow ones" if count.slow else ""))
            return
        self._count_bad(f"unit:{label}", Verdict.FAIL, count.bad)
        show(f"[unit {label}]  FAIL: {count.failed} failed, {count.skipped} skipped of "
             f"{count.passed + count.bad}, {count.cpu:.0f} s of CPU; again: {again}", "\n".join(count.texts))

    def run(self, path: pathlib.Path, rc: int | None) -> None:
        """Count what ci/run judged: `path` is its results.json, `rc` its exit status.

        They have to tell the same: a status without a result for it is one more result.
        """
        judgements = read(path)
        verdicts = [Verdict(j["verdict"]) for j in judgements]
        avoidable = [j for j in judgements if j.get("avoidable") and j["verdict"] == "skip"]
        self.passed += verdicts.count(Verdict.PASS)
        self.skipped += verdicts.count(Verdict.SKIP) - len(avoidable)
        failed, told = verdicts.count(Verdict.FAIL), overall(verdicts).exit_code
        lost = len(verdicts) - failed - verdicts.count(Verdict.PASS) - verdicts.count(Verdict.SKIP)
        if failed:
            self._count_bad("ci/run", Verdict.FAIL, failed)
        if lost:
            self._count_bad("ci/run", Verdict.LOST, lost)
        if avoidable:
            self._count_bad(f"ci/run:skipped-gates:{len(avoidable)}", Verdict.FAIL, len(avoidable))
            show("gates that were skipped for lack of a tool that ci/packages has:",
                 "\n".join(f"step {j['step']} {j['lane']} {j['gate']}: {j['reason']}\n"
                           f"again: {j['command']}" for j in avoidable))
        nothing = told == 125 and not lost
        if rc != told or nothing:
            why = "wrote no results" if not judgements else "it judged nothing" if nothing else \
                f"its results say {told}"
            self.gate("ci/run", Verdict.FAIL if rc == 1 or rc == 0 and judgements else Verdict.LOST,
                      f"ended with {'no status' if rc is None else rc}, and {why}")

    def end(self) -> int:
        """Show the sums; the exit status. The last line is read by machines."""
        if self.bad:
            show(f"failed: {' '.join(self.bad)}")
        if self.unjudged:
            show(f"could not be judged, {self.lost} of those counted as failed: {' '.join(self.unjudged)}")
        show(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.bad else 125 if self.unjudged else 0


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The judgements of a results.json of ci/run; none where it is missing or no such file."""
    try:
        judgements: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["judgements"]
        for judgement in judgements:
            Verdict(judgement["verdict"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return judgements


def show(line: str, *texts: str) -> None:
    """Print a line, and texts below it, indented."""
    more = "".join(textwrap.indent(text.rstrip("\n") + "\n", "    ") for text in texts if text)
    print(f"{line}\n{more}", end="", flush=True)
