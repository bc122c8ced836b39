# SPDX-License-Identifier: GPL-2.0
"""Gate checkpatch: scripts/checkpatch.pl --strict --codespell of the patch's own tree."""

import re
import tempfile
from typing import Any

from .. import export, message
from ..command import CannotJudge, Missing, complete
from ..store import digest, hash_file
from ..verdict import Verdict
from .gate import PASS, Answer, Gate, skip
from .step import Step
from .tools import Tools

# FILE_PATH_CHANGES asks to look at MAINTAINERS for every new file, whether or not an
# entry covers it: the gate `maintainers` looks.
_IGNORED = "FILE_PATH_CHANGES"


def _signed(text: str) -> str:
    """The patch with a sign-off of its author's: who submits it will sign it."""
    author = (export.author(text) or ["nobody <nobody@localhost>"])[0]
    gap = "" if message.trailers(message.body(text)) else "\n"
    head, _, rest = text.partition("\n---\n")
    return f"{head}{gap}\nSigned-off-by: {author}\n---\n{rest}"


_TYPO = re.compile(r"WARNING:TYPO_SPELLING: '([^']+)' may be misspelled")


def excused(remark: str, text: str) -> bool:
    """Whether a remark is of a misspelling that is not the patch's.

    remark: a line of checkpatch; text: of the patch. The patch moves the word, which a line that
    it removes has too, or the word is the name of a function, as iput().
    """
    if not (found := _TYPO.match(remark)):
        return False
    word = re.escape(found[1])
    return re.search(rf"(?m)^-(?!-- ).*\b{word}\b", text) is not None or \
        re.search(rf"(?m)^\+.*\b{word}\(", text) is not None


class Checkpatch(Gate):
    name = "checkpatch"
    code = ("gates/checkpatch.py", "message.py")

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"patch": digest(step.patch.text), "trees": step.trees,
                "perl": tools.version(tools.program("perl", "perl")), "history": tools.history.head(),
                "spelling": hash_file(tools.dictionary) if tools.dictionary else ""}

    def judge(self, step: Step, tools: Tools) -> Answer:
        tree = tools.tree(step.after)
        script = tree / "scripts/checkpatch.pl"
        if not script.exists():
            return skip("the tree has no scripts/checkpatch.pl")
        # Without history checkpatch takes each Fixes: for a mistake; GIT_DIR tells it of none.
        directory = "/nonexistent" if tools.history.missing else str(tools.history.git_directory())
        spelling = ["--codespell", "--codespellfile", tools.dictionary] if tools.dictionary else []
        with tempfile.NamedTemporaryFile("w", suffix=".patch", encoding="utf-8",
                                         errors="surrogateescape") as stream:
            stream.write(_signed(step.patch.text))
            stream.flush()
            done = complete([script, "--strict", "--no-color", "--show-types", "--no-summary",
                             "--ignore", _IGNORED, *spelling, stream.name], timeout=self.seconds, cwd=tree,
                            env={"GIT_DIR": directory})
            text = done.stdout.replace(stream.name, f"patches/{step.patch.name}")
        found = re.findall(r"(?m)^(?:ERROR|WARNING|CHECK):\w+:.*$", text)
        types = [remark for remark in found if not excused(remark, step.patch.text)]
        if types:
            return Answer(Verdict.FAIL, f"{len(types)} remarks, the first: {types[0]}", text)
        if done.returncode != 0 and not found:
            raise CannotJudge(f"checkpatch.pl ended with {done.returncode} and no remark\n"
                              f"{text}{done.stderr}".rstrip())
        if not spelling:
            raise Missing("no dictionary of codespell (package codespell); no other remark")
        return PASS
