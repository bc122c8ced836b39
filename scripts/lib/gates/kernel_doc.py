# SPDX-License-Identifier: GPL-2.0
"""Gate kernel-doc: no new warning of scripts/kernel-doc in a touched file."""

import pathlib
import re
import tempfile
from collections.abc import Sequence
from typing import Any

from ..command import CannotJudge, complete
from .gate import Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


class KernelDoc(Gate):
    name = "kernel-doc"
    code = ("gates/kernel_doc.py",)

    def idle(self, step: Step) -> str:
        return "" if step.present((".c", ".h")) else "touches no C file"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"trees": step.trees, "python": tools.version(tools.program("python3", "python3"))}

    def judge(self, step: Step, tools: Tools) -> Answer:
        script = tools.tree(step.after) / "scripts/kernel-doc"
        if not script.exists():
            return skip("the tree has no scripts/kernel-doc")
        files = step.present((".c", ".h"))
        before, after = (self._warnings(step, commit, files, script)
                         for commit in (step.before, step.after))
        return judged(sorted(after - before), "new")

    def _warnings(self, step: Step, commit: str, files: Sequence[str],
                  script: pathlib.Path) -> set[str]:
        """The warnings, without line numbers, of the files as they are at a commit."""
        with tempfile.TemporaryDirectory() as scratch:
            here = []
            for name in files:
                text = step.content(commit, name)
                if text is not None:
                    path = pathlib.Path(scratch) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8", errors="surrogateescape")
                    here.append(name)
            if not here:
                return set()
            # The worktree must stay as git made it: no __pycache__.
            done = complete([script, "-none", "-Wall", *here], timeout=self.seconds, cwd=scratch,
                            env={"PYTHONDONTWRITEBYTECODE": "1"})
        if done.returncode != 0:  # warnings alone end it with 0
            raise CannotJudge(f"kernel-doc ended with {done.returncode}: "
                              f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}\n{done.stderr}")
        return {re.sub(r":\d+:?", ":", line) for line in done.stderr.splitlines()
                if re.match(r"(?:Warning|Error|\S+:\d+: (?:warning|error))", line)}
