# SPDX-License-Identifier: GPL-2.0
"""Proof per patch: each test names the step from which it passes.

ci/proofs.toml holds one table a patch, by the patch's slug (its path without
number): the cases that must fail, or be skipped, on every step before it and pass
from its step on, and the splats its fault causes before it. A case that passes
everywhere proves nothing, and is reported. A suite that the patch brings along
cannot fail before: its cases are named as what the patch adds.

Besides those of its tests every boot has the case lane/boot/end, that the guest came
to its end: what a patch that mends a crash proves.
"""

import dataclasses
import fnmatch
import pathlib
import re
import tomllib

from lib.series import slug
from lib.verdict import Judgement, Verdict

from .errors import UsageError

# The case of every boot that the guest came to the end of its tests.
END = "end"


@dataclasses.dataclass
class Proof:
    """patch: the Patch proven; cases, adds: patterns of lane/boot/test/suite/case;
    splats: regular expressions; nothing: why the patch has no case to show."""

    patch: object
    cases: list
    adds: list
    splats: list
    nothing: str

    @property
    def patterns(self):
        """Of all cases that pass from the patch on."""
        return self.cases + self.adds


def read(top, series):
    """The proofs of a series in its order; UsageError for one of no patch, or a patch with none."""
    path = pathlib.Path(top) / "ci/proofs.toml"
    tables = tomllib.loads(path.read_text()).get("proof", []) if path.exists() else []
    by_slug = {slug(p): p for p in series.patches}
    proofs = []
    for table in tables:
        name = table.get("patch", "")
        if name not in by_slug:
            raise UsageError(f"ci/proofs.toml: no patch {name!r} in series")
        proofs.append(Proof(by_slug[name], table.get("cases", []), table.get("adds", []),
                            [re.compile(s) for s in table.get("splats", [])],
                            table.get("nothing", "")))
    unproven = set(by_slug) - {slug(p.patch) for p in proofs}
    if unproven:
        raise UsageError(f"ci/proofs.toml: nothing about {', '.join(sorted(unproven))}; name the "
                         "cases that turn green with the patch, or say nothing = \"why\"")
    return sorted(proofs, key=lambda p: p.patch.step)


def due(proofs, case):
    """The step from which a case (lane/boot/test/...) must pass: 0 where no proof names it."""
    steps = [p.patch.step for p in proofs if any(fnmatch.fnmatchcase(case, c) for c in p.patterns)]
    return max(steps, default=0)


def milestones(proofs, lane, boot):
    """The steps around the patches that cases of this boot prove: {step - 1, step, ...}.

    lane: a lane's name; boot: one of its Boot.
    """
    steps = set()
    for proof in proofs:
        for case in proof.patterns:
            where = [*case.split("/"), "*", "*"][:3]
            if any(all(map(fnmatch.fnmatchcase, (lane, boot.name, test), where))
                   for test in [*boot.tests, END]):
                steps |= {proof.patch.step - 1, proof.patch.step}
    return steps


def splat_expected(proofs, step, line):
    """Whether a splat belongs to a fault that a later patch mends."""
    return any(p.patch.step > step and any(s.search(line) for s in p.splats) for p in proofs)


def turned(proofs, results, left_out=frozenset()):
    """What became of every proof: [Judgement], lane "series", gate "proof".

    results: {step: {"lane/boot/test/case": "pass" | "fail" | "skip"}} of the steps that
    were judged; left_out: (step, "lane/boot") of boots that are not due at a step. A
    proof holds if some case of each pattern failed on the last step before the patch
    that a boot with one was due at, none passed before, and all pass from the patch on.
    What the patch adds need not be there before.
    """
    words = []
    for proof in proofs:
        step, name = proof.patch.step, slug(proof.patch)
        if proof.nothing:
            words.append(Judgement(step, "series", "proof", Verdict.SKIP, proof.nothing))
            continue
        before = [k for k in results if k < step]
        after = [k for k in results if k >= step]
        if not before or step not in results:
            words.append(Judgement(step, "series", "proof", Verdict.SKIP,
                                   f"steps {step - 1} and {step} were not both run"))
            continue
        wrong = _wrong(proof, results, before, after, left_out)
        words.append(Judgement(step, "series", "proof",
                               Verdict.FAIL if wrong else Verdict.PASS,
                               f"{name}: {'; '.join(wrong)}" if wrong else ""))
    return words


def _wrong(proof, results, before, after, left_out):
    wrong = []
    for pattern in proof.patterns:
        named = {k: {c: v for c, v in results[k].items() if fnmatch.fnmatchcase(c, pattern)}
                 for k in results}
        if not any(named[k] for k in after):
            wrong.append(f"no case {pattern} ran")
            continue
        early = sorted({c for k in before for c, v in named[k].items() if v == "pass"})
        if early:
            wrong.append(f"{early[0]} passes before the patch and proves nothing")
        boots = {"/".join(c.split("/")[:2]) for cases in named.values() for c in cases}
        was_due = {k: named[k] or any((k, b) not in left_out for b in boots) for k in results}
        last = max([k for k in before if was_due[k]], default=max(before))
        red = any(v == "fail" for v in named[last].values())
        if not red and pattern not in proof.adds:
            wrong.append(f"{pattern} does not fail on step {last}")
        for k in after:
            if not was_due[k]:
                continue
            bad = sorted(c for c, v in named[k].items() if v != "pass")
            if bad or not named[k]:
                wrong.append(f"{bad[0] if bad else pattern} does not pass on step {k}")
    return wrong
