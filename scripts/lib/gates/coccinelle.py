# SPDX-License-Identifier: GPL-2.0
"""Gate coccinelle: no new report of the kernel's semantic patches for a touched C file."""

import collections
from typing import Any

from .. import release
from ..command import CannotJudge, Missing
from ..store import digest
from .gate import PASS, Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


class Coccinelle(Gate):
    name = "coccinelle"
    round = 2
    code = ("gates/coccinelle.py", "spatch.py")

    def idle(self, step: Step) -> str:
        return "" if step.present((".c",)) else "touches no C file"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        files = {name: [digest(step.content(c, name)) for c in (step.before, step.after)]
                 for name in step.present((".c",))}
        return {"base": release.base(), "files": files, "tools": tools.spatch.tools()}

    def judge(self, step: Step, tools: Tools) -> Answer:
        scripts = tools.spatch.scripts
        if not scripts:
            return skip("the tree has no scripts/coccinelle")
        reports = tools.reports
        lines: list[str] = []
        for name in step.present((".c",)):
            old, new = (step.content(commit, name) for commit in (step.before, step.after))
            assert new is not None
            before = collections.Counter() if old is None else reports.lines[(name, old)]
            lines += [x for x, count in reports.lines[(name, new)].items() if count > before[x]]
        if lines:
            return judged(sorted(lines), "new")
        for error, reasons in (CannotJudge, reports.failed), (Missing, reports.unusable):
            if reasons:
                names = "; ".join(f"{name}: {why}" for name, why in sorted(reasons.items()))
                raise error(f"{len(reasons)} of {len(scripts)} scripts could not judge ({names}); "
                            "the others report nothing new")
        return PASS
