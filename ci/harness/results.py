# SPDX-License-Identifier: GPL-2.0
"""Read what the guest sent over the results port, with the kernel's own KTAP parser."""

import importlib
import re
import sys
from typing import Any

from lib import plumbing, release
from lib.command import CannotJudge
from lib.store import write_atomically

from . import measure
from .attempt import Test
from .paths import Paths
from .trees import Trees

_BEGIN = re.compile(r"@@ begin ([\w.@-]+)$")
_END = re.compile(r"@@ end ([\w.@-]+) (\d{1,3})(?: (\d+(?:\.\d+)?))?$")

_PARSER = ("kunit_parser.py", "kunit_printer.py", "kunit_junit.py")


def parser(trees: Trees, paths: Paths) -> Any:
    """The module tools/testing/kunit/kunit_parser.py of the base; its `junit` is kunit_junit.py.

    It is the kernel's, and known only when we run: hence Any.
    """
    if "kunit_parser" in sys.modules:
        return sys.modules["kunit_parser"]
    directory = paths.cache / "kunit" / trees.object("base", "tools/testing/kunit")
    for name in _PARSER:
        path = directory / name
        if not path.exists():
            text = plumbing.content(release.linux(), release.BASE, f"tools/testing/kunit/{name}")
            if text is None:
                raise CannotJudge(f"the base has no tools/testing/kunit/{name}")
            write_atomically(path, text)
    sys.path.insert(0, str(directory))
    try:
        module: Any = importlib.import_module("kunit_parser")
        module.null_printer = importlib.import_module("kunit_printer").null_printer
        module.junit = importlib.import_module("kunit_junit")
        return module
    except ImportError as error:
        raise CannotJudge(f"the base's kunit_parser.py cannot be used: {error}") from None


def frames(text: str) -> tuple[dict[str, tuple[str, int | None, float]], bool]:
    """Split the port's text: ({test: (output, rc or None, seconds)}, done).

    done: whether the guest came to its end. A line that only looks like one of a frame is a
    test's output.
    """
    found: dict[str, tuple[str, int | None, float]] = {}
    name, done = "", False
    lines: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if not name and (match := _BEGIN.match(line)):
            name, lines = match.group(1), []
        elif name and (match := _END.match(line)) and match.group(1) == name:
            found[name] = ("\n".join(lines), int(match.group(2)), float(match.group(3) or 0))
            name = ""
        elif not name and line == "@@ done":
            done = True
        else:
            lines.append(line)
    if name:
        found[name] = ("\n".join(lines), None, 0.0)
    return found, done


def cases(kunit_parser: Any, name: str, text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The leaves of a KTAP document: ({"name/suite/case": status}, {case: reason}).

    A test with no result in a document that announced one counts as failed, and so does a result
    beyond the document's plan, where kunit_parser stops to read.
    """
    lines = kunit_parser.extract_tap_lines(text.splitlines())
    root = kunit_parser.Test()
    if lines:
        root = kunit_parser.parse_test(lines, 0, [], False, kunit_parser.null_printer)
    status: dict[str, str] = {}
    reasons: dict[str, str] = {}

    def walk(test: Any, prefix: str) -> None:
        if test.subtests:
            for index, sub in enumerate(test.subtests, 1):
                walk(sub, f"{prefix}/{sub.name.strip() or index}")
            return
        word = {"SUCCESS": "pass", "SKIPPED": "skip"}.get(test.status.name, "fail")
        key, count = prefix, 2
        while key in status:
            key, count = f"{prefix}#{count}", count + 1
        status[key] = word
        if word != "pass":
            said = "; ".join(line.strip() for line in test.log[-3:] if line.strip())
            reasons[key] = (test.skip_reason or said or test.status.name.lower())[:160]

    for index, sub in enumerate(root.subtests, 1):
        walk(sub, f"{name}/{sub.name.strip() or index}")
    for line in lines:
        if match := kunit_parser.TEST_RESULT.match(line):
            key = f"{name}/{match.group(4).strip() or match.group(2)}"
            status[key] = "fail"
            reasons[key] = f"result {match.group(2)} is beyond the plan of {root.expected_count}"
    return status, reasons


def read(kunit_parser: Any, text: str) -> tuple[dict[str, Test], bool]:
    """All tests of a boot: ({name: Test}, done)."""
    found, done = frames(text)
    runs = {}
    for name, (output, rc, seconds) in found.items():
        status, reasons = cases(kunit_parser, name, output)
        runs[name] = Test(rc=rc, seconds=seconds, cases=status, reasons=reasons,
                          measured=measure.lines(output))
    return runs, done
