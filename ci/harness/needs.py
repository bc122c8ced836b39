# SPDX-License-Identifier: GPL-2.0
"""What the guest's tests need besides themselves, from ci/guest/needs.toml."""

import dataclasses
import fnmatch
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib import table
from lib.command import Failed
from lib.lane import Lane
from lib.proofs import OWN
from lib.table import FLAG, TABLE, TEXTS

FILE = "ci/guest/needs.toml"
_KEYS = {"scripts": TEXTS, "programs": TEXTS, "modules": TEXTS, "selftests": TEXTS,
         "step": FLAG, "last": FLAG}
# In every boot: what all tests source, and the test that init runs at the end.
ALWAYS = ("ktap.sh", "dma-debug")

# The tables of the file by the tests' names.
Tables = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Needs:
    """The needs of one test, those of the scripts that it calls included.

    scripts: files of ci/guest/tests, itself among them; programs, modules, selftests:
    names, sorted; step: it runs again with the step's own selftests; last: it runs after
    all others.
    """

    scripts: tuple[str, ...]
    programs: tuple[str, ...]
    modules: tuple[str, ...]
    selftests: tuple[str, ...]
    step: bool
    last: bool


def read(top: pathlib.Path) -> dict[str, Needs]:
    """{file of ci/guest/tests: Needs}; Failed where the table and the files disagree."""
    guest = pathlib.Path(top) / "ci/guest"
    tables = table.load(top, FILE)
    table.check(tables, FILE, {}, dict.fromkeys(tables, TABLE))
    files = {p.name for p in (guest / "tests").iterdir() if p.is_file()}
    for test in sorted(files ^ tables.keys()):
        raise Failed(f"{FILE}: {test}: " + ("no such file in ci/guest/tests" if test in tables
                                            else "a file of ci/guest/tests without a table"))
    for test, entry in tables.items():
        _check(f"{FILE}: {test}", entry, guest, tables)
    return {test: _closed(test, tables) for test in tables}


def check(needs: Mapping[str, Needs], lanes: Iterable[Lane], every: Iterable[Lane]) -> None:
    """Failed for a boot with a test that is not there, or that loads a module that none of `every` has."""
    there = {module_name(entry) for lane in every for entry in (*lane.modules, *lane.kernel_modules)}
    for lane in lanes:
        for boot in lane.boots:
            _exist(needs, boot.tests, f"{lane.name}: boot {boot.name}: ")
            for test in boot.tests:
                for pattern in needs[test].modules:
                    if not fnmatch.filter(there, pattern):
                        raise Failed(f"{FILE}: {test}: no lane has a module {pattern!r}")


def module_name(entry: str) -> str:
    """The name of a module without .ko, from an entry of a lane's `modules` or `kernel_modules`."""
    return pathlib.PurePath(entry.partition(":")[2].partition("@")[0] or entry).stem


def _exist(needs: Mapping[str, Needs], tests: Iterable[str], where: str = "") -> None:
    """Failed for a test that is not there; where: what the message begins with."""
    for test in tests:
        if test not in needs:
            raise Failed(f"{where}no test {test!r} in ci/guest/tests")


def _check(where: str, entry: dict[str, Any], guest: pathlib.Path, tables: Tables) -> None:
    table.check(entry, where, {}, _KEYS)
    for script in entry.get("scripts", []):
        if script not in tables:
            raise Failed(f"{where}: no script {script!r}")
    for program in entry.get("programs", []):
        if not (guest / "programs" / f"{program}.c").is_file():
            raise Failed(f"{where}: no program {program!r}")


def _closed(test: str, tables: Tables) -> Needs:
    """The needs of a test and of all scripts below it."""
    scripts: list[str] = []
    queue = [test]
    while queue:
        script = queue.pop()
        if script not in scripts:
            scripts.append(script)
            queue += tables[script].get("scripts", [])

    def union(key: str) -> tuple[str, ...]:
        return tuple(sorted({v for s in scripts for v in tables[s].get(key, [])}))
    return Needs(tuple(sorted(scripts)), union("programs"), union("modules"), union("selftests"),
                 tables[test].get("step", False), tables[test].get("last", False))


def together(needs: dict[str, Needs], tests: list[str]) -> Needs:
    """The needs of a boot that runs these tests; Failed for one that is not there."""
    _exist(needs, tests)
    chosen = [needs[test] for test in (*ALWAYS, *tests) if test in needs]

    def union(key: str) -> tuple[str, ...]:
        return tuple(sorted({v for n in chosen for v in getattr(n, key)}))
    return Needs(union("scripts"), union("programs"), union("modules"), union("selftests"),
                 any(n.step for n in chosen), False)


def matching(modules: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Those of the file names of modules that some pattern names, sorted."""
    return sorted(n for n in modules if any(fnmatch.fnmatchcase(n.removesuffix(".ko"), p)
                                            for p in patterns))


def order(needs: dict[str, Needs], tests: list[str], changed: set[str]) -> list[str]:
    """The tests of a boot as init runs them.

    changed: directories of selftests that the step's own tree has otherwise than the last
    step; tests of these run again as NAME@step.
    """
    first = [t for t in tests if not needs[t].last]
    again = [f"{t}{OWN}" for t in first if needs[t].step and changed & set(needs[t].selftests)]
    return first + again + [t for t in tests if needs[t].last]


def sources(program: pathlib.Path) -> list[pathlib.Path]:
    """The source of a program or of a module and the headers of ours that it includes, sorted."""
    found: list[pathlib.Path] = []
    queue = [program]
    while queue:
        path = queue.pop()
        if path not in found:
            found.append(path)
            queue += [pathlib.Path(os.path.normpath(path.parent / name))
                      for name in re.findall(r'(?m)^#include "([^"]+)"', path.read_text())]
    return sorted(found)
