# SPDX-License-Identifier: GPL-2.0
"""The proof of each patch: the cases that fail before it and pass from it on.

ci/proofs.toml holds one table per patch, under the patch's slug (its path without the
number): the cases that must fail, or be skipped, on every step before it and pass
from its step on, and the splats that the fault causes before the patch. A case that
passes before the patch proves nothing, and is a failure. A suite that comes with the
patch cannot fail before it: its cases are what the patch "adds". The cases that pass
before the patch and are gone from it on are what the patch "drops"; with NAME@step in
place of a test's NAME these are cases of NAME with the selftests of the step's own tree.

Besides the cases of its tests, every boot has the case lane/boot/end: the guest came to
the end of its tests. A patch that fixes a crash is proven by this case.
"""

import dataclasses
import fnmatch
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from lib import table
from lib.lane import Boot
from lib.series import Patch, Series, slug
from lib.table import TABLES, TEXT, TEXTS
from lib.verdict import Judgement, Verdict

from .errors import UsageError

# The case of every boot that the guest came to the end of its tests.
END = "end"
# After a test's name: it ran with the selftests of the step's own tree, not of the last step's.
OWN = "@step"

_FILE = "ci/proofs.toml"
_KEYS = {"cases": TEXTS, "adds": TEXTS, "drops": TEXTS, "splats": TEXTS, "nothing": TEXT,
         "built": TEXT}


@dataclasses.dataclass(frozen=True)
class Proof:
    """patch: the Patch proven; cases, adds, drops: patterns of lane/boot/test/suite/case;
    splats: regular expressions; nothing: why the patch has no case to show; built: where the
    sources were built that no lane builds, "" where there are none."""

    patch: Patch
    cases: list[str]
    adds: list[str]
    drops: list[str]
    splats: list[re.Pattern[str]]
    nothing: str
    built: str = ""

    @property
    def patterns(self) -> list[str]:
        """Of all cases that pass from the patch on."""
        return self.cases + self.adds


def plain(case: str) -> str:
    """A case, or a pattern of cases, without OWN: as it is with the last step's selftests."""
    return case.replace(OWN, "", 1)


def _read(entry: dict[str, Any], by_slug: Mapping[str, Patch]) -> Proof:
    """One table; UsageError where it is wrong."""
    table.check(entry, f"{_FILE}: {entry.get('patch', 'a [[proof]]')}", {"patch": TEXT}, _KEYS)
    name = entry["patch"]
    if name not in by_slug:
        raise UsageError(f"{_FILE}: no patch {name!r} in series")
    shown = [key for key in ("cases", "adds") if entry.get(key)]
    if bool(shown) == ("nothing" in entry):
        raise UsageError(f"{_FILE}: {name}: it has " + (f"{shown[0]} and " if shown else "neither cases, "
                         "adds nor ") + "nothing; a patch has cases, adds or both, or nothing = \"why\"")
    if own := next((c for key in shown for c in entry[key] if OWN in c), None):
        raise UsageError(f"{_FILE}: {name}: {own!r}: only drops may name the step's own selftests "
                         f"({OWN}); the last step's run on every step")
    try:
        splats = [re.compile(text) for text in entry.get("splats", [])]
    except re.error as error:
        raise UsageError(f"{_FILE}: {name}: splats: {error.pattern!r}: {error}") from None
    if wide := next((s.pattern for s in splats if s.search("")), None):
        raise UsageError(f"{_FILE}: {name}: splats: {wide!r} matches every line")
    return Proof(by_slug[name], entry.get("cases", []), entry.get("adds", []),
                 entry.get("drops", []), splats, entry.get("nothing", ""),
                 entry.get("built", ""))


