# SPDX-License-Identifier: GPL-2.0
"""A portion of a run's steps, for one of several machines: ci/run --shard."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from lib.command import Failed


@dataclasses.dataclass(frozen=True)
class Portion:
    """Number `number` of `count` parts, from 1 on: neighbouring steps, so that each build costs only
    what differs from the build before."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, weights: Mapping[int, int]) -> list[int]:
        """The steps of this part, in ascending order. weights: {step: how much work it is}, of all
        steps of the run; Failed where there are fewer steps than parts."""
        steps = sorted(weights)
        if len(steps) < self.count:
            raise Failed(f"--shard {self}: there are only {len(steps)} steps to share out")
        cuts = bounds([weights[step] for step in steps], self.count)
        return steps[cuts[self.number - 1]:cuts[self.number]]


def bounds(weights: Sequence[int], count: int) -> list[int]:
    """Where to cut a list of weights, so that `count` parts weigh about the same and none is empty:
    count + 1 indices, 0 the first and len(weights) the last."""
    sums = list(itertools.accumulate(weights, initial=0))
    cuts = [0]
    for part in range(1, count):
        goal = sums[-1] * part / count
        near = min(range(len(sums)), key=lambda n: abs(sums[n] - goal))
        cuts.append(min(max(near, cuts[-1] + 1), len(weights) - (count - part)))
    return [*cuts, len(weights)]


def read(word: str) -> Portion:
    """The portion that I/N means; Failed where it means none."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", word)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise Failed(f"--shard {word}: not I/N, part I of N, with I from 1 to N")
    return Portion(int(match[1]), int(match[2]))
