# SPDX-License-Identifier: GPL-2.0
"""The steps between which ci/bisect searches."""

import dataclasses
from collections.abc import Mapping

from lib import series
from lib.command import Failed


@dataclasses.dataclass(frozen=True)
class Bounds:
    """low, high: the steps to search between; given: those that the user names, as "good" and "bad"."""

    low: int
    high: int
    given: Mapping[str, int]

    @staticmethod
    def read(good: str | None, bad: str | None, last: int) -> "Bounds":
        """The bounds that the words of --good and --bad give in a series; Failed for wrong ones.

        Without a word the other end of the series is meant.
        """
        given = {name: _step(name, word, last) for name, word in (("good", good), ("bad", bad)) if word}
        if last == 0:
            raise Failed("the series has no patches")
        if len(given) == 2 and given["good"] == given["bad"]:
            raise Failed(f"step {given['good']} cannot be good and bad")
        if "good" in given:
            other = given.get("bad", 0 if given["good"] == last else last)
            return Bounds(min(given["good"], other), max(given["good"], other), given)
        end = given.get("bad", last)
        return Bounds(0, end or last, given)


def _step(name: str, word: str, last: int) -> int:
    """The one step that a word names."""
    try:
        steps = list(series.step_range(word, 0, last) or ())
    except Failed as error:
        raise Failed(f"--{name} {error}") from None
    if len(steps) != 1:
        raise Failed(f"--{name} {word}: name one step")
    return steps[0]
