# SPDX-License-Identifier: GPL-2.0
"""What something took: seconds of the clock, and of the processors."""

import dataclasses
import os
import time


@dataclasses.dataclass(frozen=True)
class Usage:
    """wall: seconds from its begin to its end; cpu: user and system seconds of all processes that have
    ended by then."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.wall + other.wall, self.cpu + other.cpu)

    def each(self, count: int) -> "Usage":
        """The part of one of `count`."""
        return Usage(self.wall / max(count, 1), self.cpu / max(count, 1))


def cpu() -> float:
    """User and system seconds of this process, and of all processes that it has waited for."""
    return sum(os.times()[:4])


class Meter:
    """Measures from here on what this process takes, with all processes that it waits for."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), cpu()

    def read(self) -> Usage:
        """What was taken until now."""
        return Usage(time.monotonic() - self._wall, cpu() - self._cpu)
