# SPDX-License-Identifier: GPL-2.0
"""Read what the guest sent over the results port, with the kernel's own KTAP parser."""

import dataclasses
import importlib
import sys

from lib.store import write_atomically

from . import measure
from .errors import CannotJudge

_PARSER = ("kunit_parser.py", "kunit_printer.py")


@dataclasses.dataclass
class TestRun:
    """One guest test: rc as its script ended, None when it did not; seconds in the
    guest; cases: {"test/suite/case": "pass" | "fail" | "skip"}; reasons: of skips and
    fails where the test gave one; measured: see measure.py."""

    rc: int | None
    seconds: float
    cases: dict
    reasons: dict
    measured: list = dataclasses.field(default_factory=list)


def parser(source, paths):
    """The module tools/testing/kunit/kunit_parser.py of the base."""
    if "kunit_parser" in sys.modules:
        return sys.modules["kunit_parser"]
    directory = paths.cache / "kunit" / source.object("base", "tools/testing/kunit")
    for name in _PARSER:
        path = directory / name
        if not path.exists():
            text = source.git("show", f"base:tools/testing/kunit/{name}")
            write_atomically(path, text.encode() + b"\n")
    sys.path.insert(0, str(directory))
    try:
        module = importlib.import_module("kunit_parser")
        module.null_printer = importlib.import_module("kunit_printer").null_printer
        return module
    except ImportError as error:
        raise CannotJudge(f"the base's kunit_parser.py cannot be used: {error}") from None


def frames(text):
    """Split the port's text: ({test: (output, rc or None, seconds)}, done).

    done: whether the guest came to its end.
    """
    found, name, lines, done = {}, None, [], False
    for line in text.splitlines():
        line = line.rstrip("\r")
        if line.startswith("@@ begin "):
            name, lines = line.split()[2], []
            found[name] = ("", None, 0.0)
        elif line.startswith("@@ end ") and name:
            words = line.split()
            seconds = float(words[4]) if len(words) > 4 else 0.0
            found[name] = ("\n".join(lines), int(words[3]), seconds)
            name = None
        elif line.startswith("@@ done"):
            done = True
        else:
            lines.append(line)
    if name:
        found[name] = ("\n".join(lines), None, 0.0)
    return found, done


def cases(kunit_parser, name, text):
    """The leaves of a KTAP document: ({"name/suite/case": status}, {case: reason}).

    A test with no result in a document that announced one counts as failed.
    """
    root = kunit_parser.parse_run_tests(text.splitlines(), kunit_parser.null_printer)
    status, reasons = {}, {}

    def walk(test, prefix):
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
    return status, reasons


def read(kunit_parser, text):
    """All tests of a boot: ({name: TestRun}, done)."""
    found, done = frames(text)
    runs = {}
    for name, (output, rc, seconds) in found.items():
        status, reasons = cases(kunit_parser, name, output)
        runs[name] = TestRun(rc, seconds, status, reasons, measure.lines(output))
    return runs, done
