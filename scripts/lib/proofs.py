# SPDX-License-Identifier: GPL-2.0
"""ci/proofs.toml: what shows that each patch of the series does what it says.

It holds one table per patch, under the patch's slug (its path without the number): the cases
that must fail, or be skipped, on every step before it and pass from its step on, and the splats
that the fault causes before the patch. A suite that comes with the patch cannot fail before
it: its cases are what the patch "adds". The cases that pass before the patch and are gone from it on
are what the patch "drops"; with NAME@step in place of a test's NAME these are cases of NAME with
the selftests of the step's own tree. A patch that shows nothing says why, and one with sources
that no lane builds, where they were built.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from . import table
from .command import Failed
from .series import Patch, Series, slug
from .table import TABLES, TEXT, TEXTS

FILE = "ci/proofs.toml"
# After a test's name: it ran with the selftests of the step's own tree, not of the last step's.
OWN = "@step"

_KEYS = {"cases": TEXTS, "adds": TEXTS, "drops": TEXTS, "splats": TEXTS, "nothing": TEXT,
         "built": TEXT}


@dataclasses.dataclass(frozen=True)
class Proof:
    """patch: the Patch proven; cases, adds, drops: patterns of lane/boot/test/suite/case;
    splats: regular expressions; nothing: why the patch has no case to show; built: where the
    sources were built that no lane builds, "" where there are none."""

    patch: Patch
    cases: list[str]
    adds: list[str]
    drops: list[str]
    splats: list[re.Pattern[str]]
    nothing: str
    built: str = ""

    @property
    def patterns(self) -> list[str]:
        """Of all cases that pass from the patch on."""
        return self.cases + self.adds


def elsewhere(top: pathlib.Path) -> dict[str, str]:
    """Where the sources of patches are built that no lane builds: {slug: `built` of its table}.

    Tables that are wrong in other ways are read, too: the gates that ask judge patches, not proofs.
    """
    return {entry["patch"]: entry["built"] for entry in _tables(top)
            if isinstance(entry, dict) and "patch" in entry and "built" in entry}


def _tables(top: pathlib.Path) -> list[Any]:
    """The tables of the file, none where there is no file."""
    data = table.load(top, FILE) if (pathlib.Path(top) / FILE).exists() else {}
    table.check(data, FILE, {}, {"proof": TABLES})
    return list(data.get("proof", []))


def _read(entry: dict[str, Any], by_slug: Mapping[str, Patch]) -> Proof:
    """One table; Failed where it is wrong."""
    table.check(entry, f"{FILE}: {entry.get('patch', 'a [[proof]]')}", {"patch": TEXT}, _KEYS)
    name = entry["patch"]
    if name not in by_slug:
        raise Failed(f"{FILE}: no patch {name!r} in series")
    shown = [key for key in ("cases", "adds", "splats") if entry.get(key)]
    if bool(shown) == ("nothing" in entry):
        raise Failed(f"{FILE}: {name}: it has " + (f"{shown[0]} and " if shown else "neither cases, adds, "
                     "splats nor ") + "nothing; a patch has some of these, or nothing = \"why\"")
    if own := next((c for key in ("cases", "adds") for c in entry.get(key, []) if OWN in c), None):
        raise Failed(f"{FILE}: {name}: {own!r}: only drops may name the step's own selftests "
                     f"({OWN}); the last step's run on every step")
    try:
        splats = [re.compile(text) for text in entry.get("splats", [])]
    except re.error as error:
        raise Failed(f"{FILE}: {name}: splats: {error.pattern!r}: {error}") from None
    if wide := next((s.pattern for s in splats if s.search("")), None):
        raise Failed(f"{FILE}: {name}: splats: {wide!r} matches every line")
    return Proof(by_slug[name], entry.get("cases", []), entry.get("adds", []),
                 entry.get("drops", []), splats, entry.get("nothing", ""),
                 entry.get("built", ""))


def read(top: pathlib.Path, series: Series) -> list[Proof]:
    """The proofs of a series in its order; Failed for one that is wrong, that is of no
    patch, or of a patch with another, and for a patch with none."""
    by_slug = {slug(p): p for p in series.patches}
    proofs = [_read(entry, by_slug) for entry in _tables(top)]
    names = [slug(p.patch) for p in proofs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Failed(f"{FILE}: {twice[0]} is listed twice")
    if unproven := set(by_slug) - set(names):
        raise Failed(f"{FILE}: no table for {', '.join(sorted(unproven))}; name the cases "
                     "that pass from the patch on, or say nothing = \"why\"")
    return sorted(proofs, key=lambda p: p.patch.step)
