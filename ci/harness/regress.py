# SPDX-License-Identifier: GPL-2.0
"""Cases that passed on one step and are skipped or missing on a later one.

The boot itself shows a case that fails. A case that is gone shows only in a comparison with
the step before: for each boot, the last judged step on which it was due. The tests that run
selftests are compared twice: with the last step's, which are the same on every step, and with
those of each step's own tree, from which a patch may have taken cases.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping

from lib.proofs import Proof
from lib.verdict import Judgement, Verdict

from . import proof


@dataclasses.dataclass(frozen=True)
class Ran:
    """One boot that ran on a step. words: {case: "pass" | "fail" | "skip"}, proof.END among
    them; own: the same with the selftests of the step's own tree, its tests named with
    proofs.OWN; reasons: {case: why it was skipped}; log: path of its console; remarks: what else
    may have taken cases away, sentences; good: whether nothing was wrong in the boot; idle: how
    the names of those cases of `own` begin that were not due on the step."""

    words: Mapping[str, str]
    own: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    log: str = ""
    remarks: Collection[str] = ()
    good: bool = True
    idle: frozenset[str] = frozenset()

    @property
    def all_words(self) -> dict[str, str]:
        """Both `words` and `own`."""
        return {**self.words, **self.own}

    @property
    def ended(self) -> bool:
        """Whether the guest came to the end of its tests: else what is missing says nothing."""
        return any(word == "pass" for case, word in self.words.items()
                   if case.endswith(f"/{proof.END}") and case.count("/") == 2)


def judge(lane: str, boot: str, history: Mapping[int, Ran], steps: Collection[int],
          proofs: Collection[Proof], known: Callable[[str], str],
          again: Callable[[int, int], str]) -> list[Judgement]:
    """Whether the cases of one boot are still there, step by step.

    history: {step: Ran} of the steps at which the boot was due and ran; those not in `steps`
    were judged by another run and are only compared with. known(case): why a case need not
    run, or ""; it is asked of cases that are gone only. again(before, step): the command that
    repeats both.
    Returns a judgement for each step that there is one before, gate "cases:BOOT".
    """
    passed: dict[str, int] = {}  # {case: the last step on which it passed}, of cases not gone
    judgements = []
    for step, ran in sorted(history.items()):
        words = ran.all_words
        if passed and ran.ended and step in steps:
            gone = {c: k for c, k in passed.items()
                    if words.get(c, "skip") == "skip" and not c.startswith(tuple(ran.idle))}
            wrong = _unexplained(gone, step, proofs, known)
            judgements.append(Judgement(
                step, lane, f"cases:{boot}", Verdict.FAIL if wrong else Verdict.PASS,
                _sentence(wrong, ran), ran.log, again(min(wrong.values()), step) if wrong else ""))
            # each is reported once: where it goes
            passed = {c: k for c, k in passed.items() if c not in gone}
        passed |= {case: step for case, word in words.items() if word == "pass"}
    return judgements


def _unexplained(gone: Mapping[str, int], step: int, proofs: Collection[Proof],
                 known: Callable[[str], str]) -> dict[str, int]:
    """Those of the cases gone on a step that neither a patch drops nor something else excuses.

    What is gone with the last step's selftests is not told again of the step's own.
    """
    return {case: before for case, before in gone.items()
            if (proof.plain(case) == case or proof.plain(case) not in gone)
            and not proof.dropped(proofs, before, step, case) and not known(proof.plain(case))}


def _sentence(wrong: Mapping[str, int], ran: Ran) -> str:
    """The first few of the cases that are gone, with the step that they passed on."""
    words = ran.all_words
    said = [f"{case} passed on step {before} and is "
            + (f"skipped: {_reason(case, ran)}" if case in words else "gone")
            for case, before in wrong.items()]
    more = [f"and {len(said) - 6} more"] if len(said) > 6 else []
    return "; ".join([*said[:6], *more, *(ran.remarks if wrong else ())])


def _reason(case: str, ran: Ran) -> str:
    """Why a case was skipped; where the step's own selftests are the last step's, theirs."""
    return ran.reasons.get(case) or ran.reasons.get(proof.plain(case)) or "no reason given"
