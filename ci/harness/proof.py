# SPDX-License-Identifier: GPL-2.0
"""Whether the proof of each patch holds: the cases of ci/proofs.toml that fail before it and pass
from it on.

A case that passes before the patch proves nothing, and is a failure. Besides the cases of its
tests, every boot has the case lane/boot/end: the guest came to the end of its tests. A patch
that fixes a crash is proven by this case.
"""

import fnmatch
from collections.abc import Collection, Mapping

from lib.lane import Boot
from lib.proofs import FILE, OWN, Proof
from lib.series import slug
from lib.verdict import Judgement, Verdict

from .needs import ALWAYS

# The case of every boot that the guest came to the end of its tests.
END = "end"


def plain(case: str) -> str:
    """A case, or a pattern of cases, without OWN: as it is with the last step's selftests."""
    return case.replace(OWN, "", 1)


def due(proofs: Collection[Proof], case: str) -> int:
    """The step from which a case (lane/boot/test/...) must pass: 0 where no proof names it."""
    steps = [p.patch.step for p in proofs if any(fnmatch.fnmatchcase(case, c) for c in p.patterns)]
    return max(steps, default=0)


def milestones(proofs: Collection[Proof]) -> set[int]:
    """The steps around the patches of these proofs: {step - 1, step, ...}."""
    return {step for proof in proofs for step in (proof.patch.step - 1, proof.patch.step)}


def of_boot(proofs: Collection[Proof], lane: str, boot: Boot) -> list[Proof]:
    """The proofs whose cases a boot may have.

    lane: a lane's name; boot: one of its Boot. To a boot that confirms belong only the proofs
    that name its lane.
    """
    return [proof for proof in proofs
            if any(may_have(plain(case), lane, boot) for case in proof.patterns + proof.drops
                   if not (boot.confirms and case.startswith("*")))]


def may_have(pattern: str, lane: str, boot: Boot) -> bool:
    """Whether a pattern of lane/boot/test/suite/case may be of cases of this boot."""
    return fnmatch.fnmatchcase(f"{lane}/{boot.name}/{END}", pattern) or any(
        fnmatch.fnmatchcase(f"{lane}/{boot.name}/{test}/", head)
        for head in heads(pattern) for test in (*boot.tests, *ALWAYS))


def heads(pattern: str) -> list[str]:
    """The parts of a pattern that may be of lane/boot/test/. A * matches a / as well: with one
    in front, any part that ends with a name may be."""
    words = pattern.split("/")
    if not pattern.startswith("*"):
        return ["/".join([*words[:3], ""])]
    return ["/".join([*words[:count], ""]) for count in range(2, len(words) + 1)
            if words[count - 1].strip("*")]


def splat_expected(proofs: Collection[Proof], step: int, told: str) -> bool:
    """Whether a splat, as splat.told() has it, belongs to a fault that a later patch mends."""
    return any(p.patch.step > step and any(s.search(told) for s in p.splats) for p in proofs)


def dropped(proofs: Collection[Proof], before: int, step: int, case: str) -> bool:
    """Whether a patch after step `before`, up to `step`, says that it drops a case.

    What a patch drops from the last step's selftests may be gone from the step's own, too.
    """
    return any(before < p.patch.step <= step and any(fnmatch.fnmatchcase(name, d) for d in p.drops
                                                     for name in {case, plain(case)})
               for p in proofs)


def unseen(proofs: Collection[Proof], seen: Mapping[int, Collection[str]],
           unjudged: Collection[tuple[int, str]] = frozenset()) -> list[Judgement]:
    """Whether a boot before each patch showed the splats that its proof says its fault causes.

    seen: {step: the splats of all its boots, as splat.told()}, of a whole run; unjudged: as of turned().
    Returns a judgement for each proof with splats, lane "series", gate "splats".
    """
    judgements = []
    for one in (p for p in proofs if p.splats):
        step, reason = one.patch.step, ""
        lines = {line for k, found in seen.items() if k < step for line in found}
        wrong = [s.pattern for s in one.splats if not any(map(s.search, lines))]
        lost = next((f"step {k} {where}" for k, where in sorted(unjudged) if k < step), "")
        if wrong:
            reason = f"{FILE}: {slug(one.patch)}: no boot before step {step} shows the splats " \
                     f"{', '.join(map(repr, wrong))}" \
                     + (f"; not all boots could be judged: {lost}" if lost else ": correct or delete them")
        verdict = Verdict.PASS if not wrong else Verdict.LOST if lost else Verdict.FAIL
        judgements.append(Judgement(step, "series", "splats", verdict, reason,
                                    command="ci/run --no-static"))
    return judgements


# The cases of each step that was judged: {step: {"lane/boot/test/case": "pass" | "fail" | "skip"}}.
Results = Mapping[int, Mapping[str, str]]


