# SPDX-License-Identifier: GPL-2.0
"""Build one step of a lane: all of its kernel, or only the objects that the series touches.

Whoever builds, ci/run or scripts/check, does so in the lane's one object directory, so that
each step compiles only what it changes, once.
"""

import functools
import os
import pathlib
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from .. import cache, checkout, process, sparse
from ..command import Broken, CannotJudge, Missing, full, output
from ..lane import Lane
from ..store import Store, write_atomically
from . import ccache, kconfig, sources
from .diagnostics import Diagnostics
from .record import Build, Objects

# Names nothing of the machine or the moment in the image, so that equal sources
# give equal bytes.
IDENTITY = {
    "KBUILD_BUILD_TIMESTAMP": "2026-01-01", "KBUILD_BUILD_USER": "series",
    "KBUILD_BUILD_HOST": "localhost", "KBUILD_BUILD_VERSION": "1",
    # the time of the files in the image's own initramfs is the timestamp where the machine is
    "LOCALVERSION": "", "LC_ALL": "C", "TZ": "UTC",
}
# What a compiler says when the machine, and not the source, is at fault.
_MACHINE = ("No space left on device", "Killed signal terminated program", "Cannot allocate memory",
            "virtual memory exhausted", "ccache: error:")
_ENDED = re.compile(r"(?m)Error 1(?:3[0-9]|43)$|\] (?:Killed|Terminated)|signal terminated")
_SOURCE = re.compile(r"(?m)^source_(\S+) := (\S+\.c)$")
# Beside boots, make gets a fraction of a core.
SECONDS = 7200
# Raise when the meaning of a kept record changes.
_VERSION = 1

_WRAPPER = pathlib.Path(__file__).with_name("compiler")


def compilers(lane: Lane) -> list[str]:
    """The programs that compile a lane: for the kernel, and for what runs while it is built."""
    return [f"clang{lane.llvm}"] if lane.llvm else list(dict.fromkeys([f"{lane.cross}gcc", "gcc"]))


def toolchain(lane: Lane) -> str:
    """What compiles this lane: part of every key; Missing where it is not installed."""
    linker = lane.linker or (f"ld.lld{lane.llvm}" if lane.llvm else f"{lane.cross}ld")
    words = []
    rust = ["rustc", "bindgen"] if kconfig.wanted(lane.fragment).get("CONFIG_RUST") == "y" else []
    for tool in (compilers(lane)[0], linker, *([lane.objcopy] if lane.objcopy else []), *rust):
        try:
            words.append(output([tool, "--version"]).splitlines()[0])
        except (FileNotFoundError, Broken) as error:
            if tool in rust and isinstance(error, Broken):
                raise Missing(f"lane {lane.name} needs a {tool} that works without a home directory, as "
                              f"Debian's does, and not one of rustup's: {error}") from None
            where = "see Documentation/rust/quick-start.rst of the base" if tool in rust \
                else "install the packages in ci/packages"
            raise Missing(f"no {tool}, which lane {lane.name} is built with; {where}, "
                          "or leave the lane out with --lane") from None
    return "; ".join(words)


def command_file(target: pathlib.Path) -> pathlib.Path:
    """Where kbuild keeps the command that made a target, which it writes after the target."""
    return target.with_name(f".{target.name}.cmd")


