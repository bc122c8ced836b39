# SPDX-License-Identifier: GPL-2.0
"""Gate message: the commit message."""

import re
from typing import Any

from .. import message
from ..store import digest
from ..verdict import Verdict
from .gate import Answer, Gate, judged
from .step import Step
from .tools import Tools


class Message(Gate):
    name = "message"
    code = ("gates/message.py", "message.py")

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        found = re.findall(r"(?m)^Fixes: ([0-9a-f]+)", step.patch.text)
        return {"patch": digest(step.patch.text), "history": tools.history.missing,
                "fixes": [] if tools.history.missing else [tools.history.subject(c) for c in found]}

    def judge(self, step: Step, tools: Tools) -> Answer:
        unknown = tools.history.missing
        answer = judged(message.problems(step.patch.text, None if unknown else tools.history.subject),
                        "the message")
        if answer.verdict is Verdict.PASS and unknown and "\nFixes:" in step.patch.text:
            return Answer(Verdict.PASS, f"Fixes: judged by its form only; {unknown}")
        return answer
