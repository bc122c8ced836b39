# SPDX-License-Identifier: GPL-2.0
"""The mutants of a choice for people: what ci/mutate --list and --plan print."""

from collections.abc import Iterator

from .addition import Additions
from .choice import Choice
from .route import Route, name_of
from .testbed import Testbed


def changes(choice: Choice, additions: Additions) -> Iterator[str]:
    """Each mutant with its change: lines."""
    for one in choice.first:
        yield (f"{one.name}: step {one.patch.step}, {one.file}:{one.line}"
               + (f": {one.why}" if one.why else ""))
        for name, said in (("case", one.case), ("equivalent", one.equivalent)):
            if said:
                yield f"      {name}: {said}"
        for line in one.diff(additions.text(one.file)).splitlines():
            yield f"      | {line}"


def boots(choice: Choice, bed: Testbed, route: Route) -> Iterator[str]:
    """The boots of each mutant, and what they cost: lines."""
    for one in choice.first:
        places = [] if one.equivalent else route.of(one)
        said = ", ".join(f"{name_of(place)} {route.cost(place):.0f} s" for place in places)
        yield f"{one.name}: {one.equivalent or said or 'no boot'}"
    for name, why in bed.unable.items():
        yield f"lane {name} cannot run here: {why}"
