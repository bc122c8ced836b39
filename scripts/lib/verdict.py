# SPDX-License-Identifier: GPL-2.0
"""Verdicts: what a gate says of one step in one lane."""

import dataclasses
import enum
from collections.abc import Iterable
from typing import Any


class Verdict(enum.Enum):
    """The five words every message and report uses."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"  # always with its reason
    FLAKY = "flaky"  # failed once, passed on the one retry; never a pass
    LOST = "lost"  # the machine died or hung, or the run could not be made

    @property
    def exit_code(self) -> int:
        """0 pass or skip, 1 fail, 125 could not be judged (git bisect run)."""
        return {Verdict.PASS: 0, Verdict.SKIP: 0, Verdict.FAIL: 1}.get(self, 125)


_ORDER = [Verdict.PASS, Verdict.SKIP, Verdict.FLAKY, Verdict.LOST, Verdict.FAIL]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of the verdicts; PASS where there are none."""
    return max(verdicts, key=_ORDER.index, default=Verdict.PASS)


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a run: the gravest one but for skips; LOST where nothing was judged."""
    said = [verdict for verdict in verdicts if verdict is not Verdict.SKIP]
    return worst(said) if said else Verdict.LOST


@dataclasses.dataclass(frozen=True)
class Judgement:
    """One gate's word on one step.

    step: 0 is the base; lane: a lane's name, or "static" or "series";
    gate: apply, build, w1, sparse, diagnostics, built, boot:NAME, cases:NAME, lane, proof, splats,
    known, mutants; of "static" a gate's name, or check where scripts/check did not come to its end;
    reason: empty only for a pass; log: path of the evidence or "";
    command: what repeats it; seconds: wall time, cpu: user+sys time;
    avoidable: a skip that a tool of ci/packages would have made a verdict.
    """

    step: int
    lane: str
    gate: str
    verdict: Verdict
    reason: str = ""
    log: str = ""
    command: str = ""
    seconds: float = 0.0
    cpu: float = 0.0
    cached: bool = False
    avoidable: bool = False

    @property
    def log_name(self) -> str:
        """The name of the copy of its log that a report has."""
        return f"{self.step}-{self.lane}-{self.gate.replace(':', '-')}.txt"

    def data(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**dataclasses.asdict(self), "verdict": self.verdict.value}

    @classmethod
    def read(cls, data: dict[str, Any]) -> "Judgement":
        """The judgement that data() was made of: other entries are left out, missing ones are plain."""
        fields: dict[str, Any] = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
        fields["verdict"] = Verdict(data["verdict"])
        return cls(**fields)
