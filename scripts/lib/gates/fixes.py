# SPDX-License-Identifier: GPL-2.0
"""Gate fixes: what a patch says of the fault that it mends.

Fixes: has twelve digits and the quoted subject; where LINUX= has history, the commit is there,
has that subject and touches a file that the patch touches, unless a line `# fixes: WHY` above the
patch in series says why not. A candidate for stable without Fixes: names the first release with
the fault.
"""

import re
from collections.abc import Iterator
from typing import Any

from .. import candidate, message
from ..store import digest
from ..verdict import Verdict
from .gate import Answer, Gate, judged
from .step import Step
from .tools import Tools

_FORM = re.compile(r'([0-9a-f]{12}) \("(.+)"\)')


def _values(text: str) -> list[str]:
    """The values of the Fixes: of a patch."""
    return [value for name, value in message.trailers(message.body(text)) if name.lower() == "fixes"]


class Fixes(Gate):
    name = "fixes"
    code = ("gates/fixes.py", "candidate.py", "message.py")

    def idle(self, step: Step) -> str:
        return "" if _values(step.patch.text) or self._since(step) is not None else "names no fault"

    @staticmethod
    def _since(step: Step) -> candidate.Since | None:
        return candidate.since(step.patch.text.partition("\n---\n")[0])

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        named = [m[1] for m in map(_FORM.fullmatch, _values(step.patch.text)) if m]
        history = tools.history
        found = [] if history.missing else [[history.subject(c), history.files(c)] for c in named]
        return {"patch": digest(step.patch.text), "why": step.patch.note("fixes"),
                "history": history.missing, "commits": found}

    def judge(self, step: Step, tools: Tools) -> Answer:
        found = [line for value in _values(step.patch.text) for line in self._about(value, step, tools)]
        if not _values(step.patch.text) and self._since(step) == ():
            found.append("a candidate for stable that names neither the commit with the fault (Fixes:) nor "
                         "the first release that has it (Cc: stable@vger.kernel.org # 6.1+)")
        answer = judged(found, "Fixes")
        if answer.verdict is Verdict.PASS and tools.history.missing and _values(step.patch.text):
            return Answer(Verdict.PASS, f"judged by its form only; {tools.history.missing}")
        return answer

    @staticmethod
    def _about(value: str, step: Step, tools: Tools) -> Iterator[str]:
        """What is wrong with one Fixes:."""
        match = _FORM.fullmatch(value)
        if not match:
            yield f"{value!r} is not twelve hex digits and the quoted subject in parentheses"
            return
        if tools.history.missing:
            return
        found = tools.history.subject(match[1])
        if found is None:
            yield f"{match[1]} is no commit of the history"
        elif found != match[2]:
            yield f"{match[1]} is {found!r}, not {match[2]!r}"
        elif not step.patch.note("fixes") and not set(tools.history.files(match[1])) & set(step.files):
            yield (f"{match[1]} ({found!r}) touches none of the files that the patch touches; if it is "
                   "right all the same, say why above the patch in series: # fixes: WHY")
