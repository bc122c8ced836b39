# SPDX-License-Identifier: GPL-2.0
"""A gate: one question asked of each patch."""

import abc
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

from ..verdict import Verdict
from .step import Step
from .tools import Tools

LIB = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a gate says of a patch: reason, one line, empty only for a plain pass; details,
    the whole evidence."""

    verdict: Verdict
    reason: str = ""
    details: str = ""


PASS = Answer(Verdict.PASS)


def skip(reason: str, details: str = "") -> Answer:
    """There is nothing to judge here, for that reason."""
    return Answer(Verdict.SKIP, reason, details)


def judged(lines: Sequence[str], what: str) -> Answer:
    """A pass where there are no lines, else a fail that quotes the first."""
    if not lines:
        return PASS
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return Answer(Verdict.FAIL, f"{what}: {lines[0]}{more}", "\n".join(lines))


class Gate(abc.ABC):
    """name: on the command line; round: gates of a lower one are judged first, for all patches;
    version: raised where the same code judges otherwise, as its environment changed;
    code: files below scripts/lib that decide a verdict; seconds: bound of one tool's run."""

    name: str
    round: int = 0
    version: int = 1
    code: tuple[str, ...] = ()
    seconds: float = 300

    def idle(self, step: Step) -> str:
        """Why the patch has nothing that this gate judges, or "": then it passes unasked."""
        return ""

    @abc.abstractmethod
    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        """All that the answer depends on besides the code, by name: JSON values.

        Missing where a tool is not there.
        """

    @abc.abstractmethod
    def judge(self, step: Step, tools: Tools) -> Answer:
        """The answer. Missing: a tool is not there; CannotJudge: it could not be had otherwise."""

    def digest(self) -> str:
        """A digest of the code that judges."""
        total = hashlib.sha256()
        for name in self.code:
            total.update((LIB / name).read_bytes())
        return f"{self.version}-{total.hexdigest()[:32]}"
