# SPDX-License-Identifier: GPL-2.0
"""The boots that a mutant goes through until one notices it: the cheapest first."""

from collections.abc import Collection

from lib.lane import Boot, Lane

from . import watchers
from .addition import Additions
from .expectations import Expectations
from .mutant import Mutant
from .testbed import Testbed

# What a build of a mutant costs until the lane was built once: CPU seconds.
_BUILD = 30.0

Place = tuple[Lane, Boot]


def name_of(place: Place) -> str:
    """lane/boot."""
    return f"{place[0].name}/{place[1].name}"


class Route:
    """The boots of each mutant, in order."""

    def __init__(self, bed: Testbed, expectations: Expectations, additions: Additions,
                 named: Collection[str] = ()) -> None:
        """named: lanes that the user asks for."""
        self._bed, self._proofs, self._additions = bed, expectations.proofs, additions
        # the others cost too much
        self._lanes = [lane for lane in bed.lanes if lane.default or lane.name in named]

    def of(self, mutant: Mutant) -> list[Place]:
        """The cheapest first; where a case must notice, only the boots that may have it."""
        if mutant.case:
            return self._cheapest(watchers.of_case(mutant.case, self._bed.lanes), set())
        lanes: set[str] = set()
        found: list[Place] = []
        patches = self._additions.touching(mutant.file)
        for boots in watchers.of_patches(patches, self._proofs, self._lanes):
            found += self._cheapest(boots, lanes)
        return found

    def _cheapest(self, places: list[Place], built: set[str]) -> list[Place]:
        """Places by their cost, with that of a lane's build; built: lanes where it is paid, added to."""
        left, found = list(places), []
        while left:
            best = min(left, key=lambda p: (self.cost(p) + (0 if p[0].name in built else _BUILD), name_of(p)))
            left.remove(best)
            found.append(best)
            built.add(best[0].name)
        return found

    def cost(self, place: Place) -> float:
        """CPU seconds of a boot, from the last time."""
        return self._bed.seconds(*place)
