# SPDX-License-Identifier: GPL-2.0
"""Diagnostics: what compiler, sparse and kbuild's tools say of each object of a lane's build.

The wrapper (the file `compiler` beside this one) keeps what the compiler and sparse say, one
file per object; what make itself prints (modpost, objtool, linker) is kept beside them. What
a step has more than the step before is exactly what its patch added; to know it, nothing is
compiled again.

A diagnostic is a line without its position. Lines are counted per object, and a line counts
as often as the object that has it most often: a second warning of the same words in one file
is new, but a warning of a header is not when one more object includes the header.
"""

import collections
import json
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping

from ..store import write_atomically
from .record import Counts, Said

_POSITION = re.compile(r"(?<=[\w.]):\d+(:\d+)?(?=[:,]|$)")
_SAYS = re.compile(r"(?:^|[\s:])(?:warning|error|fatal error):\s")
_TOOL = re.compile(r"\b(WARNING: modpost:|warning: objtool:|ld(?:\.lld)?: warning:|warning: orphan section)")
_OBJECT = re.compile(r"^(\S+\.o): warning: objtool")


def normalise(line: str, source: pathlib.Path | str = "") -> str:
    """A diagnostic without what differs between machines and steps.

    Positions (file:line:column) and the worktree's path go; quotes become ASCII.
    """
    line = line.translate({0x2018: "'", 0x2019: "'"})
    if source:
        line = line.replace(f"{source}/", "")
    line = re.sub(r"(\.\./)+", "", line)
    return _POSITION.sub("", line).strip()


def of_tool(text: str, source: pathlib.Path | str = "") -> collections.Counter[str]:
    """The warnings and errors in what the compiler or sparse said of one object.

    Notes, carets and "In function" lines belong to the line they explain.
    """
    return collections.Counter(normalise(line, source) for line in text.splitlines()
                               if _SAYS.search(line))


def of_make(text: str, source: pathlib.Path | str = "") -> dict[str, str]:
    """What modpost, objtool and the linker say in make's output: {normalised line: object or ""}."""
    found = {}
    for line in text.splitlines():
        if _TOOL.search(line):
            match = _OBJECT.match(line)
            found[normalise(line, source)] = match.group(1) if match else ""
    return found


def peak(objects: Iterable[Mapping[str, int]]) -> Counts:
    """How often each line stands in the object that has it most often."""
    found: collections.Counter[str] = collections.Counter()
    for lines in objects:
        found |= collections.Counter(lines)
    return dict(sorted(found.items()))


def new(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Diagnostics at one step that the step before did not have: sorted."""
    return sorted((collections.Counter(after) - collections.Counter(before)).elements())


def new_of_sparse(before: Mapping[str, Mapping[str, int]],
                  after: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The same of what sparse said, by directory: of those that it has read at both steps."""
    both = before.keys() & after.keys()
    return new(peak(before[d] for d in both), peak(after[d] for d in both))


def added(gate: str, before: Said, after: Said) -> list[str]:
    """What a gate finds new in what end() gave of two builds: sorted.

    gate: w1, the compiler; sparse; or diagnostics: modpost, objtool and the linker.
    """
    if gate == "sparse":
        return new_of_sparse(before["sparse"], after["sparse"])
    return new(flat(gate, before), flat(gate, after))


def flat(gate: str, said: Said) -> Counts:
    """What a gate but sparse looks at."""
    return said["tools"] if gate == "diagnostics" else said["w1"]


class Diagnostics:
    """The store of one lane. directory: of the store; source: the worktree."""

    def __init__(self, directory: pathlib.Path, source: pathlib.Path) -> None:
        self.directory = pathlib.Path(directory)
        self.source = pathlib.Path(source)

    def begin(self) -> None:
        """Before make: forget which objects the last make rebuilt."""
        for path in self.directory.glob(".said.*"):
            path.unlink()
        (self.directory / ".rebuilt").unlink(missing_ok=True)

    def rebuilt(self) -> set[str]:
        """The objects, as kbuild names them, that make tried to compile since begin()."""
        path = self.directory / ".rebuilt"
        return set(path.read_text().split()) if path.exists() else set()

    def read(self, source: str) -> bool:
        """Whether sparse has read this source as it stands in its object."""
        return (self.directory / "sparse" / source).exists()

    def end(self, log: str, directories: Collection[str]) -> Said:
        """After make: take over what the tools said; returns all that is known of the build.

        log: the text make printed; directories: those that sparse reads. What objtool said of an
        object stays until the object is rebuilt; what is said of the link is replaced by every link.
        """
        rebuilt = self.rebuilt()
        tools_file = self.directory / ".tools.json"
        tools = json.loads(tools_file.read_text()) if tools_file.exists() else {}
        tools = {line: obj for line, obj in tools.items() if obj and obj not in rebuilt}
        tools.update(of_make(log, self.source))
        write_atomically(tools_file, json.dumps(tools).encode())
        return {"w1": peak(self._of_compiler()), "tools": dict.fromkeys(sorted(tools), 1),
                "sparse": {d: peak(self._of_sparse(d)) for d in directories}}

    def _of_compiler(self) -> Iterable[Counts]:
        for path in self._files("cc", "**/*"):
            source, _, text = path.read_text(errors="replace").partition("\n")
            # kbuild names a source by .. where its objects are in a directory of the tree
            where = self.source / source.removeprefix("../")
            if source.startswith(("/", "../")) and not where.exists():
                continue  # the object of a file this step does not have
            yield of_tool(text, self.source)

    def _of_sparse(self, directory: str) -> Iterable[Counts]:
        for path in self._files(f"sparse/{directory}", "*"):
            if (self.source / directory / path.name).exists():
                yield of_tool(path.read_text(errors="replace"), self.source)

    def _files(self, below: str, pattern: str) -> list[pathlib.Path]:
        return [p for p in (self.directory / below).glob(pattern)
                if p.is_file() and not p.name.endswith(".new")]
