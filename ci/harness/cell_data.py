# SPDX-License-Identifier: GPL-2.0
"""A cell as JSON values, for a report that is made on another machine.

The record of its build stays behind: what is compared with it was compared where it was built.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from lib.verdict import Judgement

from .cell import Booted, Built, Cell, Picture, copy_name
from .plan import CellPlan, Due
from .regress import Ran
from .splat import Splat

# Finds a file on this machine: its path on the one that wrote it, the name of a report's copy -> its path.
Place = Callable[[str, str], str]


def data(cell: Cell) -> dict[str, Any]:
    """The cell as JSON values."""
    built = cell.built and {"judgement": cell.built.judgement.data(), "image": cell.built.image is not None,
                            "unknown": cell.built.unknown, "text": cell.built.text}
    return {"step": cell.step, "lane": cell.lane, "due": _due(cell.plan.due),
            "boots": {name: _due(due) for name, due in cell.plan.boots}, "built": built,
            "diagnostics": [j.data() for j in cell.diagnostics],
            "booted": [_booted(b) for b in cell.boots],
            "unable": cell.unable and cell.unable.data()}


def read(found: Mapping[str, Any], place: Place) -> Cell:
    """The cell that data() was made of, without the record of its build and its image, of which
    only is known whether there was one. place: see Place."""
    plan = CellPlan(found["step"], found["lane"], Due(**found["due"]),
                    tuple((name, Due(**due)) for name, due in found["boots"].items()))
    built = found["built"] and Built(judgement(found["built"]["judgement"], place),
                                     image=pathlib.Path("image") if found["built"]["image"] else None,
                                     unknown=found["built"]["unknown"], text=found["built"]["text"])
    return Cell(plan, built, tuple(judgement(j, place) for j in found["diagnostics"]),
                tuple(_read_booted(b, place) for b in found["booted"]),
                found["unable"] and judgement(found["unable"], place))


def _due(due: Due) -> dict[str, Any]:
    return dataclasses.asdict(due)


def judgement(found: dict[str, Any], place: Place) -> Judgement:
    """The judgement that its data() was, with its log as it is found here."""
    one = Judgement.read(found)
    return dataclasses.replace(one, log=place(one.log, one.log_name)) if one.log else one


def _booted(boot: Booted) -> dict[str, Any]:
    ran = boot.ran and {"words": dict(boot.ran.words), "own": dict(boot.ran.own),
                        "reasons": dict(boot.ran.reasons), "remarks": list(boot.ran.remarks),
                        "good": boot.ran.good, "idle": sorted(boot.ran.idle)}
    return {"boot": boot.boot, "judgement": boot.judgement.data(), "ran": ran,
            "measured": list(boot.measured), "splats": [dataclasses.asdict(s) for s in boot.splats],
            "seen": sorted(boot.seen),
            "pictures": [{"name": one.name, "wrong": one.wrong, "seen": str(one.seen or ""),
                          "expected": str(one.expected or "")} for one in boot.pictures]}


def _read_booted(found: Mapping[str, Any], place: Place) -> Booted:
    said = judgement(found["judgement"], place)
    fields: dict[str, Any] = dict(found["ran"] or {})
    if fields:
        fields |= {"idle": frozenset(fields["idle"]), "log": said.log}
    ran = Ran(**fields) if fields else None
    return Booted(found["boot"], said, ran, tuple(found["measured"]),
                  tuple(Splat(**one) for one in found["splats"]), frozenset(found["seen"]),
                  tuple(_read_picture(one, said, number, place)
                        for number, one in enumerate(found.get("pictures", ()), 1)))


def _read_picture(found: Mapping[str, str], boot: Judgement, number: int, place: Place) -> Picture:
    """number: of the picture in its boot."""
    def here(which: str) -> pathlib.Path | None:
        return pathlib.Path(place(found[which], copy_name(boot, number, which))) if found[which] else None
    return Picture(found["name"], found["wrong"], here("seen"), here("expected"))
