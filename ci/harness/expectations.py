# SPDX-License-Identifier: GPL-2.0
"""Judge one boot's raw record: what in it is not as it should be at its step."""

import dataclasses
import fnmatch
import pathlib
import signal
from collections.abc import Collection

from lib import proofs, table
from lib.lane import Boot
from lib.series import Series
from lib.table import FLAG, TABLES, TEXT
from lib.verdict import Judgement, Verdict

from . import machine, proof, splat
from .attempt import Attempt, Found

_FILE = "ci/known.toml"


@dataclasses.dataclass(frozen=True)
class Known:
    """case: pattern of lane/boot/test/suite/case; reason: why it may fail; until: the base
    that this is true of; link: of a report, or ""; sometimes: a whole run may do without it."""

    case: str
    reason: str
    until: str
    link: str = ""
    sometimes: bool = False


def known(top: pathlib.Path) -> list[Known]:
    """The entries of ci/known.toml; Failed where one is wrong."""
    data = table.load(top, _FILE) if (pathlib.Path(top) / _FILE).exists() else {}
    table.check(data, _FILE, {}, {"known": TABLES})
    for number, entry in enumerate(data.get("known", []), 1):
        table.check(entry, f"{_FILE}: {entry.get('case', f'entry {number}')}",
                    {"case": TEXT, "reason": TEXT, "until": TEXT},
                    {"link": TEXT, "sometimes": FLAG})
    return [Known(**entry) for entry in data.get("known", [])]


class Expectations:
    """What the series says should happen: proofs, known failures, splat patterns.

    ci/known.toml lists cases that fail or need not run for reasons outside the series; needed
    are those of its entries that excused a case.
    """

    def __init__(self, top: pathlib.Path, series: Series, deny: splat.Patterns) -> None:
        self.proofs = proofs.read(top, series)
        self.base = series.base
        self.known = known(top)
        self.needed: set[Known] = set()
        self.deny = deny

    @classmethod
    def of(cls, top: pathlib.Path, series: Series) -> "Expectations":
        """Those of a repository, with the patterns of its ci/splats."""
        return cls(top, series, splat.patterns(top / "ci/splats"))

    def excuse(self, case: str) -> str:
        """Why a case that fails or is gone may do so, or ""; notes that its entry is needed."""
        for entry in self.known:
            if entry.until == self.base and fnmatch.fnmatchcase(case, entry.case):
                self.needed.add(entry)
                return entry.reason
        return ""

    def may_fail(self, step: int, case: str) -> str:
        """Why a case may fail on a step, or ""."""
        due = proof.due(self.proofs, case)
        return f"step {due} mends it" if due > step else self.excuse(case)

    def unused(self, results: proof.Results, lost: bool, left_out: Collection[str] = ()) -> list[Judgement]:
        """Whether each entry of ci/known.toml is of the base, and excused a case of a whole run.

        results: of all steps in all lanes, whose boots were judged; lost: whether some of them
        could not be; left_out: the lanes that a whole run has not. An entry with `sometimes` need not
        have excused a case, but some case is its.
        """
        cases = {proof.plain(case) for found in results.values() for case in found}
        judgements = []
        for entry in self.known:
            verdict, reason = Verdict.PASS, ""
            if entry.until != self.base:
                verdict = Verdict.FAIL
                reason = (f"{entry.case} is known until {entry.until}, but the base is {self.base}: "
                          f"delete the entry, or set until = \"{self.base}\" if it still holds")
            elif (lane := entry.case.split("/")[0]) in left_out:
                verdict, reason = Verdict.SKIP, f"{entry.case}: a plain run leaves out lane {lane}"
            elif not fnmatch.filter(cases, entry.case):
                verdict = Verdict.LOST if lost else Verdict.FAIL
                reason = f"no case {entry.case} ran" + ("" if lost else ": delete the entry")
            elif entry not in self.needed and not entry.sometimes:
                verdict = Verdict.LOST if lost else Verdict.FAIL
                reason = f"no case {entry.case} fails or is gone" + (
                    "" if lost else ": delete the entry, or set sometimes = true if it fails now and then")
            judgements.append(Judgement(0, "series", "known", verdict,
                                        f"{_FILE}: {reason}" if reason else "",
                                        command="ci/run --no-static"))
        return judgements

    def _excused(self, step: int, case: str) -> bool:
        case = proof.plain(case)
        return self.may_fail(step, case) != ""

    def unexpected(self, step: int, record: Attempt) -> list[Found]:
        """The splats of an attempt that no later patch mends, each line once."""
        found = {one["line"]: one for one in reversed(record["splats"])
                 if not proof.splat_expected(self.proofs, step, splat.told(one))}
        return list(reversed(found.values()))

    def problems(self, step: int, lane: str, boot: Boot, record: Attempt) -> list[str]:
        """What is wrong with an attempt: a list of sentences, empty when nothing is."""
        where = f"{lane}/{boot.name}"
        wrong = []
        may_die = not reached_end(record) and not record["ended"].startswith(machine.BROKEN) \
            and self._excused(step, f"{where}/{proof.END}")
        if may_die:
            pass
        elif record["ended"] != "done":
            wrong.append(f"boot: {record['ended']}")
        elif not record["complete"]:
            wrong.append("the guest died before its tests ended")
        # a guest that dies may not come to its init
        wrong += [f"the console has no line '{words}': splats cannot have been seen"
                  for words in record["missing"] if words == splat.BANNER or record["tests"]]
        wrong += [f"splat: {one['line']}" for one in self.unexpected(step, record)]
        wrong += [f"{name} did not run" for name in record.get("due", boot.tests)
                  if name not in record["tests"] and not may_die]
        for name, test in record["tests"].items():
            if may_die and test["rc"] is None:
                continue
            failing = [c for c, v in test["cases"].items() if v == "fail"]
            excused = [c for c in failing if self._excused(step, f"{where}/{c}")]
            wrong += [f"{c} fails: {test['reasons'].get(c, '')}" for c in failing
                      if c not in excused]
            if test["rc"] in (124, 137, 143):
                wrong.append(f"{name} took longer than its limit")
            elif test["rc"] is None:
                wrong.append(f"{name} did not end")
            # 1 is the status of a test with a failing case; any other says that it broke
            elif test["rc"] not in (0, 4) and not (test["rc"] == 1 and failing):
                wrong.append(f"{name} ended with {test['rc']}{_signal(test['rc'])}")
            elif not test["cases"]:
                wrong.append(f"{name} reported no case")
        return wrong


def _signal(rc: int) -> str:
    """The signal that a shell's exit status tells of, in brackets, or ""."""
    try:
        return f" ({signal.Signals(rc - 128).name})" if rc > 128 else ""
    except ValueError:
        return ""


def reached_end(record: Attempt) -> bool:
    """Whether the guest came to the end of its tests and the machine with it."""
    return record["ended"] == "done" and record["complete"]


def lost(record: Attempt) -> bool:
    """Whether an attempt says nothing about the kernel: the machine hung or died silently."""
    return record["ended"] != "done" and not record["splats"]
