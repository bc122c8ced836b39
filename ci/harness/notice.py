# SPDX-License-Identifier: GPL-2.0
"""What a boot notices of a fault: how it differs from the boot without the fault."""

import dataclasses
from collections.abc import Mapping

from lib.command import CannotJudge

from . import machine, proof
from .testbed import FaultyBoot


@dataclasses.dataclass(frozen=True)
class Notice:
    """gate: "case", "splat" or "end", the guest did not come to its end; text: a sentence;
    cases: those that pass without the fault and fail, are skipped or are gone with it."""

    gate: str
    text: str
    cases: list[str]

    def both(self, other: "Notice") -> "Notice":
        """What two boots noticed: the cases of both, where there are such."""
        cases = [c for c in self.cases if c in other.cases]
        return dataclasses.replace(other, cases=cases or other.cases)


def of(boot: FaultyBoot, before: Mapping[str, str]) -> Notice | None:
    """What a boot shows, or None; before: the words of the boot's cases without the fault.

    CannotJudge where the emulator failed.
    """
    record = boot.record
    if record["ended"].startswith(machine.BROKEN):
        raise CannotJudge(record["ended"])
    words = boot.words
    end = next((c for c in before if c.count("/") == 2 and c.endswith(f"/{proof.END}")), proof.END)
    cases = [c for c, word in before.items() if word == "pass" and words.get(c) != "pass" and c != end]
    if splats := [p for p in boot.problems if p.startswith("splat: ")]:
        return Notice("splat", splats[0].removeprefix("splat: "), cases)
    if words.get(end) != "pass":
        how = "the guest died before its tests ended" if record["ended"] == "done" else record["ended"]
        return Notice("end", how, cases or [end])
    if cases:
        cases.sort(key=lambda c: words.get(c) != "fail")  # those that fail come first
        return Notice("case", _sentence(cases, boot), cases)
    if boot.problems:
        return Notice("case", boot.problems[0], [])
    return None


def _sentence(cases: list[str], boot: FaultyBoot) -> str:
    first = cases[0]
    how = {"fail": "fails", "skip": f"is skipped: {boot.reasons.get(first, 'no reason given')}"}.get(
        boot.words.get(first, ""), "is gone")
    return f"{first} {how}" + (f", and {len(cases) - 1} more" if len(cases) > 1 else "")
