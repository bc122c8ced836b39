# SPDX-License-Identifier: GPL-2.0
"""The pages of Documentation/ that a patch can break, and what Sphinx says of them.

A build of all pages takes minutes. Here Sphinx reads, with the kernel's own conf.py and
extensions, only the pages that a patch touches or that include a touched file, and of other
pages the kernel-doc directives of touched files, gathered on one page.
"""

import collections
import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping

from . import release
from .command import CannotJudge, complete
from .plumbing import result

TOP = "Documentation"
_GATHERED = "kernel-doc-of-touched-files"
_DIRECTIVE = re.compile(r"(?m)^([ \t]*)\.\. ([a-z-]+):: +(\S+)[ \t]*(?:\n|\Z)((?:\1[ \t]+\S.*(?:\n|\Z))*)")
_INCLUDING = ("kernel-doc", "include", "kernel-include", "literalinclude")

# What Sphinx says of a page that it was not given: (message, the page or label).
_ABSENT = re.compile(r"(?:toctree contains reference to \w+ document|unknown document:|"
                     r"undefined label:) '?([^'\n]+?)'?(?: \[[\w.]+\])?$")

# The text of a file of the tree, by its path; None where there is none.
Read = Callable[[str], str | None]


@dataclasses.dataclass(frozen=True)
class Pages:
    """whole: paths of pages to be read; parts: pages -> touched files whose kernel-doc
    directives are read."""

    whole: frozenset[str]
    parts: Mapping[str, frozenset[str]]

    def __bool__(self) -> bool:
        return bool(self.whole or self.parts)


def is_page(path: str) -> bool:
    return path.startswith(f"{TOP}/") and path.endswith(".rst")


def _targets(page: str, argument: str) -> set[str]:
    """The files that the argument of a directive may mean: from the top, or beside the page."""
    return {os.path.normpath(argument), os.path.normpath(os.path.join(os.path.dirname(page), argument))}


def _found(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that git grep found; CannotJudge where it did not work."""
    if done.returncode not in (0, 1):  # 1: there is none
        raise CannotJudge(f"git grep ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.splitlines()


class Directives:
    """Which pages of a commit include which files; looked up once, as it takes a second."""

    def __init__(self, commit: str) -> None:
        done = result(release.linux(), "grep", "-E", rf"^\s*\.\. ({'|'.join(_INCLUDING)})::", commit,
                      "--", f"{TOP}/*.rst")
        self.found: dict[str, set[tuple[str, str]]] = collections.defaultdict(set)
        for line in _found(done):
            _, page, text = line.split(":", 2)
            self.found[page] |= {(m[2], m[3]) for m in _DIRECTIVE.finditer(text)}

    def including(self, files: Iterable[str], changed: Iterable[str], read: Read) -> Pages:
        """The pages that include any of the files; changed: pages whose text read() knows better."""
        found = dict(self.found)
        for page in changed:
            found[page] = {(m[2], m[3]) for m in _DIRECTIVE.finditer(read(page) or "")}
        touched, whole = set(files), set[str]()
        parts: dict[str, set[str]] = collections.defaultdict(set)
        for page, directives in found.items():
            for name, argument in directives:
                hit = _targets(page, argument) & touched
                if hit and name == "kernel-doc":
                    parts[page] |= hit
                elif hit and name in _INCLUDING:
                    whole.add(page)
        return Pages(frozenset(whole), {page: frozenset(files) for page, files in parts.items()})


def naming(commit: str, pages: Iterable[str]) -> set[str]:
    """The pages of a commit that may list any of these pages in a toctree: those beside them
    and the indices above them that hold their names."""
    names, places = [re.escape(pathlib.PurePosixPath(page).stem) for page in pages], set()
    for page in pages:
        directory = pathlib.PurePosixPath(page).parent
        places |= {f":(glob){directory}/*.rst"}
        places |= {f"{parent}/index.rst" for parent in directory.parents if str(parent) != "."}
    if not names:
        return set()
    done = result(release.linux(), "grep", "-lwE", "|".join(names) + "|:glob:", commit, "--",
                  *sorted(places))
    return {line.partition(":")[2] for line in _found(done)}


def gathered(pages: Pages, read: Read) -> str:
    """A page with the kernel-doc directives of the touched files."""
    title = "Touched files"
    blocks = []
    for page, files in sorted(pages.parts.items()):
        if page not in pages.whole:
            for m in _DIRECTIVE.finditer(read(page) or ""):
                if m[2] == "kernel-doc" and _targets(page, m[3]) & files:
                    blocks.append(re.sub(rf"(?m)^{m[1]}", "", m[0]).strip("\n"))
    return "\n\n".join([":orphan:", f"{title}\n{'=' * len(title)}", *blocks]) + "\n"


def _link(tree: pathlib.Path, here: pathlib.Path, page: str) -> pathlib.Path:
    """A directory like the tree, made of links to it, with one page more: its Documentation/."""
    top = here / TOP
    top.mkdir(parents=True)
    for source, target in (tree, here), (tree / TOP, top):
        for entry in source.iterdir():
            if entry.name not in (".git", TOP):
                (target / entry.name).symlink_to(entry)
    (top / f"{_GATHERED}.rst").write_text(page, encoding="utf-8", errors="surrogateescape")
    return top


def build(program: str, tree: pathlib.Path, pages: Pages, read: Read, seconds: float,
          ) -> collections.Counter[str]:
    """What Sphinx says of the pages as they are in a tree, without positions.

    tree: a worktree at the commit that read() reads. CannotJudge where Sphinx does not get
    to its end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        top = _link(tree, here / "tree", gathered(pages, read))
        names = [f"{_GATHERED}.rst", *sorted(page[len(TOP) + 1:] for page in pages.whole
                                             if read(page) is not None)]
        done = complete([program, "-q", "-E", "-N", "-b", "dummy", "-d", here / "doctrees",
                         "-D", f"include_patterns={','.join(names)}",
                         "-D", "exclude_patterns=output,netlink/specs",
                         "-D", f"root_doc={_GATHERED}", "-D", "version=0", "-D", "release=0",
                         top, here / "out"], timeout=seconds, cwd=top,
                        env={"srctree": str(here / "tree"), "PYTHONDONTWRITEBYTECODE": "1"})
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1].replace(scratch, "")
            raise CannotJudge(f"sphinx-build ended with {done.returncode}: {said}\n{done.stderr.strip()}")
        text = done.stderr.replace(f"{here / 'tree'}/", "").replace("../", "")
    return collections.Counter(_plain(line) for line in text.splitlines()
                               if re.search(r"\b(?:WARNING|ERROR|SEVERE|CRITICAL): ", line)
                               and not _elsewhere(line, read))


def _plain(line: str) -> str:
    """A warning without line numbers and without the page that gathers directives."""
    line = re.sub(rf"{TOP}/{_GATHERED}(?:\.rst)?(?::\d+)*: *", "", line)
    return re.sub(r"(?<=\S):\d+(?=:| )", "", line)


def _elsewhere(line: str, read: Read) -> bool:
    """Whether a warning is of a page or label that is in the tree, only not among what is read."""
    match = _ABSENT.search(line)
    if not match:
        return False
    page, target = line.partition(".rst")[0] + ".rst", match[1]
    if "undefined label" not in line:
        beside = os.path.normpath(os.path.join(os.path.dirname(page), target))
        return any(read(f"{path}.rst") is not None
                   for path in (f"{TOP}/{target.lstrip('/')}", beside))
    document, colon, title = target.partition(":")
    if colon:
        return title.lower() in (read(f"{TOP}/{document}.rst") or "").lower()
    return read(f"label:{target}") is not None
