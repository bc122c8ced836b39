# SPDX-License-Identifier: GPL-2.0
"""Gate uapi: programs that use a touched header for user space still build and still work.

Each header that the patch can change compiles on its own, as CONFIG_UAPI_HEADER_TEST has it, in
C and C++, and scripts/check-uapi.sh finds no change of what was there before.
"""

import re
from typing import Any

from .. import uapi
from ..command import CannotJudge
from ..verdict import Verdict
from .gate import PASS, Answer, Gate, skip
from .step import Step
from .tools import Tools


class Uapi(Gate):
    name = "uapi"
    round = 1
    code = ("gates/uapi.py", "uapi.py")

    def idle(self, step: Step) -> str:
        return "" if any("include/uapi/" in f for f in step.files) else "touches no header for user space"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        programs = {"abidiff": "abigail-tools", "gcc": "gcc", "g++": "g++", "make": "make", "perl": "perl",
                    "rsync": "rsync"}
        return {"trees": step.trees, "programs": [tools.version(tools.program(name, package))
                                                  for name, package in programs.items()]}

    def judge(self, step: Step, tools: Tools) -> Answer:
        if not any(map(uapi.name, step.files)):
            return skip(f"only the headers of {uapi.ARCH} can be judged")
        with uapi.Pair(step.before, step.after, step.files) as pair:
            if wrong := pair.alone(1, self.seconds):
                if pair.alone(0, self.seconds):
                    raise CannotJudge(f"the headers do not compile before the patch either\n{wrong}")
                first = next((line for line in wrong.splitlines() if "error" in line), wrong.splitlines()[0])
                return Answer(Verdict.FAIL, f"a header does not compile on its own: {first}", wrong)
            if not (pair.directory / "scripts/check-uapi.sh").exists():
                return skip("the tree has no scripts/check-uapi.sh; each header compiles on its own")
            done = pair.compatible(self.seconds)
            if "Could not compile version" in done.stderr and pair.alone(0, self.seconds):
                return skip("each header compiles on its own, which it did not before: "
                            "check-uapi.sh cannot compare")
        said = (done.stdout + done.stderr).replace(f"{pair.directory}/", "").strip()
        if done.returncode == 0:
            return PASS
        if match := re.search(r"abidiff version too old: (\S+)(?s:.*?version (\S+) or greater)?", said):
            return skip("each header compiles on its own; check-uapi.sh needs abidiff "
                        f"{match[2]}, this is {match[1]}")
        if "appear _not_ to be backwards compatible" not in said:
            last = (said.splitlines() or [""])[-1]
            raise CannotJudge(f"check-uapi.sh ended with {done.returncode}: {last}\n{said}")
        lines = said.splitlines()
        first = next((x.strip("= ") for x in lines if x.startswith("====")), lines[-1])
        return Answer(Verdict.FAIL, first, said)
