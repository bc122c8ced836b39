# SPDX-License-Identifier: GPL-2.0
"""Gates w1 and sparse: no new warning of the compiler, or of sparse, in any object."""

import re
from typing import Any

from .. import objects
from ..command import CannotJudge, Missing
from ..lane import Lane
from ..store import digest
from ..verdict import Verdict
from .gate import PASS, Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


class Compiled(Gate):
    """kind: whose words are compared, "cc" or "sparse"."""

    round = 1
    code = ("gates/compiled.py", "objects.py", "diagnose")

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind

    def idle(self, step: Step) -> str:
        if objects.sources(step.files) or any(re.search(r"(^|/)(Makefile|Kbuild|Kconfig)", f)
                                              for f in step.files):
            return ""
        return "touches nothing that the kernel is built from"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        checker = {"sparse": tools.version(str(tools.sparse()))} if self.kind == "sparse" else {}
        return {**checker, "trees": step.trees, "directories": objects.directories(step.everything),
                "lanes": [self._lane(lane, tools) for lane in tools.lanes]}

    @staticmethod
    def _lane(lane: Lane, tools: Tools) -> list[str]:
        compiler = objects.compiler(lane)
        return [lane.name, lane.arch, lane.cross, lane.config, digest(lane.fragment),
                tools.version(compiler) if compiler else ""]

    def judge(self, step: Step, tools: Tools) -> Answer:
        if not objects.directories(step.everything):
            return skip("the series touches no directory with objects")
        left = [f for f in objects.sources(step.files) if f.endswith(".c")
                and step.content(step.after, f) is not None]
        lines: list[str] = []
        missing: list[str] = []
        used = 0
        for lane in tools.lanes:
            if used and not left:
                break
            try:
                before, after = self._states(lane, step, tools)
            except Missing as error:
                missing.append(str(error))
                continue
            if after.broken:
                already = "; it does not build before the patch either" if before.broken else ""
                return Answer(Verdict.FAIL, f"does not build in lane {lane.name}{already}: "
                              f"{after.broken.splitlines()[0]}", after.broken)
            used += 1
            lines += [f"[{lane.name}] {x}"
                      for x in objects.added(before.said[self.kind], after.said[self.kind])]
            left = [f for f in left if f not in after.sources]
        if lines:
            return judged(lines, "new")
        if missing and (left or not used):
            raise Missing("; ".join(missing) + (f"; not built: {', '.join(left)}" if left else ""))
        if left:
            names = ", ".join(lane.name for lane in tools.lanes)
            return skip(f"not built in any lane ({names}): {', '.join(left)}")
        return PASS if used else skip("no lane in ci/lanes")

    @staticmethod
    def _states(lane: Lane, step: Step, tools: Tools) -> tuple[objects.State, objects.State]:
        built = tools.objects(lane, step.everything)
        before, after = built.build(step.before), built.build(step.after)
        if not before.configured:
            raise CannotJudge(f"lane {lane.name} cannot be configured before the patch: {before.broken}")
        return before, after
