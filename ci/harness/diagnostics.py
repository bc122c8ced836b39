# SPDX-License-Identifier: GPL-2.0
"""The diagnostics store: the warnings of every object of a lane's build.

The compiler wrapper (the file `compiler` beside this one) keeps one file per
object; what make itself prints (modpost, objtool, linker) is kept beside it.
The set at step k minus the set at step k-1, with line numbers removed, is
exactly what patch k added; to know it, nothing is compiled again.
"""

import json
import pathlib
import re

from lib.store import write_atomically

_POSITION = re.compile(r"(?<=[\w.]):\d+(:\d+)?(?=[:,]|$)")
_TOOL = re.compile(r"\b(WARNING: modpost:|warning: objtool:|ld: warning:|warning: orphan section)")
_OBJECT = re.compile(r"^(\S+\.o): warning: objtool")


def normalise(line, source=""):
    """A diagnostic without what differs between machines and steps.

    Positions (file:line:column) and the worktree's path go; quotes become ASCII.
    """
    line = line.translate({0x2018: "'", 0x2019: "'"})
    if source:
        line = line.replace(f"{source}/", "")
    line = re.sub(r"(\.\./)+", "", line)
    return _POSITION.sub("", line).strip()


def of_compiler(text, source=""):
    """The warnings and errors in what the compiler said of one object: a set of lines.

    Notes, carets and "In function" lines belong to the line they explain.
    """
    return {normalise(line, source) for line in text.splitlines()
            if re.search(r":\s(warning|error|fatal error):\s", line)}


def of_make(text, source=""):
    """What modpost, objtool and the linker say in make's output: {normalised line: object or ""}."""
    found = {}
    for line in text.splitlines():
        if _TOOL.search(line):
            match = _OBJECT.match(line)
            found[normalise(line, source)] = match.group(1) if match else ""
    return found


class Diagnostics:
    """The store of one lane. directory: of the store; source: the worktree."""

    def __init__(self, directory, source):
        self.directory = pathlib.Path(directory)
        self.source = pathlib.Path(source)
        self.directory.mkdir(parents=True, exist_ok=True)

    def begin(self):
        """Before make: forget which objects the last make rebuilt."""
        for path in self.directory.glob(".said.*"):
            path.unlink()
        (self.directory / ".rebuilt").unlink(missing_ok=True)

    def end(self, log):
        """After make: take over what the tools said; returns the whole set, sorted.

        log: the text make printed. What a tool said of an object stays until the
        object is rebuilt; what it said of the link is replaced by every link.
        """
        rebuilt_file = self.directory / ".rebuilt"
        rebuilt = set(rebuilt_file.read_text().split()) if rebuilt_file.exists() else set()
        tools_file = self.directory / ".tools.json"
        tools = json.loads(tools_file.read_text()) if tools_file.exists() else {}
        tools = {line: obj for line, obj in tools.items() if obj and obj not in rebuilt}
        tools.update(of_make(log, self.source))
        write_atomically(tools_file, json.dumps(tools).encode())
        return sorted(self._objects() | set(tools))

    def _objects(self):
        found = set()
        for path in self.directory.rglob("*"):
            if not path.is_file() or path.name.startswith("."):
                continue
            source, _, text = path.read_text(errors="replace").partition("\n")
            # kbuild names a source from its objects, which are in a directory of the tree
            where = self.source / source.removeprefix("../")
            if source.startswith(("/", "../")) and not where.exists():
                continue  # the object of a file this step does not have
            found |= of_compiler(text, self.source)
        return found


def new(before, after):
    """Diagnostics at one step that the step before did not have."""
    return sorted(set(after) - set(before))