def read(top: pathlib.Path, series: Series) -> list[Proof]:
    """The proofs of a series in its order; UsageError for one that is wrong, that is of no
    patch, or of a patch with another, and for a patch with none."""
    data = table.load(top, _FILE) if (pathlib.Path(top) / _FILE).exists() else {}
    table.check(data, _FILE, {}, {"proof": TABLES})
    by_slug = {slug(p): p for p in series.patches}
    proofs = [_read(entry, by_slug) for entry in data.get("proof", [])]
    names = [slug(p.patch) for p in proofs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{_FILE}: {twice[0]} is listed twice")
    if unproven := set(by_slug) - set(names):
        raise UsageError(f"{_FILE}: no table for {', '.join(sorted(unproven))}; name the cases "
                         "that pass from the patch on, or say nothing = \"why\"")
    return sorted(proofs, key=lambda p: p.patch.step)


def due(proofs: Collection[Proof], case: str) -> int:
    """The step from which a case (lane/boot/test/...) must pass: 0 where no proof names it."""
    steps = [p.patch.step for p in proofs if any(fnmatch.fnmatchcase(case, c) for c in p.patterns)]
    return max(steps, default=0)


def milestones(proofs: Collection[Proof], lane: str, boot: Boot) -> set[int]:
    """The steps around the patches that cases of this boot prove: {step - 1, step, ...}.

    lane: a lane's name; boot: one of its Boot.
    """
    steps = set()
    for proof in proofs:
        for case in proof.patterns + proof.drops:
            where = [*plain(case).split("/"), "*", "*"][:3]
            if any(all(map(fnmatch.fnmatchcase, (lane, boot.name, test), where))
                   for test in [*boot.tests, END]):
                steps |= {proof.patch.step - 1, proof.patch.step}
    return steps


def splat_expected(proofs: Collection[Proof], step: int, line: str) -> bool:
    """Whether a splat belongs to a fault that a later patch mends."""
    return any(p.patch.step > step and any(s.search(line) for s in p.splats) for p in proofs)


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

    seen: {step: lines of the splats of all its boots}, of a whole run; unjudged: as of turned().
    Returns a judgement for each proof with splats, lane "series", gate "splats".
    """
    judgements = []
    for one in (p for p in proofs if p.splats):
        step, reason = one.patch.step, ""
        lines = {line for k, found in seen.items() if k < step for line in found}
        wrong = [s.pattern for s in one.splats if not any(map(s.search, lines))]
        lost = next((f"step {k} {where}" for k, where in sorted(unjudged) if k < step), "")
        if wrong:
            reason = f"{_FILE}: {slug(one.patch)}: no boot before step {step} shows the splats " \
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
        verdict = Verdict.FAIL if failed else Verdict.LOST if wrong else Verdict.PASS
        sentences = [s for said in (failed or wrong.values()) for s in said]
        lost = f"not all its boots could be judged: {_lost(next(iter(wrong)), unjudged)}; " \
            if verdict is Verdict.LOST else ""
        judgements.append(Judgement(
            step, "series", "proof", verdict,
            f"{name}: {lost}{'; '.join(sentences)}" if wrong else "",
            command=f"ci/run --no-static --again --step {max(before)} --step {step}"))
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
           left_out: Collection[tuple[int, str]]) -> list[str]:
    """Why a pattern of a proof does not hold: sentences."""
    step = one.patch.step
    before, after = [k for k in results if k < step], [k for k in results if k >= step]
    named = {k: {c: v for c, v in results[k].items()
                 if (OWN in c) == (OWN in pattern) and fnmatch.fnmatchcase(c, pattern)}
             for k in results}
    boots = {"/".join(c.split("/")[:2]) for cases in named.values() for c in cases}
    was_due = {k: named[k] or any((k, b) not in left_out for b in boots) for k in results}
    last = max([k for k in before if was_due[k]], default=max(before))
    if pattern in one.drops:
        still = [f"{c} passes on step {k}" for k in after for c, v in named[k].items() if v == "pass"]
        if "pass" not in named[last].values():
            return [f"{pattern} is said to be dropped, but does not pass on step {last}"]
        return [f"{still[0]}, but is said to be dropped"] if still else []
    if not any(named[k] for k in after):
        return [f"no case {pattern} ran"]
    wrong = []
    early = sorted({c for k in before for c, v in named[k].items() if v == "pass"})
    if early:
        wrong.append(f"{early[0]} passes before the patch and proves nothing")
    if pattern not in one.adds and "fail" not in named[last].values():
        wrong.append(f"{pattern} does not fail on step {last}")
    for k in after:
        if not was_due[k]:
            continue
        there = {c for cases in named.values() for c in cases}
        left = {c for c in there if not dropped(proofs, step, k, c)}
        bad = sorted(c for c, v in named[k].items() if v != "pass" and c in left)
        if left and (bad or not named[k]):
            wrong.append(f"{bad[0] if bad else pattern} does not pass on step {k}")
    return wrong
