# SPDX-License-Identifier: GPL-2.0
"""Cases that passed on one step and are skipped or missing on a later one.

The boot itself shows a case that fails. A case that is gone shows only in a comparison with
the step before: for each boot, the last judged step on which it was due.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping

from lib.verdict import Judgement, Verdict

from . import proof


@dataclasses.dataclass(frozen=True)
class Ran:
    """One boot that ran on a step. words: {case: "pass" | "fail" | "skip"}, proof.END among
    them; reasons: {case: why it was skipped}; log: path of its console; remarks: what else
    may have taken cases away, sentences."""

    words: Mapping[str, str]
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    log: str = ""
    remarks: Collection[str] = ()

    @property
    def ended(self) -> bool:
        """Whether the guest came to the end of its tests: else what is missing says nothing."""
        return any(word == "pass" for case, word in self.words.items()
                   if case.endswith(f"/{proof.END}") and case.count("/") == 2)


def judge(lane: str, boot: str, history: Mapping[int, Ran], first: int,
          proofs: Collection[proof.Proof], known: Callable[[str], str],
          again: Callable[[int, int], str]) -> list[Judgement]:
    """Whether the cases of one boot are still there, step by step.

    history: {step: Ran} of the steps at which the boot was due and ran; those below `first`
    were judged by another run and only compared with. known(case): why a case need not run,
    or "". again(before, step): the command that repeats both.
    Returns a judgement for each step that there is one before, gate "cases:BOOT".
    """
    passed: dict[str, int] = {}
    judgements = []
    for step, ran in sorted(history.items()):
        gone = [(case, before) for case, before in passed.items()
                if ran.ended and ran.words.get(case, "skip") == "skip"]
        wrong = [(case, before) for case, before in gone
                 if not proof.dropped(proofs, before, step, case) and not known(case)]
        if passed and ran.ended and step >= first:
            earliest = min((before for _, before in wrong), default=step)
            judgements.append(Judgement(
                step, lane, f"cases:{boot}", Verdict.FAIL if wrong else Verdict.PASS,
                _sentence(wrong, ran), ran.log, again(earliest, step) if wrong else ""))
        # each is reported once: where it goes
        for case, word in ran.words.items():
            if word == "pass":
                passed[case] = step
            elif word == "fail":
                passed.pop(case, None)
        for case, _ in gone:
            passed.pop(case, None)
    return judgements


def _sentence(wrong: list[tuple[str, int]], ran: Ran) -> str:
    """The first few of the cases that are gone, with the step that they passed on."""
    said = [f"{case} passed on step {before} and is "
            + (f"skipped: {ran.reasons.get(case, 'no reason given')}" if case in ran.words else "gone")
            for case, before in wrong]
    more = [f"and {len(said) - 6} more"] if len(said) > 6 else []
    return "; ".join([*said[:6], *more, *(ran.remarks if wrong else ())])
