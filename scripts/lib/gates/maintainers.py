# SPDX-License-Identifier: GPL-2.0
"""Gate maintainers: each new file lies in a section of MAINTAINERS."""

from typing import Any

from ..command import CannotJudge, complete
from .gate import Answer, Gate, judged, skip
from .step import Step
from .tools import Tools


class Maintainers(Gate):
    name = "maintainers"
    code = ("gates/maintainers.py",)

    def idle(self, step: Step) -> str:
        return "" if step.new() else "adds no file"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"trees": step.trees, "perl": tools.version(tools.program("perl", "perl"))}

    def judge(self, step: Step, tools: Tools) -> Answer:
        tree = tools.tree(step.after)
        script = tree / "scripts/get_maintainer.pl"
        if not script.exists():
            return skip("the tree has no scripts/get_maintainer.pl")
        bad = []
        for name in step.new():
            done = complete([script, "--sections", "--no-git", "--no-git-fallback", "-f", name],
                            timeout=self.seconds, cwd=tree)
            if done.returncode != 0:
                raise CannotJudge(f"get_maintainer.pl ended with {done.returncode}: "
                                  f"{done.stderr.strip()[-500:] or 'no message'}")
            titles = {section.split("\n")[0] for section in done.stdout.strip().split("\n\n")}
            if not titles - {"THE REST", ""}:
                bad.append(f"{name} lies in no section of MAINTAINERS")
        return judged(bad, "MAINTAINERS")
