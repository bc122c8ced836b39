# SPDX-License-Identifier: GPL-2.0
"""Objects of the directories that a series touches, built with W=1 and sparse.

One object directory for each lane and set of tools below CACHE/check, walked
forward from step to step, so that each step compiles only what it changed. What
the compiler and sparse say is kept for each object (see lib/diagnose), so the
set at one step minus the set at the step before is what the patch added.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from . import lane as lane_file
from . import repository
from .command import CannotJudge, Missing, complete, full, output
from .lane import Lane
from .repository import git

# Not objects of the kernel: their own makefiles build them.
_ELSEWHERE = ("tools/", "samples/", "scripts/", "Documentation/", "usr/", "certs/")

# Seconds for one run of make; beside boots it gets a fraction of a core.
CONFIGURE, BUILD = 600, 7200


# What os.uname() calls a machine where ARCH= of kbuild says otherwise.
_ARCH = {"aarch64": "arm64"}


def compiler(lane: Lane) -> str | None:
    """The path of a lane's compiler, None where it is not on this machine."""
    return shutil.which(f"{lane.cross}gcc")


def lanes(top: pathlib.Path = repository.TOP) -> list[Lane]:
    """The lanes that a plain ci/run builds at every step: the machine's own architecture
    first, so that one lane often does."""
    found = [lane_file.read(top, name) for name in lane_file.default(top)]
    own = _ARCH.get(os.uname().machine, os.uname().machine)
    return sorted((lane for lane in found if lane.at == "every"),
                  key=lambda lane: (lane.arch != own, lane.name))


def sources(files: Iterable[str]) -> list[str]:
    """The C sources and headers of the kernel among files."""
    return [f for f in files if f.endswith((".c", ".h")) and not f.startswith(_ELSEWHERE)]


def directories(files: Iterable[str]) -> list[str]:
    """Directories to build for touched files, none below another: ["kernel/dma/"]."""
    found = {f.rpartition("/")[0] + "/" for f in sources(files)
             if "/" in f and not re.match(r"include/|arch/\w+/include/", f)}
    return sorted(d for d in found if not any(d != e and d.startswith(e) for e in found))


def said(text: str, source_tree: pathlib.Path) -> collections.Counter[str]:
    """The warnings and errors in a tool's output: a Counter of lines without positions."""
    lines = collections.Counter()
    for line in text.splitlines():
        line = line.replace(f"{source_tree}/", "")
        if re.search(r"(?:^|[\s:])(?:warning|error|fatal error):", line):
            lines[re.sub(r":\d+(?::\d+)?:", ":", line)] += 1
    return lines


@dataclasses.dataclass
class State:
    """configured: whether there was a .config; sources: those that are built; broken: what
    stopped make, or ""; said: for the kinds "cc" and "sparse" {object or source: Counter of
    lines}."""

    configured: bool
    sources: set[str]
    broken: str
    said: dict[str, dict[str, collections.Counter[str]]]


