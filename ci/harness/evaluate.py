# SPDX-License-Identifier: GPL-2.0
"""Judge one boot's raw record: what in it is not as it should be at its step."""

import fnmatch
import pathlib
import tomllib

from . import proof


class Expectations:
    """What the series says should happen: proofs, known failures, splat patterns.

    ci/known.toml lists cases that fail or need not run for reasons outside the
    series; each entry has a reason and an expiry (the base it is true of).
    """

    def __init__(self, top, series, deny):
        self.proofs = proof.read(top, series)
        path = pathlib.Path(top) / "ci/known.toml"
        known = tomllib.loads(path.read_text()).get("known", []) if path.exists() else []
        self.known = [entry for entry in known if entry.get("until", series.base) == series.base]
        self.deny = deny

    def reason_known(self, case):
        """Why a case may fail, or ""."""
        for entry in self.known:
            if fnmatch.fnmatchcase(case, entry["case"]):
                return entry["reason"]
        return ""

    def _excused(self, step, case):
        # NAME@step is NAME with the selftests of the step's own tree
        case = case.replace("@step/", "/")
        return proof.due(self.proofs, case) > step or self.reason_known(case)

    def problems(self, step, lane, boot, record):
        """What is wrong with an attempt: a list of sentences, empty when nothing is.

        record: as machine.run returns it, with "tests" and "splats" filled in.
        """
        where = f"{lane}/{boot.name}"
        wrong = []
        may_die = self._excused(step, f"{where}/{proof.END}") and not reached_end(record)
        if may_die:
            pass
        elif record["ended"] != "done":
            wrong.append(f"boot {record['ended']}")
        elif not record["complete"]:
            wrong.append("the guest died before its tests ended")
        for line in dict.fromkeys(record["splats"]):
            if not proof.splat_expected(self.proofs, step, line):
                wrong.append(f"splat: {line}")
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
            elif test["rc"] not in (0, 4) and not failing:
                wrong.append(f"{name} ended with {test['rc']}")
            elif not test["cases"]:
                wrong.append(f"{name} reported no case")
        return wrong


def reached_end(record):
    """Whether the guest came to the end of its tests and the machine with it."""
    return record["ended"] == "done" and record["complete"]


def lost(record):
    """Whether an attempt says nothing about the kernel: the machine hung or died silently."""
    return record["ended"] != "done" and not record["splats"]