class Builder:
    """Builds steps of one lane in one object directory, walking forward.

    lane; directories: those with objects that the series touches, as sources.touched(); checker:
    the sparse that reads the sources in them, None where none does; jobs: of make.
    Missing where the lane has no compiler.
    """

    def __init__(self, lane: Lane, directories: Collection[str], checker: pathlib.Path | None = None,
                 jobs: int = os.cpu_count() or 1) -> None:
        self.lane = lane
        arch = "x86" if lane.arch == "x86_64" else lane.arch
        self.directories = [d for d in directories if not d.startswith("arch/")
                            or d.startswith(f"arch/{arch}/")]
        self.checker, self.jobs = checker, jobs
        self.directory = cache.lanes() / lane.name
        if lane.builds == "objects":
            # one for all such lanes, which are at the same steps and carry no test-only patches
            self.tree = cache.directory() / "objects-source"
            self.objects = self.directory / "objects"
        else:
            # kbuild names sources by .. where the objects are below them; else their path is in
            # what KASAN and UBSAN say, and an image differs from cache to cache
            self.tree = self.directory / "source"
            self.objects = self.tree / "objects"
        self.log = self.directory / "build.log"
        self.toolchain = toolchain(lane)
        self.checks = sparse.version(checker) if checker else ""
        self.diagnostics = Diagnostics(self.directory / "diagnostics", self.tree)

    @functools.cached_property
    def identity(self) -> str:
        """Names the object directory, made when missing, whatever its path is elsewhere."""
        store = self.diagnostics.directory
        if not (store / "cc").exists():
            # objects whose warnings were not kept would look clean for ever
            output(["rm", "-rf", self.objects, store], timeout=600)
            (store / "cc").mkdir(parents=True)
        self._worktree()
        self.objects.mkdir(parents=True, exist_ok=True)
        # the inode, since containers may have caches of the same path
        return f"{self.objects}:{self.objects.stat().st_ino}"

    # --- what is kept

    def inputs(self, commit: str) -> dict[str, Any]:
        """What a build depends on, by name. Not the touched directories: see covers()."""
        return {"sources": sources.key(commit), "fragment": self.lane.fragment,
                "lane": [self.lane.arch, self.lane.cross, self.lane.llvm, self.lane.config],
                "toolchain": self.toolchain, "sparse": self.checks, "builder": _VERSION}

    def covers(self, record: Objects, directories: Collection[str]) -> bool:
        """Whether sparse has read, where it reads at all, what a record must tell of."""
        told = record["diagnostics"].get("sparse", {})
        return not self.checker or set(directories) & set(self.directories) <= told.keys()

    def judged(self, commit: str, directories: Collection[str]) -> Objects:
        """The record of the objects of a commit, kept or made now; directories: see covers().

        Whoever calls this holds the lock of the lanes.
        """
        store, inputs = Store(cache.store()), self.inputs(commit)
        kept = cast(Objects | None, store.get("objects", inputs))
        if kept is not None and self.covers(kept, directories):
            return kept
        record = self.compile(commit)
        self.keep(commit, record)
        return record

    def keep(self, commit: str, record: Objects) -> None:
        """Keep a record of compile() for judged(), unless the machine may be to blame for it."""
        if record["configured"] and not record["lost"]:
            Store(cache.store()).put("objects", self.inputs(commit), Objects(
                ok=record["ok"], reason=record["reason"], lost=record["lost"],
                configured=record["configured"], diagnostics=record["diagnostics"],
                sources=record["sources"]), f"{self.lane.name}/{commit}")

    # --- how it is built

    def environment(self, keep: bool = True) -> dict[str, str]:
        """PATH starts with the wrapper under the names of compilers and of sparse.

        keep: whether it keeps what they say.
        """
        links = self.directory / "bin"
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir(parents=True)
        for name in (*compilers(self.lane), "sparse"):
            shutil.copy(_WRAPPER, links / name)
        kept = {"DIAGNOSTICS": str(self.diagnostics.directory)} if keep else {}
        return {**os.environ, **IDENTITY, **kept, **ccache.variables(self.directory, self._assemblers),
                "SERIES_OBJECTS": self.identity,
                "SOURCES": str(self.tree), "SPARSE": str(self.checker or ""),
                "TOUCHED": f" {' '.join(self.directories)} ", "PATH": f"{links}:{os.environ['PATH']}"}

    @property
    def _assemblers(self) -> list[str]:
        """The programs that the compilers of the lane call; clang calls none."""
        return [] if self.lane.llvm else list(dict.fromkeys([f"{self.lane.cross}as", "as"]))

    def tools(self) -> list[str]:
        """The words of make that name the lane's architecture and tools."""
        return [f"ARCH={self.lane.arch}",
                f"LLVM={self.lane.llvm}" if self.lane.llvm else f"CROSS_COMPILE={self.lane.cross}",
                *([f"LD={self.lane.linker}"] if self.lane.linker else []),
                *([f"OBJCOPY={self.lane.objcopy}"] if self.lane.objcopy else [])]

    def make(self, *words: object) -> list[object]:
        """The command that makes something of the lane."""
        return ["make", "-C", self.tree, f"O={self.objects}", *self.tools(), f"-j{self.jobs}", *words]

    def checks_words(self) -> list[str]:
        """The words of make for more warnings, which change no object: without kernel-doc, which
        is a gate of its own."""
        check = ["C=1", f"CHECK={self.directory}/bin/sparse"] if self.checker else []
        return ["W=1", "cmd_checkdoc=", *check]

    def recover(self) -> None:
        """After a kill: end what still runs, remove what may be half written.

        kbuild writes an object and then its .cmd file, so an object newer than
        its .cmd, or with its dependency file still there, was not finished.
        """
        process.end_orphans(f"SERIES_OBJECTS={self.identity}")
        building = self.directory / "building"
        if not building.exists():
            return
        started = building.stat().st_mtime
        for path in self.objects.rglob("*"):
            if path.is_symlink() or not path.is_file() or path.stat().st_mtime < started:
                continue
            command = command_file(path)
            unfinished = path.with_name(f".{path.name}.d").exists()
            if path.suffix in (".o", ".a", ".ko", ".s", ".dtb") or path.name.startswith("vmlinux") \
                    or path.name.startswith("Image"):
                if unfinished or not command.exists() or \
                        command.stat().st_mtime_ns < path.stat().st_mtime_ns:
                    path.unlink()
        building.unlink()

    def compile(self, commit: str, targets: Sequence[str] = ()) -> Build:
        """Build targets of a commit, by default the lane's objects, or those in the touched
        directories.

        The text of the build is in self.log.
        """
        self.recover()
        self._move(commit)
        self.log.unlink(missing_ok=True)
        (self.directory / "building").write_text(commit)
        try:
            config = kconfig.make(self.lane, commit, self.tree, self.tools(), self.toolchain)
        except kconfig.Unconfigured as error:
            self.log.write_text(f"{error}\n")
            return {"ok": False, "seconds": 0.0, "cpu": 0.0, "reason": error.reason, "lost": False,
                    "diagnostics": {}, "sources": [], "configured": False}
        kconfig.install(config, self.objects)
        self._forget_unread()
        self.diagnostics.begin()
        ending = self._make(targets)
        if left := self._left_unread():
            for path in left:
                path.unlink(missing_ok=True)
            again = self._make(targets)
            ending = process.Ending(again.rc, ending.seconds + again.seconds, ending.cpu + again.cpu)
        text = self.log.read_text(errors="replace")
        record = Build(
            ok=ending.rc == 0, seconds=ending.seconds, cpu=ending.cpu,
            reason="" if ending.rc == 0 else self.plain(why_failed(text, ending.rc)),
            lost=lost(ending, text), configured=True,
            diagnostics=self.diagnostics.end(text, self.directories if self.checker else ()),
            sources=sorted({source for _, source in self._compiled()}))
        if record["ok"] and (unread := list(self._unread())):
            raise CannotJudge(f"lane {self.lane.name}: kbuild did not let sparse read {unread[0][1]}; "
                              f"see {self.log}")
        (self.directory / "building").unlink()
        return record

    def configures(self, commit: str) -> bool:
        """Whether the lane's configuration can be made for a commit."""
        self._move(commit)
        try:
            kconfig.make(self.lane, commit, self.tree, self.tools(), self.toolchain)
        except kconfig.Unconfigured:
            return False
        return True

    def _worktree(self) -> None:
        checkout.worktree(str(self.tree.relative_to(cache.directory())), checkout=False)

    def _move(self, commit: str) -> None:
        self._worktree()
        checkout.move(self.tree, commit)

    def plain(self, text: str) -> str:
        """A line of a log as it is in each cache: with paths from the kernel's tree on."""
        for place in (self.objects, self.tree, self.directory):
            text = text.replace(f"{place}/", "")
        return re.sub(r"(?<![\w./])(\.\./)+", "", text)

    def _make(self, targets: Sequence[str]) -> process.Ending:
        """Make the targets, or the touched directories that the tree has, as far as it goes."""
        if self.lane.builds == "objects":
            targets = [t for t in self.lane.targets if t.endswith(".o") or (self.tree / t).is_dir()]
        words = list(targets) or ["-k", *(sources.outermost(
            [d for d in self.directories if (self.tree / d).is_dir()]) or ["prepare"])]
        return process.run(self.make("-s", *self.checks_words(), *words), self.log, SECONDS,
                           env=self.environment())

    # --- what sparse has read

    def _forget_unread(self) -> None:
        """Remove the objects of directories that sparse has not read, so that it will."""
        kept = self.directory / "checked"
        read = kept.read_text().splitlines() if kept.exists() else []
        now = [self.checks, *self.directories] if self.checker else []
        new = set(now) - set(read if read[:1] == now[:1] else [])
        for directory in sorted(new & set(self.directories)):
            for path in (self.objects / directory).glob("*.o"):
                path.unlink()
        if now != read:
            write_atomically(kept, "\n".join(now).encode())

    def _compiled(self) -> Iterator[tuple[pathlib.Path, str]]:
        """The objects of the touched directories that are compiled from C, with their sources."""
        for directory in self.directories:
            for command in (self.objects / directory).glob(".*.o.cmd"):
                if match := _SOURCE.search(command.read_text(errors="replace")):
                    path = self.objects / match.group(1)
                    source = os.path.normpath(self.plain(match.group(2)))
                    if path.exists() and (self.tree / source).exists():
                        yield path, source

    def _left_unread(self) -> list[pathlib.Path]:
        """Those that a killed run left, of which sparse said nothing. One that this make tried to
        compile is none: where that fails, the object of before stays, which says that the lane
        builds the file."""
        rebuilt = self.diagnostics.rebuilt()
        return [path for path, _ in self._unread() if str(path.relative_to(self.objects)) not in rebuilt]

    def _unread(self) -> Iterator[tuple[pathlib.Path, str]]:
        """Those of them that sparse has not read."""
        if self.checker:
            yield from ((p, s) for p, s in self._compiled() if not self.diagnostics.read(s))


def lost(ending: process.Ending, text: str) -> bool:
    """Whether a build says nothing of the source: it was ended, or the machine failed."""
    return ending.rc is None or ending.rc < 0 or (ending.rc != 0 and bool(
        full(text) or _ENDED.search(text) or any(words in text for words in _MACHINE)))


def why_failed(text: str, rc: int | None) -> str:
    """The line of a build log that says why the build failed, for the report."""
    if ended := kconfig.how_ended(rc, SECONDS):
        return f"make {ended}"
    for pattern in (*_MACHINE, r":\s(fatal )?error:\s", r"^ERROR: modpost",
                    r"undefined reference", r"\*\*\*"):
        for line in text.splitlines():
            if re.search(pattern, line):
                return line.strip()
    return f"make ended with {rc}"
