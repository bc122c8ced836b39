# SPDX-License-Identifier: GPL-2.0
"""Whether each source that a patch touches is built in some lane: the gate `built`."""

from collections.abc import Collection, Mapping, Sequence

from lib import series
from lib.kernel import sources
from lib.verdict import Judgement, Verdict

from .proof import Proof


def judge(found: series.Series, commits: Sequence[str], built: Mapping[int, Collection[str]],
          unjudged: Mapping[int, Collection[str]], proofs: Collection[Proof]) -> list[Judgement]:
    """The judgements of the steps in `built`.

    built: {step: the sources in touched directories that some lane built}; unjudged: {step: the
    lanes that should have built it and did not}.
    """
    elsewhere = {p.patch.step: p.built for p in proofs if p.built}
    judgements = []
    for patch in found.patches:
        if patch.step not in built:
            continue
        touched = [f for f in sources.compiled(series.paths(patch.text)) if f.endswith(".c")]
        present = sources.there(commits[patch.step], touched)
        left = [f for f in present if f not in built[patch.step]]
        verdict, reason = _judge(left, present, unjudged.get(patch.step, ()), elsewhere.get(patch.step, ""))
        judgements.append(Judgement(patch.step, "series", "built", verdict, reason,
                                    command=f"ci/run --no-static --step {patch.step}"))
    return judgements


def _judge(left: Sequence[str], present: Sequence[str], unjudged: Collection[str], elsewhere: str,
           ) -> tuple[Verdict, str]:
    names = ", ".join(left)
    if left and elsewhere:
        return Verdict.SKIP, f"{names}: {elsewhere}"
    if left and unjudged:
        return Verdict.SKIP, f"{names}: {', '.join(sorted(unjudged))} could not be built"
    if left:
        return Verdict.FAIL, (f"built in no lane: {names}; add it to a lane's configuration, or say in "
                              "ci/proofs.toml where it was built, as built = \"...\"")
    if elsewhere:
        return Verdict.FAIL, "its sources are built in a lane: delete built = in ci/proofs.toml"
    return Verdict.PASS, "" if present else "touches no source of the kernel"
