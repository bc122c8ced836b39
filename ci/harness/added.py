# SPDX-License-Identifier: GPL-2.0
"""What a step's build says that the step before did not: the gates w1, sparse and diagnostics."""

from collections.abc import Callable

from lib.command import CannotJudge, Missing
from lib.kernel import diagnostics
from lib.kernel.build import Builder
from lib.kernel.record import Said
from lib.verdict import Judgement, Verdict

# w1: the compiler, with W=1; diagnostics: modpost, objtool and the linker.
GATES = ("w1", "sparse", "diagnostics")


def _count(gate: str, said: Said) -> int:
    if gate == "sparse":
        return sum(sum(lines.values()) for lines in said["sparse"].values())
    return sum(diagnostics.flat(gate, said).values())


def judge(builder: Builder, step: int, before: Said | None, after: Said, log: str,
          no_sparse: CannotJudge | None, earlier: int, again: Callable[..., str]) -> list[Judgement]:
    """The judgements of a step that was built.

    before, after: what Diagnostics.end() gave, before None where there is nothing to compare
    with; log: of the build; earlier: the step of `before`; no_sparse: why there is no sparse for a
    lane whose sources it is to read; again: the command that judges steps of the lane anew. There
    is no judgement of sparse in a lane whose sources it is not to read.
    """
    name = builder.lane.name
    found: list[Judgement] = []
    for gate in GATES:
        if gate == "diagnostics" and builder.lane.builds == "objects":
            continue
        if gate == "sparse" and not builder.checker:
            if no_sparse and step:
                missing = isinstance(no_sparse, Missing)
                found.append(Judgement(step, name, gate, Verdict.SKIP if missing else Verdict.LOST,
                                       str(no_sparse).splitlines()[0], log, again(step), avoidable=missing))
        elif step == 0:
            found.append(Judgement(step, name, gate, Verdict.SKIP, f"the base adds nothing; it has "
                                   f"{_count(gate, after)}", log, again(step)))
        elif before is None:
            found.append(Judgement(step, name, gate, Verdict.SKIP, "the step before was not built, "
                                   "nothing to compare with", log, again(step)))
        else:
            more = diagnostics.added(gate, before, after)
            found.append(Judgement(step, name, gate, Verdict.FAIL if more else Verdict.PASS,
                                   f"new: {'; '.join(more)}" if more else "", log, again(earlier, step)))
    return found
