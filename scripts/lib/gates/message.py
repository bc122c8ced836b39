# SPDX-License-Identifier: GPL-2.0
"""Gate message: the commit message."""

from typing import Any

from .. import message
from ..store import digest
from .gate import Answer, Gate, judged
from .step import Step
from .tools import Tools


class Message(Gate):
    name = "message"
    code = ("gates/message.py", "candidate.py", "message.py")

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"patch": digest(step.patch.text)}

    def judge(self, step: Step, tools: Tools) -> Answer:
        return judged(message.problems(step.patch.text), "the message")
