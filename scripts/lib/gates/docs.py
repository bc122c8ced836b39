# SPDX-License-Identifier: GPL-2.0
"""Gate docs: no new warning of Sphinx for a page of Documentation/ that the patch touches, that
includes a touched file or holds its kernel-doc."""

import functools
import re
from collections import Counter
from typing import Any

from .. import documentation, release
from ..command import CannotJudge
from ..documentation import Pages, is_page
from ..plumbing import succeeds
from ..verdict import Verdict
from .gate import Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


def _read(step: Step, commit: str, path: str) -> str | None:
    """The text of a file at a commit; label:NAME is there where any page has that label."""
    kind, _, label = path.partition("label:")
    if kind or not label:
        return step.content(commit, path)
    there = succeeds(release.linux(), "grep", "-qiE", rf"^\s*\.\. _`?{re.escape(label)}`?:", commit,
                     "--", f"{documentation.TOP}/*.rst")
    return label if there else None


class Docs(Gate):
    name = "docs"
    round = 1
    code = ("gates/docs.py", "documentation.py")

    def idle(self, step: Step) -> str:
        if any(f.startswith(f"{documentation.TOP}/") or f.endswith((".c", ".h")) for f in step.files):
            return ""
        return "touches no page and no C file"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"trees": step.trees,
                "sphinx": tools.version(tools.program("sphinx-build", "python3-sphinx"))}

    def judge(self, step: Step, tools: Tools) -> Answer:
        pages = self._pages(step, tools)
        if not pages:
            return Answer(Verdict.PASS, "no page of Documentation holds what it touches")
        if not (tools.tree(step.after) / documentation.TOP / "conf.py").exists():
            return skip("the tree has no Documentation/conf.py")
        old = self._warnings(step, step.before, pages, tools)
        try:
            new = self._warnings(step, step.after, pages, tools)
        except CannotJudge as error:
            if str(error).startswith("sphinx-build ended"):  # with the pages of before it did not
                return Answer(Verdict.FAIL, str(error).splitlines()[0], str(error))
            raise
        return judged(sorted((new - old).elements()), "new")

    def _warnings(self, step: Step, commit: str, pages: Pages, tools: Tools) -> Counter[str]:
        return documentation.build(tools.program("sphinx-build", "python3-sphinx"), tools.tree(commit),
                                   pages, functools.partial(_read, step, commit), self.seconds)

    @staticmethod
    def _pages(step: Step, tools: Tools) -> Pages:
        """What of the documentation can change with the patch."""
        read = functools.partial(_read, step, step.after)
        own = {f for f in step.files if is_page(f)}
        held = tools.directives.including(step.files, [f for f in step.everything if is_page(f)], read)
        moved = [f for f in own if (step.content(step.before, f) is None) != (read(f) is None)]
        near = documentation.naming(step.after, moved)
        return Pages(frozenset(own | near | held.whole), held.parts)