def turned(proofs: Collection[Proof], results: Results,
           left_out: Collection[tuple[int, str]] = frozenset(),
           unjudged: Collection[tuple[int, str]] = frozenset()) -> list[Judgement]:
    """Whether each proof holds: judgements of lane "series", gate "proof".

    left_out, unjudged: (step, "lane/boot") of boots that are not due at a step, and of
    those that are and could not be judged. A proof holds if some case of each pattern failed
    on the last step before the patch that a boot with one was due at, none passed before,
    and all pass from the patch on. What the patch adds need not be there before; what it
    drops passed before and does not pass from the patch on. A proof that does not hold is LOST
    where a boot with such cases could not be judged. A pattern names cases of the step's own
    selftests only where it has OWN.
    """
    judgements = []
    for one in proofs:
        step, name = one.patch.step, slug(one.patch)
        before = [k for k in results if k < step]
        ran = bool(before) and step in results
        if one.nothing and not (one.drops and ran):
            judgements.append(Judgement(step, "series", "proof", Verdict.SKIP, one.nothing))
            continue
        if not ran:
            judgements.append(Judgement(step, "series", "proof", Verdict.SKIP,
                                        f"steps {step - 1} and {step} were not both run"))
            continue
        wrong = {pattern: said for pattern in [*one.patterns, *one.drops]
                 if (said := _wrong(proofs, one, pattern, results, left_out))}
        failed = [said for pattern, said in wrong.items() if not _lost(pattern, unjudged)]
        steps = {max(before), step, *(k for said in wrong.values() for _, k in said)}
        verdict = Verdict.FAIL if failed else Verdict.LOST if wrong else Verdict.PASS
        sentences = [s for said in (failed or wrong.values()) for s, _ in said]
        lost = f"not all its boots could be judged: {_lost(next(iter(wrong)), unjudged)}; " \
            if verdict is Verdict.LOST else ""
        judgements.append(Judgement(
            step, "series", "proof", verdict,
            f"{name}: {lost}{'; '.join(sentences)}" if wrong else "",
            command="ci/run --no-static --again " + " ".join(f"--step {k}" for k in sorted(steps))))
    return judgements


def _lost(pattern: str, unjudged: Collection[tuple[int, str]]) -> str:
    """The first of the boots that could not be judged and may have had a pattern's cases, or ""."""
    lane, _, rest = pattern.partition("/")
    for step, where in sorted(unjudged):
        of_lane, _, boot = where.partition("/")
        # a * matches a / as well: with one in front, the boot may be any
        if fnmatch.fnmatchcase(of_lane, lane) and \
                ("*" in lane or fnmatch.fnmatchcase(boot, rest.partition("/")[0])):
            return f"step {step} {where}"
    return ""


def _wrong(proofs: Collection[Proof], one: Proof, pattern: str, results: Results,
           left_out: Collection[tuple[int, str]]) -> list[tuple[str, int]]:
    """Why a pattern of a proof does not hold: sentences, each with the step that shows it."""
    step = one.patch.step
    before, after = [k for k in results if k < step], [k for k in results if k >= step]
    named = {k: {c: v for c, v in results[k].items()
                 if (OWN in c) == (OWN in pattern) and fnmatch.fnmatchcase(c, pattern)}
             for k in results}
    boots = {"/".join(c.split("/")[:2]) for cases in named.values() for c in cases}
    was_due = {k: named[k] or any((k, b) not in left_out for b in boots) for k in results}
    last = max([k for k in before if was_due[k]], default=max(before))
    if pattern in one.drops:
        still = [(f"{c} passes on step {k}, but is said to be dropped", k)
                 for k in after for c, v in named[k].items() if v == "pass"]
        if "pass" not in named[last].values():
            return [(f"{pattern} is said to be dropped, but does not pass on step {last}", last)]
        return still[:1]
    if not any(named[k] for k in after):
        return [(f"no case {pattern} ran", step)]
    wrong = []
    early = sorted((c, k) for k in before for c, v in named[k].items() if v == "pass")
    if early:
        wrong.append((f"{early[0][0]} passes before the patch and proves nothing", early[0][1]))
    if pattern not in one.adds and "fail" not in named[last].values():
        wrong.append((f"{pattern} does not fail on step {last}", last))
    for k in after:
        if not was_due[k]:
            continue
        there = {c for cases in named.values() for c in cases}
        left = {c for c in there if not dropped(proofs, step, k, c)}
        bad = sorted(c for c, v in named[k].items() if v != "pass" and c in left)
        if left and (bad or not named[k]):
            wrong.append((f"{bad[0] if bad else pattern} does not pass on step {k}", k))
    return wrong
