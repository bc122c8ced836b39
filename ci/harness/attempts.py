# SPDX-License-Identifier: GPL-2.0
"""The attempts of a boot: those that the store has, and what they say together."""

import dataclasses
import pathlib
from typing import Any

from lib.lane import Boot
from lib.verdict import Judgement, Verdict

from . import evaluate, proof, prune, regress, splat
from .cell import again
from .work import Work

# One attempt: what machine.run returns, with its tests, splats and the paths of its logs.
Attempt = dict[str, Any]


class Attempts:
    """The attempts of all boots of a lane, judged by today's patterns and proofs."""

    def __init__(self, lane: str, work: Work) -> None:
        self.lane, self.work = lane, work

    def kept(self, step: int, boot: Boot, inputs: dict[str, Any]) -> list[Attempt]:
        """The kept attempts of a boot: at most two.

        Empty where the verdict is to be made anew: it was flaky or lost, a console is gone that
        has to be read again, or --again says so.
        """
        work, deny = self.work, self.work.expectations.deny
        if work.anew(inputs, builds=False):
            return []
        record = work.store.get("boot", inputs) or {"attempts": []}
        attempts: list[Attempt] = record["attempts"]
        if any(a.get("scanned") != deny.key for a in attempts):
            if not all(map(self.scan, attempts)):
                return []
            work.store.put("boot", inputs, {"attempts": attempts}, f"{step}/{self.lane}/{boot.name}")
        if work.store.key(inputs) not in work.fresh and self.ended(step, boot, attempts) and \
                self.verdict(step, boot, attempts) in (Verdict.FLAKY, Verdict.LOST):
            return []
        for attempt in attempts:
            prune.use(attempt["console"], attempt["results"])
        return attempts

    def scan(self, attempt: Attempt) -> bool:
        """Look for splats in the console of an attempt; whether it is still there."""
        try:
            console = pathlib.Path(attempt["console"]).read_text(errors="replace")
        except FileNotFoundError:
            return False
        deny = self.work.expectations.deny
        attempt["splats"] = [dataclasses.asdict(s) for s in splat.scan(console, deny)]
        attempt["missing"], attempt["scanned"] = splat.missing(console), deny.key
        return True

    def ended(self, step: int, boot: Boot, attempts: list[Attempt]) -> bool:
        """Whether attempts make a verdict: the first is good, or there are two."""
        return len(attempts) > 1 or \
            (len(attempts) == 1 and not self._problems(step, boot, attempts[0]))

    def verdict(self, step: int, boot: Boot, attempts: list[Attempt]) -> Verdict:
        """What attempts that have ended say."""
        if not self._problems(step, boot, attempts[-1]):
            first = self._problems(step, boot, attempts[0])
            return Verdict.FLAKY if first else Verdict.PASS
        return Verdict.LOST if all(map(evaluate.lost, attempts)) else Verdict.FAIL

    def judge(self, step: int, boot: Boot, attempts: list[Attempt], cached: bool) -> Judgement:
        """The judgement of attempts that have ended."""
        first = self._problems(step, boot, attempts[0])
        final = self._problems(step, boot, attempts[-1])
        reason = _sentence(final) or (f"first attempt: {_sentence(first)}" if first else "")
        return Judgement(step, self.lane, f"boot:{boot.name}", self.verdict(step, boot, attempts), reason,
                         attempts[-1]["console"], again(self.lane, step, boot=boot.name),
                         sum(a["seconds"] for a in attempts), sum(a["cpu"] for a in attempts), cached)

    def ran(self, boot: Boot, attempt: Attempt, modules_failed: list[str]) -> regress.Ran:
        """The cases of an attempt. modules_failed: the test modules that its step could not build."""
        where = f"{self.lane}/{boot.name}"
        words = {f"{where}/{proof.END}": "pass" if evaluate.reached_end(attempt) else "fail"}
        reasons = {}
        for name, test in attempt["tests"].items():
            for case, word in test["cases"].items():
                if not name.endswith("@step"):
                    words[f"{where}/{case}"] = word
                if word == "skip":
                    reasons[f"{where}/{case}"] = test["reasons"].get(case, "no reason given")
        return regress.Ran(words, reasons=reasons, log=attempt["console"],
                           remarks=[f"the module {said}" for said in modules_failed])

    def _problems(self, step: int, boot: Boot, attempt: Attempt) -> list[str]:
        return self.work.expectations.problems(step, self.lane, boot, attempt)


def _sentence(problems: list[str]) -> str:
    """The first few of many problems."""
    more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
    return "; ".join(problems[:6]) + more
