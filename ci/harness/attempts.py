# SPDX-License-Identifier: GPL-2.0
"""The attempts of a boot: those that the store has, and what they say together."""

from typing import Any, cast

from lib.lane import Boot
from lib.proofs import OWN
from lib.verdict import Judgement, Verdict

from . import needs, proof, prune, regress, splat
from .attempt import Attempt
from .cell import again
from .expectations import lost, reached_end
from .work import Work


class Attempts:
    """The attempts of all boots of a lane, judged by today's patterns and proofs."""

    def __init__(self, lane: str, work: Work) -> None:
        self.lane, self.work = lane, work
        self.needs = needs.read(work.paths.top)

    def kept(self, step: int, boot: Boot, inputs: dict[str, Any]) -> list[Attempt]:
        """The kept attempts of a boot: at most two.

        Empty where the verdict is to be made anew: it was flaky or lost, a console is gone that
        has to be read again, or --again says so.
        """
        work, deny = self.work, self.work.expectations.deny
        if work.anew(inputs, builds=False):
            return []
        record = work.store.get("boot", inputs) or {"attempts": []}
        attempts = cast(list[Attempt], record["attempts"])
        if any(a.get("scanned") != deny.key for a in attempts):
            if not all(map(self.scan, attempts)):
                return []
            work.store.put("boot", inputs, {"attempts": attempts}, work.name(step, self.lane, boot.name))
        if work.store.key(inputs) not in work.fresh and self.ended(step, boot, attempts) and \
                self.verdict(step, boot, attempts) in (Verdict.FLAKY, Verdict.LOST):
            return []
        for attempt in attempts:
            prune.use(work.paths.log(attempt["console"]), work.paths.log(attempt["results"]),
                      *(work.paths.log(name) for one in attempt.get("pictures", ())
                        for name in (one["seen"], one["expected"]) if name))
        return attempts

    def scan(self, attempt: Attempt) -> bool:
        """Look for splats in the console of an attempt; whether it is still there."""
        try:
            console = self.work.paths.log(attempt["console"]).read_text(errors="replace")
            # what it said when it was asked where it hangs is no splat
            console = console[:attempt.get("judged")]
        except FileNotFoundError:
            return False
        deny = self.work.expectations.deny
        attempt["splats"] = [one.data() for one in splat.scan(console, deny)]
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
        return Verdict.LOST if all(map(lost, attempts)) else Verdict.FAIL

    def judge(self, step: int, boot: Boot, attempts: list[Attempt], cached: bool) -> Judgement:
        """The judgement of attempts that have ended."""
        first = self._problems(step, boot, attempts[0])
        final = self._problems(step, boot, attempts[-1])
        reason = _sentence(final) or (f"first attempt: {_sentence(first)}" if first else "")
        return Judgement(step, self.lane, f"boot:{boot.name}", self.verdict(step, boot, attempts), reason,
                         str(self.work.paths.log(attempts[-1]["console"])),
                         again(self.lane, step, boot=boot.name),
                         sum(a["seconds"] for a in attempts), sum(a["cpu"] for a in attempts), cached)

    def ran(self, step: int, boot: Boot, attempt: Attempt, modules_failed: list[str]) -> regress.Ran:
        """The cases of an attempt. modules_failed: the test modules that its step could not build."""
        where = f"{self.lane}/{boot.name}"
        words = {f"{where}/{proof.END}": "pass" if reached_end(attempt) else "fail"}
        own: dict[str, str] = {}
        reasons = {}
        again_as_own = {*attempt.get("due", ()), *attempt["tests"]}
        idle = {n for n in attempt["tests"] if f"{n}{OWN}" not in again_as_own
                and not self._same(n, step)}
        for name, test in attempt["tests"].items():
            for case, word in test["cases"].items():
                if name.endswith(OWN):
                    own[f"{where}/{case}"] = word
                else:
                    words[f"{where}/{case}"] = word
                    if name not in idle and f"{name}{OWN}" not in again_as_own:
                        own[f"{where}/{name}{OWN}{case.removeprefix(name)}"] = word
                if word == "skip":
                    reasons[f"{where}/{case}"] = test["reasons"].get(case, "no reason given")
        return regress.Ran(words, own, reasons, self._log(attempt),
                           [f"the module {said}" for said in modules_failed],
                           not self._problems(step, boot, attempt),
                           frozenset(f"{where}/{name}{OWN}/" for name in idle))

    def _same(self, test: str, step: int) -> bool:
        """Whether a test that does not run again with the step's own selftests had none else than
        those of the last step. Otherwise it was not due, and they are those of an earlier step."""
        need = self.needs.get(test)
        return not (need and need.step) or self.work.policy.own(need.selftests, step)

    def _log(self, attempt: Attempt) -> str:
        """The path of an attempt's console."""
        return str(self.work.paths.log(attempt["console"]))

    def _problems(self, step: int, boot: Boot, attempt: Attempt) -> list[str]:
        return self.work.expectations.problems(step, self.lane, boot, attempt)


def _sentence(problems: list[str]) -> str:
    """The first few of many problems."""
    more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
    return "; ".join(problems[:6]) + more
