# SPDX-License-Identifier: GPL-2.0
"""The kernel's semantic patches (scripts/coccinelle) on single files, in report mode.

`make coccicheck` stops at the first script it cannot run; here each runs by
itself, bounded, and its reports are kept for each content of a file. As there,
spatch gets a directory: files that it is given by name are one program for it.
It parses them all where any of them has what the script looks for, and a rule
that matches in one of them counts as matched for the others.
"""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping

from . import cache, release
from .command import CannotJudge, Missing, complete, output
from .store import digest

BOUND = 120  # seconds for one script on one file

# The path of a file in the kernel, and its text.
Content = tuple[str, str]
Lines = collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class Reports:
    """lines: what the scripts report of each content, without positions; failed, unusable:
    scripts that could not judge, as something went wrong or is not installed, and why."""

    lines: dict[Content, Lines]
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    unusable: dict[str, str] = dataclasses.field(default_factory=dict)


def without_places(line: str) -> str:
    """A report without the lines it names: FILE:12:3-9: ... at line 12, on lines 3,7."""
    line = re.sub(r":\d+:\d+(?:-\d+)?:", ":", line)
    return re.sub(r"\blines? \d+(?:,\s*\d+)*", "line", line)


class Spatch:
    """The scripts of a kernel tree; tree: a worktree at the base, for scripts and include/."""

    def __init__(self, tree: pathlib.Path) -> None:
        program = shutil.which("spatch")
        if program is None:
            raise Missing("no spatch (package coccinelle)")
        self.tree, self.program = tree, program
        self.version = output([program, "--version"])
        self.ocaml = bool(shutil.which("ocamlc") or shutil.which("ocaml"))
        self.base = release.base()
        self.scripts = sorted((tree / "scripts/coccinelle").rglob("*.cocci"))

    def tools(self) -> list[str]:
        """What a report depends on besides script, file and base."""
        return [self.version, "OCaml" if self.ocaml else "no OCaml"]

    def _number(self) -> tuple[int, ...]:
        match = re.search(r"version (\d+)\.(\d+)", self.version)
        return tuple(map(int, match.groups())) if match else (0, 0)

    def unusable(self, text: str) -> str | None:
        """Why a script cannot run here, or ""; None when it has nothing to report by design."""
        if not re.search(r"virtual\s+(?:\w+\s*,\s*)*report", text):
            return None
        if "script:ocaml" in text and not self.ocaml:
            return "needs an OCaml compiler (package ocaml-nox)"
        match = re.search(r"Requires:\s*(\d+)\.(\d+)", text)
        if match and tuple(map(int, match.groups())) > self._number():
            return f"needs spatch {match.group(1)}.{match.group(2)}"
        return ""

    def reports(self, contents: Collection[Content]) -> Reports:
        """What every script reports of the contents.

        Missing where spatch can run no script at all.
        """
        found = Reports({content: collections.Counter() for content in contents})
        keyed = {digest(content): content for content in contents}
        pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
        try:
            for name, lines, problem in pool.map(lambda s: self._one(s, keyed), self.scripts):
                for content, counter in lines.items():
                    for line, count in counter.items():
                        found.lines[content][without_places(line)] += count
                if isinstance(problem, Missing):
                    found.unusable[name] = str(problem)
                elif problem:
                    found.failed[name] = str(problem)
        finally:
            # who interrupts does not wait for the spatch that runs: main() ends it
            pool.shutdown(wait=False, cancel_futures=True)
        return found

    def _kept(self, text: str) -> pathlib.Path:
        """The file with what a script reports, {key of a content: {line: count}}."""
        return cache.store() / "coccinelle" / f"{digest(self.tools(), self.base, text)}.json"

    def _one(self, script: pathlib.Path, contents: Mapping[str, Content],
             ) -> tuple[str, dict[Content, Lines], CannotJudge | None]:
        """The name of a script, what it reports of each content, why not of all.

        contents: by their keys.
        """
        name = str(script.relative_to(self.tree / "scripts/coccinelle"))
        text = script.read_text()
        why = self.unusable(text)
        if why is None or why:
            return name, {}, Missing(why) if why else None
        try:
            kept = json.loads(self._kept(text).read_text())
        except (OSError, ValueError):
            kept = {}
        left = [content for key, content in contents.items() if key not in kept]
        fresh, problem = self._apart(script, text, left) if left else ({}, None)
        if fresh:
            kept |= {key: fresh[content] for key, content in contents.items() if content in fresh}
            cache.write_atomically(self._kept(text), json.dumps(kept))
        lines = {content: collections.Counter(kept[key]) for key, content in contents.items() if key in kept}
        return name, lines, problem

    def _apart(self, script: pathlib.Path, text: str, contents: list[Content],
               ) -> tuple[dict[Content, Lines], CannotJudge | None]:
        """Run spatch on contents; where that fails, on each by itself, as one may be the culprit."""
        try:
            fresh, reasons = self._run(script, text, contents)
        except Missing:
            raise
        except CannotJudge as error:
            fresh, reasons = {}, {f"{contents[0][0]}: {str(error).splitlines()[0]}"}
            if len(contents) > 1:
                reasons = set()
                for content in contents:
                    one, problem = self._apart(script, text, [content])
                    fresh.update(one)
                    reasons |= {str(problem)} if problem else set()
        return fresh, CannotJudge("; ".join(sorted(reasons))) if reasons else None

    def _run(self, script: pathlib.Path, text: str, contents: list[Content],
             ) -> tuple[dict[Content, Lines], set[str]]:
        """What one run of spatch reports of the contents that it could judge, and why not of the
        others; CannotJudge where it fails as a whole."""
        match = re.search(r"(?m)^\s*//+\s*Options:(.*)$", text)
        options = match.group(1).split() if match else []
        with tempfile.TemporaryDirectory() as scratch:
            files = {}
            for number, content in enumerate(sorted(contents)):
                copy = pathlib.Path(scratch) / str(number) / content[0]
                copy.parent.mkdir(parents=True)
                copy.write_text(content[1], encoding="utf-8", errors="surrogateescape")
                files[str(copy)] = content
            include = self.tree / "include"
            # no scanner: spatch itself looks whether a file has the tokens that the script needs
            done = complete([self.program, "-D", "report", "--no-show-diff", "--very-quiet",
                             "--cocci-file", script, *options, "-I", include, "-I", include / "uapi",
                             "--no-scanner", "--dir", scratch],
                            timeout=BOUND * len(contents), cwd=scratch)
            said = (done.stderr.strip().splitlines() or ["no message"])[-1].replace(scratch, "")
            if done.returncode != 0 and re.search(r"(?i)libpython|python library", done.stderr):
                raise Missing(f"spatch cannot load Python (package libpython3-dev): {said}")
            if done.returncode != 0:
                raise CannotJudge(f"spatch ended with {done.returncode}: {said}")
            reasons = {}
            # an exception in one file leaves the exit code at 0
            for why, path in re.findall(r"(?m)^EXN: *(.*) in (.*)$", done.stderr):
                if path not in files:
                    raise CannotJudge(f"spatch: {why}")
                reasons[path] = f"{files[path][0]}: {why}"
            if len(reasons) < done.stderr.count("EXN:"):
                raise CannotJudge(f"spatch: {done.stderr[done.stderr.index('EXN:'):].splitlines()[0]}")
            found: dict[Content, Lines] = {content: collections.Counter()
                                           for path, content in files.items() if path not in reasons}
            for line in done.stdout.splitlines():
                path = line.partition(":")[0]
                if path in files and path not in reasons:
                    line = files[path][0] + line[len(path):]
                    line = re.sub(rf"{re.escape(scratch)}/\d+/", "", line)
                    found[files[path]][line] += 1
            return found, set(reasons.values())
