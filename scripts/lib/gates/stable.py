# SPDX-License-Identifier: GPL-2.0
"""Gate stable: a candidate for the stable trees applies alone on the base.

A candidate may need earlier patches that go to the same stable trees by their own lines, since these are
applied in order.
"""

from typing import Any

from .. import alone, candidate, release
from ..plumbing import git
from ..store import digest
from ..verdict import Verdict
from .gate import PASS, Answer, Gate
from .step import Step
from .tools import Tools


class Stable(Gate):
    name = "stable"
    code = ("gates/stable.py", "alone.py", "candidate.py")

    def idle(self, step: Step) -> str:
        return "is no candidate for stable" if self._since(step) is None else ""

    @staticmethod
    def _since(step: Step) -> candidate.Since | None:
        return candidate.since(step.patch.text.partition("\n---\n")[0], step.patch.note("stable"))

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
        theirs, ours = candidate.since(message), self._since(step)
        return theirs is not None and ours is not None and theirs <= ours
