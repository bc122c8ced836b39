# SPDX-License-Identifier: GPL-2.0
"""Gate stable: a candidate for the stable trees applies alone on the base.

A candidate has a line `Cc: stable@vger.kernel.org`, or a line `# stable: 6.1+` above it in series.
It may need earlier patches that go to the same stable trees by their own lines, since these are
applied in order.
"""

import re
from typing import Any

from .. import alone, release
from ..plumbing import git
from ..store import digest
from ..verdict import Verdict
from .gate import PASS, Answer, Gate
from .step import Step
from .tools import Tools

_CC = re.compile(r"(?im)^Cc:.*\bstable@(?:vger\.)?kernel\.org>?(.*)$")

# The first release with the fault; none where all have it.
Since = tuple[int, ...]


def _since(text: str) -> Since:
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else ()


def candidate(message: str, note: str | None = None) -> Since | None:
    """From which release on a patch is a candidate: () for all; None where it is none.

    message: with the trailers; note: the value of its `# stable:` in series.
    """
    if note is not None:
        return _since(note)
    match = _CC.search(message)
    return _since(match.group(1)) if match else None


class Stable(Gate):
    name = "stable"
    code = ("gates/stable.py", "alone.py")

    def idle(self, step: Step) -> str:
        return "is no candidate for stable" if self._since(step) is None else ""

    @staticmethod
    def _since(step: Step) -> Since | None:
        return candidate(step.patch.text.partition("\n---\n")[0], step.patch.note("stable"))

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        below = git(release.linux(), "log", "--format=%T%n%B", f"{release.base()}..{step.before}")
        return {"patch": digest(step.patch.text), "since": self._since(step), "below": digest(below),
                "base": git(release.linux(), "rev-parse", f"{release.BASE}^{{tree}}"),
                "git": tools.version("git")}

    def judge(self, step: Step, tools: Tools) -> Answer:
        where = release.linux()
        commits, why = alone.needed(where, (release.base(), step.before), step.patch.text, step.files)
        if not commits:
            return PASS
        messages = [git(where, "log", "-1", "--format=%B", commit) for commit in commits]
        named = [message.partition("\n")[0] for message in messages]
        if all(self._goes_along(message, step) for message in messages):
            return Answer(Verdict.PASS, f"applies behind candidates before it: {'; '.join(named)}")
        return Answer(Verdict.FAIL, f"does not apply alone on the base; it needs: {'; '.join(named)}",
                      "\n".join(["it needs:", *(f"  {name}" for name in named), "alone:", why]))

    def _goes_along(self, message: str, step: Step) -> bool:
        """Whether the patch of a message goes to every tree that this one goes to."""
        theirs, ours = candidate(message), self._since(step)
        return theirs is not None and ours is not None and theirs <= ours
