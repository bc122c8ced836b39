# SPDX-License-Identifier: GPL-2.0
"""Gates w1 and sparse: no new warning of the compiler, or of sparse, in any object.

ci/run judges them by the builds of its lanes. Here the same builder makes the same objects in
the same directories, but only those that the series touches.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import cache, clone, proofs
from ..command import CannotJudge, Missing
from ..kernel import diagnostics, sources, unbuilt
from ..kernel.record import Objects
from ..lane import Lane
from ..series import slug
from ..store import digest
from ..verdict import Verdict
from .gate import PASS, Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


@contextlib.contextmanager
def _lanes() -> Iterator[None]:
    """Hold the lanes, as ci/run does: their objects are made by one run at a time."""
    with cache.lock("run", inherited=False):
        yield


class Compiled(Gate):
    """name: of the gate, and of what is compared; lanes: whether it builds in the lanes."""

    round = 1
    code = ("gates/compiled.py", "kernel/build.py", "kernel/compiler", "kernel/diagnostics.py",
            "kernel/kconfig.py", "kernel/sources.py", "kernel/unbuilt.py")

    def __init__(self, name: str) -> None:
        self.name = name

    def idle(self, step: Step) -> str:
        return "" if sources.built_from(step.files) else "touches nothing that the kernel is built from"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        checker = {"sparse": tools.version(str(tools.sparse()))} if self.name == "sparse" else {}
        return {**checker, "trees": step.trees, "directories": sources.directories(step.everything),
                "elsewhere": self._elsewhere(step),
                "lanes": [self._lane(lane, step, tools) for lane in tools.lanes]}

    @staticmethod
    def _elsewhere(step: Step) -> str:
        return proofs.elsewhere(clone.TOP).get(slug(step.patch), "")

    @staticmethod
    def _lane(lane: Lane, step: Step, tools: Tools) -> list[Any]:
        try:
            toolchain = tools.builder(lane, step.everything).toolchain
        except Missing:
            toolchain = ""
        return [lane.name, lane.arch, lane.cross, lane.llvm, lane.config, digest(lane.fragment), lane.targets,
                [digest(p.read_text()) for p in lane.test_patches], toolchain]

    def judge(self, step: Step, tools: Tools) -> Answer:
        if not sources.directories(step.everything):
            return skip("the series touches no directory with objects")
        left = unbuilt.touched(step.patch, step.after)
        lines: list[str] = []
        missing: list[str] = []
        used = 0
        for lane in tools.lanes:
            if used and not left:
                break
            try:
                before, after = self._records(lane, step, tools)
            except Missing as error:
                missing.append(str(error))
                continue
            if not after["ok"]:
                already = "" if before["ok"] else "; it does not build before the patch either"
                return Answer(Verdict.FAIL, f"does not build in lane {lane.name}{already}: "
                              f"{after['reason']}", after["reason"])
            used += 1
            if self.name == "w1" or lane.builds == "image":
                lines += [f"[{lane.name}] {x}" for x in self._new(before, after)]
            left = [f for f in left if f not in after["sources"]]
        if lines:
            return judged(lines, "new")
        if missing and (left or not used):
            raise Missing("; ".join(missing) + (f"; not built: {', '.join(left)}" if left else ""))
        if left:
            return Answer(*unbuilt.judge(left, left, (), self._elsewhere(step)))
        return PASS if used else skip("no lane in ci/lanes")

    def _new(self, before: Objects, after: Objects) -> list[str]:
        said, says = before["diagnostics"], after["diagnostics"]
        if not said:
            raise CannotJudge(f"what to compare with does not build: {before['reason']}")
        return diagnostics.added(self.name, said, says)

    @staticmethod
    def _records(lane: Lane, step: Step, tools: Tools) -> tuple[Objects, Objects]:
        builder = tools.builder(lane, step.everything)
        touched = sources.directories(step.files)
        with _lanes():
            before, after = (builder.judged(tools.commit(lane, commit), touched)
                             for commit in (step.before, step.after))
        for record in (before, after):
            if record["lost"]:
                raise CannotJudge(f"lane {lane.name}: the build was ended from outside: {record['reason']}")
        if not before["configured"]:
            raise CannotJudge(f"lane {lane.name} cannot be configured before the patch: {before['reason']}; "
                              f"see {builder.log}")
        return before, after
