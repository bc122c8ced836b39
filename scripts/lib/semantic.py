# SPDX-License-Identifier: GPL-2.0
"""The kernel's semantic patches (scripts/coccinelle) on single files, in report mode.

`make coccicheck` stops at the first script it cannot run; here each runs by
itself, bounded, and its reports are kept for each content of a file.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile

from . import repository
from .command import output, run

BOUND = 120  # seconds for one script on one file


def without_places(line):
    """A report without the lines it names: FILE:12:3-9: ... at line 12, on lines 3,7."""
    line = re.sub(r":\d+:\d+(?:-\d+)?:", ":", line)
    return re.sub(r"\blines? \d+(?:,\s*\d+)*", "line", line)


class Semantic:
    """The scripts of a kernel tree; tree: a worktree, for scripts and include/."""

    def __init__(self, tree):
        self.tree = pathlib.Path(tree)
        self.spatch = shutil.which("spatch")
        self.version = output([self.spatch, "--version"]) if self.spatch else ""
        self.ocaml = bool(shutil.which("ocamlc") or shutil.which("ocaml"))
        self.tools = hashlib.sha256(f"{self.version} {self.ocaml}".encode()).hexdigest()[:12]
        self.scripts = sorted((self.tree / "scripts/coccinelle").rglob("*.cocci"))

    def _number(self):
        match = re.search(r"version (\d+)\.(\d+)", self.version)
        return tuple(map(int, match.groups())) if match else (0, 0)

    def unusable(self, text):
        """Why a script cannot run here, or ""; None when it has nothing to report by design."""
        if not re.search(r"virtual\s+(?:\w+\s*,\s*)*report", text):
            return None
        if "script:ocaml" in text and not self.ocaml:
            return "needs an OCaml compiler"
        match = re.search(r"Requires:\s*(\d+)\.(\d+)", text)
        if match and tuple(map(int, match.groups())) > self._number():
            return f"needs spatch {match.group(1)}.{match.group(2)}"
        return ""

    def reports(self, contents):
        """What every script reports of files.

        contents: {(path, text)}. Returns ({(path, text): Counter of lines without
        positions}, {script: why it could not judge}).
        """
        found = {content: collections.Counter() for content in contents}
        failed = {}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, lines, why in pool.map(lambda s: self._one(s, contents), self.scripts):
                for content, counter in lines.items():
                    for line, count in counter.items():
                        found[content][without_places(line)] += count
                if why:
                    failed[name] = why
        return found, failed

    def _kept(self, text, content):
        key = hashlib.sha256("\0".join([self.tools, text, *content]).encode(
            "utf-8", "surrogateescape")).hexdigest()[:32]
        return repository.cache() / "verdicts/coccinelle" / f"{key}.json"

    def _one(self, script, contents):
        """(name, {content: Counter}, why not) of one script."""
        name = str(script.relative_to(self.tree / "scripts/coccinelle"))
        text = script.read_text()
        why = self.unusable(text)
        if why is None or why:
            return name, {}, why
        lines, missing = {}, []
        for content in contents:
            try:
                lines[content] = collections.Counter(json.loads(self._kept(text, content).read_text()))
            except (OSError, ValueError):
                missing.append(content)
        if missing:
            fresh, why = self._run(script, text, missing)
            if why and len(missing) > 1:
                # One file may be the culprit: judge the others without it.
                fresh, reasons = {}, []
                for content in missing:
                    one, reason = self._run(script, text, [content])
                    fresh.update(one)
                    reasons += [f"{content[0]}: {reason}"] if reason else []
                why = "; ".join(sorted(set(reasons)))
            for content, counter in fresh.items():
                repository.write_atomically(self._kept(text, content), json.dumps(counter))
            lines.update(fresh)
        return name, lines, why

    def _run(self, script, text, contents):
        """Run spatch on files: ({content: Counter}, why not)."""
        match = re.search(r"(?m)^\s*//+\s*Options:(.*)$", text)
        options = match.group(1).split() if match else []
        with tempfile.TemporaryDirectory() as scratch:
            files = {}
            for number, content in enumerate(sorted(contents)):
                path = pathlib.Path(scratch) / str(number) / content[0]
                path.parent.mkdir(parents=True)
                path.write_text(content[1], encoding="utf-8", errors="surrogateescape")
                files[str(path)] = content
            include = self.tree / "include"
            done = run([self.spatch, "-D", "report", "--no-show-diff", "--very-quiet",
                        "--cocci-file", script, *options, "-I", include, "-I", include / "uapi",
                        *files], check=False, timeout=BOUND * len(contents), cwd=scratch)
            if done.returncode is None:
                return {}, f"took more than {BOUND} s a file"
            if done.returncode != 0:
                return {}, f"spatch ended with {done.returncode}: " + \
                    (done.stderr.strip().splitlines() or ["no message"])[-1].replace(scratch, "")
            found = {content: collections.Counter() for content in contents}
            for line in done.stdout.splitlines():
                for path, content in files.items():
                    if line.startswith(f"{path}:"):
                        line = content[0] + line[len(path):]
                        line = re.sub(rf"{re.escape(scratch)}/\d+/", "", line)
                        found[content][line] += 1
            return found, ""
