# SPDX-License-Identifier: GPL-2.0
"""The answer of ci/bisect for people."""

from lib.series import Series

from .bisection import Steps
from .cell import again


def text(steps: Steps, before: int, after: int, found: Series) -> str:
    """What was judged, and the first step on which the target changes.

    before, after: as Steps.search() gives them.
    """
    answers, target = steps.answers, steps.target
    lines = [f"{target}: {steps.story()}" + ("" if not all(a.cached for a in answers.values())
                                             else "; the store had them all")]
    which = f"one of {before + 1}..{after}: those before {after} could not be judged" \
        if after - before > 1 else after
    lines.append(f"first step on which {target} {'passes' if answers[after].good else 'fails'}: {which}")
    for step in range(before + 1, after + 1):
        one = answers[step]
        lines.append(f"      patch: {found.patches[step - 1].name}")
        said = one.reason if step == after else f"{one.word}: {one.reason}"
        lines += [f"      {word}: {told}" for word, told in (("says", said), ("log", one.log)) if told]
    lines.append("      again: " + again(target.lane, before, after, boot=target.boot))
    return "\n".join(lines) + "\n"
