# SPDX-License-Identifier: GPL-2.0
"""Sources that a patch touches and no lane builds."""

from collections.abc import Collection, Sequence

from .. import series
from ..proofs import FILE
from ..verdict import Verdict
from . import sources


def touched(patch: series.Patch, commit: str) -> list[str]:
    """The C sources of the kernel that a patch touches, of those that a commit has."""
    names = sources.compiled(series.paths(patch.text))
    return sources.there(commit, [name for name in names if name.endswith(".c")])


def judge(left: Sequence[str], present: Sequence[str], unjudged: Collection[str], elsewhere: str,
          ) -> tuple[Verdict, str]:
    """The verdict on a patch, and the reason.

    left: those of the sources that are `present` which no lane built; unjudged: the lanes that should
    have built them and could not; elsewhere: where they were built, as its proof says, or "".
    """
    names = ", ".join(left)
    if left and elsewhere:
        return Verdict.SKIP, f"{names}: {elsewhere}"
    if left and unjudged:
        return Verdict.SKIP, f"{names}: {', '.join(sorted(unjudged))} could not be built"
    if left:
        return Verdict.FAIL, (f"built in no lane: {names}; add it to a lane's configuration, or say in "
                              f"{FILE} where it was built, as built = \"...\"")
    if elsewhere:
        return Verdict.FAIL, f"its sources are built in a lane: delete built = in {FILE}"
    return Verdict.PASS, "" if present else "touches no source of the kernel"
