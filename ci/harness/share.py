# SPDX-License-Identifier: GPL-2.0
"""Run a share of one file's unit tests, in a process of its own; its results are lines of JSON.

usage: python3 ci/harness/share.py DIRECTORY FILE HOW INDEX COUNT RESULTS [quick]

The tests of DIRECTORY/FILE, in their order, are cut into COUNT shares, of which number INDEX is
run. HOW is "cut": a class stays in one share where that leaves the shares nearly equal, so that
few of them make what a class or a module makes once. Or it is "spread": a share has every test
whose number is INDEX modulo COUNT, so that each class has its part in every share. With "quick",
tests that ci/tests/marks.py marks as slow are left out.
RESULTS gets a line per event, so that it shows how far a process came that died:
  {"total": N, "share": [ID, ...], "slow": N}
      the tests of the file, those to run here, and how many of this share are left out
  {"begin": ID}
  {"end": ID, "outcome": "pass" | "fail" | "skip", "text": TEXT}
"fail" is also an error, in a test or in a fixture, whose ID is then none of the share's, and
an unexpected success. TEXT: the traceback, or why it is skipped.
"""

import json
import os
import signal
import sys
import time
import unittest
from collections.abc import Sequence
from typing import Any

GRACE = 2.5  # seconds for the commands under test to end after a signal: less than process.GRACE


class Told(unittest.TestResult):
    """The results of a run, each written to a stream as it is known."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.stream = stream
        self.buffer = True
        self.texts: dict[str, str] = {}  # of tests under way that are not good already

    def tell(self, **event: Any) -> None:
        self.stream.write(json.dumps(event) + "\n")
        self.stream.flush()

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.tell(begin=test.id())

    def stopTest(self, test: Any) -> None:
        self._mirrorOutput = False  # the texts have it
        super().stopTest(test)
        if test.id() in self.texts:
            self.tell(end=test.id(), outcome="fail", text=self.texts.pop(test.id()))

    def _bad(self, test: Any, text: str) -> None:
        if not isinstance(test, unittest.TestCase):  # a fixture of a class or a module
            self.tell(end=test.id(), outcome="fail", text=text)
            return
        self.texts[test.id()] = self.texts.get(test.id(), "") + text

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.tell(end=test.id(), outcome="pass", text="")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._bad(test, self.failures[-1][1])

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._bad(test, self.errors[-1][1])

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            kind = self.failures if issubclass(err[0], test.failureException) else self.errors
            self._bad(test, f"{subtest.id()}\n{kind[-1][1]}")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.tell(end=test.id(), outcome="pass", text="")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._bad(test, "passes, but is an expected failure\n")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.tell(end=getattr(test, "test_case", test).id(), outcome="skip", text=reason)


def cases(suite: Any) -> list[Any]:
    """The tests of a suite of suites, in order."""
    if isinstance(suite, unittest.TestSuite):
        return [case for part in suite for case in cases(part)]
    return [suite]


def slow(case: Any) -> bool:
    """Whether a test, or its class, is marked as slow."""
    name = str(getattr(case, "_testMethodName", ""))
    return bool(getattr(case, "slow", False) or getattr(getattr(case, name, None), "slow", False))


def shares(found: Sequence[Any], count: int, spread: bool = False) -> list[list[Any]]:
    """The tests in `count` parts: spread over them, or cut in their order. Each cut is moved to
    where a class ends, by less than half of a part, where one ends so near."""
    if spread:
        return [list(found[index::count]) for index in range(count)]
    part = len(found) / count
    ends = [n for n in range(1, len(found)) if type(found[n]) is not type(found[n - 1])]
    cuts = [0]
    for number in range(1, count):
        place = number * part
        near = min(ends, key=lambda n: abs(n - place), default=0)
        cuts.append(near if abs(near - place) < part / 2 else round(place))
    return [list(found[a:b]) for a, b in zip(cuts, [*cuts[1:], len(found)], strict=True)]


def end(number: int, _frame: Any) -> None:
    """Exit on a signal, after the commands under test: the signal went to them, too."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    limit = time.monotonic() + GRACE
    while time.monotonic() < limit:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            break
    os._exit(128 + number)


def main(directory: str, file: str, how: str, index: str, count: str, results: str,
         which: str = "") -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, end)
    found = cases(unittest.TestLoader().discover(directory, file))
    share = shares(found, int(count), how == "spread")[int(index)]
    chosen = [case for case in share if not (which == "quick" and slow(case))]
    with open(results, "w", encoding="utf-8", errors="surrogateescape") as stream:
        told = Told(stream)
        told.tell(total=len(found), share=[case.id() for case in chosen], slow=len(share) - len(chosen))
        unittest.TestSuite(chosen).run(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
