# SPDX-License-Identifier: GPL-2.0
"""The boots that should notice a fault in a file: those that have cases of patches that touch
it, and those that the lanes have for the topics of these patches."""

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from lib.lane import Boot, Lane
from lib.proofs import Proof
from lib.series import Patch

from .proof import heads, may_have


def _names(pattern: str, test: str) -> bool:
    """Whether a pattern may be of cases of a test, in whatever lane and boot."""
    return any(fnmatch.fnmatchcase(test, head.split("/")[-2]) for head in heads(pattern))


def of_case(pattern: str, lanes: Iterable[Lane]) -> list[tuple[Lane, Boot]]:
    """The boots that may have the cases of a pattern."""
    return [(lane, boot) for lane in lanes for boot in lane.boots
            if may_have(pattern, lane.name, boot)]


def of_patches(patches: Collection[Patch], proofs: Sequence[Proof], lanes: Sequence[Lane],
               ) -> list[list[tuple[Lane, Boot]]]:
    """The boots that should notice a fault in a file that these patches touch, in two lists.

    The second has those that need not, and may: they run the same tests in another lane, or
    have cases of other patches of these topics.
    """
    steps, topics = {p.step for p in patches}, {p.topic for p in patches}
    theirs = [c for proof in proofs if proof.patch.step in steps for c in proof.patterns]
    others = [c for proof in proofs if proof.patch.topic in topics for c in proof.patterns]
    boots = [(lane, boot) for lane in lanes for boot in lane.boots]
    first = [(lane, boot) for lane, boot in boots
             if topics & set(boot.topics) or any(may_have(c, lane.name, boot) for c in theirs)]
    tests = {test for _, boot in boots for test in boot.tests if any(_names(c, test) for c in theirs)}
    second = [(lane, boot) for lane, boot in boots if (lane, boot) not in first
              and (tests & set(boot.tests) or any(may_have(c, lane.name, boot) for c in others))]
    return [first, second]
