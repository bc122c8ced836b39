# SPDX-License-Identifier: GPL-2.0
"""Gate gitignore: git ignores each program that the Makefile of touched selftests builds."""

import pathlib
import re
import tempfile
from typing import Any

from .. import release
from ..command import CannotJudge, complete
from ..plumbing import git, result, succeeds
from .gate import Answer, Gate, judged
from .step import Step
from .tools import Tools

TOP = "tools/testing/selftests"
_TOUCHED = re.compile(rf"{TOP}/(.+)/(?:Makefile|\.gitignore|[^/]+\.mk)$")
_BUILT = ("TEST_GEN_PROGS", "TEST_GEN_PROGS_EXTENDED", "TEST_GEN_FILES", "TEST_CUSTOM_PROGS")


class Gitignore(Gate):
    name = "gitignore"
    code = ("gates/gitignore.py",)

    def idle(self, step: Step) -> str:
        return "" if any(map(_TOUCHED.match, step.files)) else "touches no Makefile of selftests"

    def inputs(self, step: Step, tools: Tools) -> dict[str, Any]:
        return {"trees": step.trees, "make": tools.version(tools.program("make", "make"))}

    def judge(self, step: Step, tools: Tools) -> Answer:
        before, after = ({(where, program) for where in self._directories(step, commit)
                          for program in self._shown(step, commit, where, tools)}
                         for commit in (step.before, step.after))
        return judged([f"{TOP}/{where}: git does not ignore {program}, which the Makefile builds"
                       for where, program in sorted(after - before)], "new")

    @staticmethod
    def _directories(step: Step, commit: str) -> set[str]:
        """The selftests whose rules are touched: the nearest directory with a Makefile."""
        found = set()
        for name in step.files:
            if match := _TOUCHED.match(name):
                where = pathlib.PurePosixPath(match[1])
                there = [str(d) for d in (where, *where.parents) if str(d) != "." and succeeds(
                    release.linux(), "cat-file", "-e", f"{commit}:{TOP}/{d}/Makefile")]
                found |= set(there[:1])
        return found

    def _shown(self, step: Step, commit: str, where: str, tools: Tools) -> set[str]:
        """The programs of a directory that git would show as untracked."""
        programs = self._built(tools.tree(commit) / TOP / where)
        names = [f"{TOP}/{where}/{program}" for program in programs]
        with tempfile.TemporaryDirectory() as scratch:
            self._rules(pathlib.Path(scratch), step, commit, f"{TOP}/{where}")
            git(scratch, "init", "-q")
            done = result(scratch, "check-ignore", "--no-index", "-z", "--stdin",
                          data="".join(f"{name}\0" for name in names))
        if done.returncode not in (0, 1):  # 1: it ignores none
            raise CannotJudge(f"git check-ignore ended with {done.returncode}: {done.stderr.strip()}")
        ignored = set(done.stdout.split("\0"))
        return {p for p, name in zip(programs, names, strict=True) if name not in ignored}

    def _built(self, here: pathlib.Path) -> list[str]:
        """What make builds in a directory, relative to it, or to the worktree's top where it is
        elsewhere."""
        files = "".join(f"$({name}) " for name in _BUILT)
        rule = f"ci-show: ; @:$(info @ $(patsubst $(OUTPUT)/%,%,{files}))"
        done = complete(["make", "-s", "--no-print-directory", "-C", here, "--eval",
                         f".PHONY: ci-show\n{rule}", "ci-show"], timeout=self.seconds)
        said = re.findall(r"(?m)^@(.*)$", done.stdout)
        if done.returncode != 0 or len(said) != 1:
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CannotJudge(f"make in {here.name} does not say what it builds: {why}\n"
                              f"{done.stderr}".rstrip())
        return sorted({program for program in said[0].split() if not program.startswith("/")})

    @staticmethod
    def _rules(scratch: pathlib.Path, step: Step, commit: str, where: str) -> None:
        """Write the .gitignore of a directory and of those above it, as of a commit.

        Without the top's rules for the top itself: a base from Debian's package ignores all
        there is there.
        """
        for directory in (pathlib.PurePosixPath(where), *pathlib.PurePosixPath(where).parents):
            text = step.content(commit, str(directory / ".gitignore")) or ""
            if str(directory) == ".":
                text = re.sub(r"(?m)^!?/.*$", "", text)
            (scratch / directory).mkdir(parents=True, exist_ok=True)
            (scratch / directory / ".gitignore").write_text(text, encoding="utf-8",
                                                            errors="surrogateescape")
