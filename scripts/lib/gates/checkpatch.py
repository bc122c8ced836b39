# SPDX-License-Identifier: GPL-2.0
"""Gate checkpatch: scripts/checkpatch.pl --strict --codespell of the patch's own tree."""

import pathlib
import re
import tempfile
from typing import Any

from .. import environment, export, message, release
from ..command import CannotJudge, Missing, complete
from ..plumbing import succeeds
from ..store import digest, hash_file
from ..verdict import Verdict
from .gate import PASS, Answer, Gate, skip
from .step import Step
from .tools import Tools

# FILE_PATH_CHANGES asks to look at MAINTAINERS for every new file, whether or not an
# entry covers it: the gate `maintainers` looks.
_IGNORED = ["FILE_PATH_CHANGES"]
# Without history it calls every commit of a Fixes: unknown; the gate `message` looks at their form.
_NEEDS_HISTORY = ["UNKNOWN_COMMIT_ID"]


def _signed(text: str) -> str:
    """The patch with a sign-off of its author's: who submits it will sign it."""
    author = (export.author(text) or ["nobody <nobody@localhost>"])[0]
    gap = "" if message.trailers(message.body(text)) else "\n"
    head, _, rest = text.partition("\n---\n")
    return f"{head}{gap}\nSigned-off-by: {author}\n---\n{rest}"


def _called(word: str, commit: str) -> bool:
    """Whether a header of the kernel has a function or a macro of that name."""
    return succeeds(release.linux(), "grep", "-qiE", rf"(^|[^[:alnum:]_]){re.escape(word)} ?\(", commit,
                    "--", "include")


def _misspellings(dictionary: pathlib.Path, text: str, commit: str) -> str:
    """The entries of codespell's dictionary that checkpatch can find in a patch.

    All of them, in one regular expression, take minutes for a long patch. The names of the
    kernel's functions, such as iput, are not misspelled; what a line has that the patch removes,
    it only moves.
    """
    removed = "\n".join(re.findall(r"(?m)^-(?!-- ).*", text)).lower()
    words = set(re.findall(r"[\w'`-]+", text.lower()))
    kept = []
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word = line.partition("->")[0].lower()
        if re.search(r"[^\w'`-]", word) or (
                word in words and not re.search(rf"\b{re.escape(word)}\b", removed)
                and not _called(word, commit)):
            kept.append(f"{line}\n")
    return "".join(kept)


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
        directory = environment.NOWHERE if tools.history.missing else str(tools.history.git_directory())
        ignored = _IGNORED + (_NEEDS_HISTORY if tools.history.missing else [])
        with tempfile.NamedTemporaryFile("w", suffix=".patch", encoding="utf-8",
                                         errors="surrogateescape") as stream, \
                tempfile.NamedTemporaryFile("w", encoding="utf-8") as typos:
            if tools.dictionary:
                typos.write(_misspellings(tools.dictionary, step.patch.text, step.after))
                typos.flush()
            stream.write(_signed(step.patch.text))
            stream.flush()
            done = complete([script, "--strict", "--no-color", "--show-types", "--no-summary",
                             "--ignore", ",".join(ignored), "--codespell", "--codespellfile", typos.name,
                             stream.name], timeout=self.seconds, cwd=tree,
                            env={"GIT_DIR": directory})
            text = done.stdout.replace(stream.name, f"patches/{step.patch.name}")
        types = re.findall(r"(?m)^(?:ERROR|WARNING|CHECK):\w+:.*$", text)
        if types:
            return Answer(Verdict.FAIL, f"{len(types)} remarks, the first: {types[0]}", text)
        if done.returncode != 0:
            raise CannotJudge(f"checkpatch.pl ended with {done.returncode} and no remark\n"
                              f"{text}{done.stderr}".rstrip())
        if not tools.dictionary:
            raise Missing("no dictionary of codespell (package codespell); no other remark")
        return PASS