class Objects:
    """One lane's objects, moved from commit to commit."""

    def __init__(self, lane: Lane, tree: pathlib.Path, dirs: Sequence[str],
                 sparse: pathlib.Path | None) -> None:
        """tree: the worktree of the sources; dirs: see directories(); sparse: a path or None.

        Missing where the lane has no compiler.
        """
        self.lane, self.tree, self.sparse = lane, tree, sparse
        self.dirs = [d for d in dirs if not d.startswith("arch/")
                     or d.startswith(f"arch/{'x86' if lane.arch == 'x86_64' else lane.arch}/")]
        program = compiler(lane)
        if program is None:
            raise Missing(f"no {lane.cross}gcc for lane {lane.name} "
                          f"(package gcc{'-' if lane.cross else ''}{lane.cross.rstrip('-')})")
        self.tools = output([program, "--version"]).split("\n")[0] + "; " + (
            output([sparse, "--version"]) if sparse else "no sparse")
        mark = hashlib.sha256("\0".join(
            [str(tree), self.tools, lane.config, lane.fragment,
             (repository.TOP / "scripts/lib/diagnose").read_text()]).encode()).hexdigest()[:12]
        self.directory = repository.cache() / "check" / f"{lane.name}-{mark}"
        for old in (repository.cache() / "check").glob(f"{lane.name}-*"):
            if old != self.directory and re.fullmatch(r"[0-9a-f]{12}", old.name[len(lane.name) + 1:]):
                shutil.rmtree(old)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.diagnostics = self.directory / "diagnostics"
        self.known: dict[str, State] = {}

    def _make(self, *words: str, seconds: float) -> subprocess.CompletedProcess[str]:
        wrapper = self.directory / "diagnose"
        if not wrapper.exists():
            shutil.copy2(repository.TOP / "scripts/lib/diagnose", wrapper)
        command = ["make", "-C", self.tree, f"O={self.directory}", f"ARCH={self.lane.arch}",
                   f"CROSS_COMPILE={self.lane.cross}", f"CC={wrapper} cc {self.lane.cross}gcc",
                   "LOCALVERSION=", "KBUILD_BUILD_VERSION=1", "KBUILD_BUILD_USER=series",
                   "KBUILD_BUILD_HOST=localhost", "KBUILD_BUILD_TIMESTAMP=2026-01-01", *words]
        return complete(command, timeout=seconds, cwd=self.tree,
                        env={"DIAGNOSTICS": str(self.diagnostics), "SOURCES": str(self.tree),
                             "LC_ALL": "C"})

    def _configure(self) -> str:
        """Make the lane's configuration; .config keeps its time stamp where it is the same.

        Returns why it failed, or "".
        """
        kconfigs = git(self.tree, "ls-files", "-s", "--", "*Kconfig*", "scripts/kconfig")
        mark = hashlib.sha256(kconfigs.encode()).hexdigest()
        kept, config = self.directory / "kconfig-mark", self.directory / ".config"
        if config.exists() and kept.exists() and kept.read_text() == mark:
            return ""
        # Gone until all is done: a kill on the way must not leave it beside half a .config.
        kept.unlink(missing_ok=True)
        old = config.read_text() if config.exists() else None
        times = config.stat() if old is not None else None
        fragment = self.directory / "fragment"
        fragment.write_text(self.lane.fragment)
        if self.lane.config == "allnoconfig":
            done = self._make(f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig", seconds=CONFIGURE)
        else:
            done = self._make(self.lane.config, seconds=CONFIGURE)
            if done.returncode == 0:
                done = complete([self.tree / "scripts/kconfig/merge_config.sh", "-m", "-O",
                                 self.directory, config, fragment], cwd=self.tree, timeout=CONFIGURE)
            if done.returncode == 0:
                done = self._make("olddefconfig", seconds=CONFIGURE)
        if done.returncode != 0:
            return f"configuration failed: {(done.stderr or done.stdout).strip()[-1000:]}"
        if times is not None and config.read_text() == old:
            os.utime(config, ns=(times.st_atime_ns, times.st_mtime_ns))
        repository.write_atomically(kept, mark)
        return ""

    def build(self, commit: str) -> State:
        """What the tools say of the objects at a commit.

        CannotJudge where the machine, not the source, ended the build.
        """
        if commit not in self.known:
            self.directory.mkdir(parents=True, exist_ok=True)  # a run with other tools removes it
            repository.move(self.tree, commit)
            why = self._configure()
            self.known[commit] = State(False, set(), why, {"cc": {}, "sparse": {}}) if why else \
                self._build()
        return self.known[commit]

    def _build(self) -> State:
        words = [f"-j{os.cpu_count()}", "-k", "W=1", *self.dirs]
        if self.sparse:
            words[2:2] = ["C=1", f"CHECK={self.directory}/diagnose sparse {self.sparse}"]
        done = self._make(*words, seconds=BUILD)
        if again := self._without_diagnostics():
            # A killed run left objects of which nothing is known: make them anew.
            for path in again:
                path.unlink(missing_ok=True)
            done = self._make(*words, seconds=BUILD)
        self._ended_by_machine(done)
        lines = [x for x in done.stderr.splitlines() if re.search(r"error:|\*\*\*", x)]
        broken = "\n".join(lines[:20]) if done.returncode else ""
        if done.returncode and not lines:
            broken = (done.stderr or done.stdout)[-1000:] or f"make ended with {done.returncode}"
        names = self._objects()
        return State(True, set(names.values()), broken, {
            "cc": self._diagnoses("cc", names),
            "sparse": self._diagnoses("sparse", {s: s for s in names.values()})})

    def _ended_by_machine(self, done: subprocess.CompletedProcess[str]) -> None:
        """CannotJudge where the patch is not to blame for how make ended."""
        outside = re.search(r"(?m)Error 1(?:3[0-9]|43)$|\] (?:Killed|Terminated)|signal terminated",
                            done.stderr)
        if done.returncode and (outside or full(done.stderr)):
            # Out of memory, out of disk, a kill: the last words tell which.
            words = [x for x in done.stderr.splitlines() if full(x)] or done.stderr.strip().splitlines()
            raise CannotJudge(f"lane {self.lane.name}: the build was ended from outside: {words[-1]}")
        if self.sparse and "not up to date" in done.stderr:
            raise CannotJudge("kbuild refused the sparse that scripts/checker-valid.sh accepts")

    def _objects(self) -> dict[str, str]:
        """{object: source} of all objects that were compiled from C in the directories."""
        found = {}
        for top in self.dirs:
            for path in (self.directory / top).rglob(".*.o.cmd"):
                with open(path, errors="replace", encoding="utf-8") as stream:
                    match = re.search(r"(?m)^source_(\S+) := (\S+\.c)$", stream.read())
                if match:
                    name = match.group(2).replace(f"{self.tree}/", "")
                    found[match.group(1)] = os.path.normpath(name)
        return found

    def _without_diagnostics(self) -> list[pathlib.Path]:
        """Objects of which nothing is kept."""
        missing = []
        for name, source in self._objects().items():
            path = self.directory / name
            if path.exists() and not (
                    (self.diagnostics / "cc" / name).exists()
                    and (not self.sparse or (self.diagnostics / "sparse" / source).exists())):
                missing.append(path)
        return missing

    def _diagnoses(self, kind: str, names: dict[str, str]) -> dict[str, collections.Counter[str]]:
        """{name: Counter of lines} for names: {object or source: source} that exist."""
        found = {}
        for name, source in names.items():
            path = self.diagnostics / kind / name
            if path.exists() and (self.tree / source).exists():
                found[name] = said(path.read_text(errors="replace"), self.tree)
        return found


def added(before: dict[str, collections.Counter[str]],
          after: dict[str, collections.Counter[str]]) -> list[str]:
    """Lines of diagnoses that are new: sorted list."""
    new: collections.Counter[str] = collections.Counter()
    for name, lines in after.items():
        new |= lines - before.get(name, collections.Counter())
    return sorted(new.elements())
