# SPDX-License-Identifier: GPL-2.0
"""Whether each source that a patch touches is built in some lane of a run: the gate `built`."""

from collections.abc import Collection, Mapping, Sequence

from lib import series
from lib.kernel import unbuilt
from lib.proofs import Proof
from lib.verdict import Judgement


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
        present = unbuilt.touched(patch, commits[patch.step])
        left = [f for f in present if f not in built[patch.step]]
        verdict, reason = unbuilt.judge(left, present, unjudged.get(patch.step, ()),
                                        elsewhere.get(patch.step, ""))
        judgements.append(Judgement(patch.step, "series", "built", verdict, reason,
                                    command=f"ci/run --no-static --step {patch.step}"))
    return judgements
