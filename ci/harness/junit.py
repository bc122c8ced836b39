# SPDX-License-Identifier: GPL-2.0
"""results.xml: the judgements of a run, and the cases of its last step, as JUnit.

The suites of the document are those that the base's tools/testing/kunit/kunit_junit.py makes
of kunit_parser.Test; the reason of what does not pass is added. CI systems show the file.
"""

import pathlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lib.store import write_atomically
from lib.verdict import Judgement, Verdict

# What XML 1.0 cannot hold, in any spelling.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STATUS = {Verdict.PASS: "SUCCESS", Verdict.SKIP: "SKIPPED", Verdict.FAIL: "FAILURE",
           Verdict.FLAKY: "FAILURE", Verdict.LOST: "TEST_CRASHED"}


class Document:
    """parser: the base's module kunit_parser with its `junit`, as results.parser() gives it."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser

    def _leaf(self, name: str, status: str, reason: str) -> Any:
        """A case. status: of kunit_parser.TestStatus."""
        test = self.parser.Test()
        test.name, test.status = _plain(name), self.parser.TestStatus[status]
        test.skip_reason = _plain(reason)
        test.counts.add_status(test.status)
        return test

    def _suite(self, name: str, tests: Iterable[Any]) -> Any:
        """A suite of cases and suites."""
        suite = self.parser.Test()
        suite.name, suite.subtests = _plain(name), list(tests)
        for test in suite.subtests:
            suite.counts.add_subtest_counts(test.counts)
        suite.status = suite.counts.get_status()
        return suite

    def _gates(self, judgements: Iterable[Judgement]) -> list[Any]:
        """A suite for each lane, in it one for each step, in it a case for each gate."""
        found: dict[str, dict[int, list[Judgement]]] = {}
        for j in judgements:
            found.setdefault(j.lane, {}).setdefault(j.step, []).append(j)
        return [self._suite(lane, [
            self._suite(f"step {step}", [
                self._leaf(j.gate, _STATUS[j.verdict], f"{j.verdict.value}: {j.reason}"
                           + (f"\nagain: {j.command}" if j.command else "")) for j in of_step])
            for step, of_step in sorted(steps.items())]) for lane, steps in found.items()]

    def _cases(self, cells: Iterable[Any], excuse: Callable[[int, str], str]) -> list[Any]:
        """A suite for each lane and boot: the cases of the last step that it ran on."""
        last: dict[str, tuple[int, Mapping[str, str], Mapping[str, str]]] = {}
        for cell in cells:
            for boot, words in cell.cases.items():
                where = f"{cell.lane}/{boot}"
                if where not in last or last[where][0] < cell.step:
                    last[where] = cell.step, words, cell.skips
        return [self._suite(f"{where}, step {step}", [
            self._case(case, word, skips.get(case, ""), excuse(step, case))
            for case, word in words.items()]) for where, (step, words, skips) in last.items()]

    def _case(self, case: str, word: str, reason: str, excused: str) -> Any:
        if word == "fail" and excused:
            return self._leaf(case, "SKIPPED", f"fails: {excused}")
        status = {"pass": "SUCCESS", "skip": "SKIPPED"}.get(word, "FAILURE")
        return self._leaf(case, status, reason or word)

    def text(self, name: str, judgements: Iterable[Judgement], cells: Iterable[Any],
             excuse: Callable[[int, str], str]) -> str:
        """The document. name: of the whole; cells: of the walk; excuse(step, case): why a case
        may fail on a step, or ""."""
        whole = self._suite(name, [*self._gates(judgements), *self._cases(cells, excuse)])
        root = self.parser.junit.get_test_suite(whole, None)
        for element, test in zip(root.iter("testcase"), _leaves(whole), strict=True):
            for said in element:
                if said.tag in ("failure", "error"):
                    said.set("message", test.skip_reason.splitlines()[0])
                    said.text = test.skip_reason
        ET.indent(root)
        return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write(path: pathlib.Path, parser: Any, name: str, judgements: Iterable[Judgement],
          cells: Iterable[Any], excuse: Callable[[int, str], str]) -> None:
    """Write results.xml: see Document.text()."""
    text = Document(parser).text(name, judgements, cells, excuse)
    write_atomically(path, text.encode())


def _leaves(test: Any) -> Iterable[Any]:
    """The cases below a suite, in the order of the document."""
    for sub in test.subtests:
        if sub.subtests:
            yield from _leaves(sub)
        else:
            yield sub


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
