# SPDX-License-Identifier: GPL-2.0
"""The judgements that need more than one cell: cases that are gone, proofs, what is excused."""

import pathlib
from collections.abc import Sequence

from lib import lane
from lib.verdict import Judgement

from . import compare, proof
from .expectations import Expectations
from .outcome import Outcome
from .plan import Policy


def across(top: pathlib.Path, outcome: Outcome, lanes: Sequence[lane.Lane], policy: Policy,
           expectations: Expectations, elsewhere: compare.Elsewhere) -> list[Judgement]:
    """These judgements, of the cells of a run. elsewhere: see compare.Elsewhere."""
    scope = outcome.scope
    judgements = [j for one in lanes for j in compare.still_there(
        policy, expectations, one, [c for c in outcome.cells if c.lane == one.name], elsewhere)]
    if scope.boots or scope.lanes:
        return judgements
    found: dict[int, dict[str, str]] = {}
    seen: dict[int, set[str]] = {}
    left_out: set[tuple[int, str]] = set()
    unjudged: set[tuple[int, str]] = set()
    for cell in outcome.cells:
        left_out |= {(cell.step, f"{cell.lane}/{name}") for name in cell.left_out}
        unjudged |= {(cell.step, f"{cell.lane}/{name}") for name in cell.unjudged}
        for ran in cell.ran.values():
            found.setdefault(cell.step, {}).update(ran.all_words)
        seen.setdefault(cell.step, set()).update(cell.seen)
    judgements += proof.turned(expectations.proofs, found, left_out, unjudged)
    judgements += outcome.parts["built"]
    if not scope.steps and not scope.topics and not scope.portion:
        judgements += proof.unseen(expectations.proofs, seen, unjudged)
        without = {*lane.names(top)} - {*lane.default(top)}
        judgements += expectations.unused(found, bool(unjudged), without)
    return judgements
