# SPDX-License-Identifier: GPL-2.0
"""The unit tests: files in shares, run side by side in processes, every test counted."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from lib import process

SHARE = 8  # tests: few enough to balance, many enough for the fixtures that a file makes once
SECONDS = 900  # for a share
LONG_SECONDS = 8 * 3600  # for a share of long tests, which is one test of each class
_PROGRAM = pathlib.Path(__file__).with_name("share.py")

# What a share tells: see share.py.
Event = dict[str, Any]


@dataclasses.dataclass
class Count:
    """Tests by outcome; slow: left out of a quick run; texts: of those that did not pass, each with
    the command that repeats it; cpu: seconds of CPU, of the commands under test as well. A skipped
    test counts as not passed, since ci/install installs what the tests need."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    slow: int = 0
    texts: list[str] = dataclasses.field(default_factory=list)
    cpu: float = 0.0

    @property
    def bad(self) -> int:
        return self.failed + self.skipped

    def __iadd__(self, other: "Count") -> "Count":
        self.passed, self.failed = self.passed + other.passed, self.failed + other.failed
        self.skipped, self.texts = self.skipped + other.skipped, self.texts + other.texts
        self.slow, self.cpu = self.slow + other.slow, self.cpu + other.cpu
        return self


@dataclasses.dataclass(frozen=True)
class Share:
    """Share number `index` of the `count` into which the tests of a file are cut, or spread; quick:
    without its slow tests."""

    file: pathlib.Path
    index: int
    count: int
    seconds: int = SECONDS
    spread: bool = False
    quick: bool = False

    @property
    def label(self) -> str:
        return self.file.stem.removeprefix("test_")


def shares(directory: pathlib.Path, long: bool = False, quick: bool = False) -> list[Share]:
    """The shares of all files, those of the longest first: of test_*.py, or long_*.py."""
    sizes = {path: len(re.findall(r"(?m)^\s+def test", path.read_text(encoding="utf-8")))
             for path in sorted(directory.glob("long_*.py" if long else "test_*.py"))}
    return [Share(path, index, count, LONG_SECONDS if long else SECONDS, long, quick)
            for path in sorted(sizes, key=lambda p: -sizes[p])
            for count in [max(1, -(-sizes[path] // (1 if long else SHARE)))] for index in range(count)]


def command(file: pathlib.Path, test: str = "") -> str:
    """The command that runs a file's tests, or one of them, again."""
    name = ".".join(test.split(".")[1:])
    return process.shell(["python3", "-m", "unittest", "discover", "-s", "ci/tests", "-p", file.name,
                          *(["-k", name] if re.fullmatch(r"\w+\.test\w*", name) else [])])


def events(path: pathlib.Path) -> list[Event]:
    """The events that a share wrote; its last line may have been cut off."""
    found = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


def counted(share: Share, told: list[Event], ended: str, log: str) -> Count:
    """The count of a share from what it told, how its process ended ("" for well) and its log.

    A test that was to run and has no outcome is a failure, and so is a process that ends badly
    without one, a fixture that fails, and a file without tests.
    """
    count = Count()

    def bad(test: str, text: str) -> None:
        count.texts.append(f"{test}: {text.strip()}\nagain: {command(share.file, test)}")

    plan = next((e for e in told if "share" in e), Event({"total": 0, "share": []}))
    count.slow = plan.get("slow", 0)
    begun = {e["begin"] for e in told if "begin" in e}
    outcomes: dict[str, dict[str, str]] = {test: {} for test in plan["share"]}
    for event in told:
        if "end" in event:
            outcomes.setdefault(event["end"], {})[event["outcome"]] = event["text"]
    for test, words in outcomes.items():
        if "fail" in words:
            count.failed += 1
            bad(test, words["fail"])
        elif "skip" in words:
            count.skipped += 1
            bad(test, f"skipped: {words['skip']}")
        elif "pass" in words:
            count.passed += 1
        else:
            count.failed += 1
            bad(test, f"{ended or 'no result'} while it ran" if test in begun else
                f"not run: {ended or 'its fixture failed'}")
    if not count.bad and (ended or plan["total"] == 0):
        count.failed += 1
        bad(share.file.name, ended or "holds no test")
    if count.bad and log.strip():
        count.texts.append("its output:\n" + "\n".join(log.splitlines()[-100:]))
    return count


def _tools(scratch: pathlib.Path) -> pathlib.Path:
    """What is at the front of PATH while tests run in the directory `scratch`; see make_tools()."""
    return scratch / "bin"


def make_tools(scratch: pathlib.Path) -> None:
    """Make a python3 for PATH that is the interpreter that runs us, and not one that must be looked
    for first at each start, as by a version manager."""
    _tools(scratch).mkdir(exist_ok=True)
    python = _tools(scratch) / "python3"
    python.write_text(f'#!/bin/sh\nexec {process.shell([sys.executable])} "$@"\n', encoding="utf-8")
    python.chmod(0o755)


def run_share(share: Share, scratch: pathlib.Path) -> Count:
    """Run a share; its files are made in the directory `scratch`."""
    name = scratch / f"{share.file.stem}-{share.index}"
    log, results = name.with_suffix(".log"), name.with_suffix(".json")
    outcome = process.run([sys.executable, _PROGRAM, share.file.parent, share.file.name,
                           "spread" if share.spread else "cut", share.index, share.count, results,
                           *(["quick"] if share.quick else [])],
                          log, share.seconds,
                          env={**os.environ, "TMPDIR": str(scratch),
                               "PATH": f"{_tools(scratch)}:{os.environ['PATH']}"})
    ended = f"the process {process.how_ended(outcome.rc, share.seconds)}" if outcome.rc != 0 else ""
    said = log.read_text(encoding="utf-8", errors="replace").split("\n", 1)[1]
    count = counted(share, events(results), ended, said)
    count.cpu = outcome.cpu
    return count


def run(directory: pathlib.Path, scratch: pathlib.Path, long: bool = False, quick: bool = False,
        ) -> Iterator[tuple[str, pathlib.Path, Count]]:
    """Run the tests of a directory, its long ones, or those that are not slow: (label, file, Count)
    of each file as it ends."""
    todo = shares(directory, long, quick)
    make_tools(scratch)
    left = {share.file: share.count for share in todo}
    counts = {share.file: Count() for share in todo}
    pool = concurrent.futures.ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    try:
        futures = {pool.submit(run_share, share, scratch): share for share in todo}
        for future in concurrent.futures.as_completed(futures):
            share = futures[future]
            counts[share.file] += future.result()
            left[share.file] -= 1
            if not left[share.file]:
                yield share.label, share.file, counts[share.file]
    finally:
        # interrupted, nothing begins that has not yet; the caller ends what runs
        pool.shutdown(wait=False, cancel_futures=True)
