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
import tomllib

from . import repository
from .command import CannotJudge, output, run
from .repository import git

# Not objects of the kernel: their own makefiles build them.
_ELSEWHERE = ("tools/", "samples/", "scripts/", "Documentation/", "usr/", "certs/")


@dataclasses.dataclass
class Lane:
    """What ci/lanes/NAME.toml says of a kernel: architecture, compiler prefix, target of
    kbuild, fragment on it."""

    name: str
    arch: str
    cross: str
    config: str
    fragment: pathlib.Path

    @property
    def compiler(self):
        return shutil.which(f"{self.cross}gcc")


def lanes(top=repository.TOP):
    """The lanes that a plain ci/run builds at every step: the machine's own architecture
    first, so that one lane often does."""
    found = []
    for path in sorted((top / "ci/lanes").glob("*.toml")):
        data = tomllib.loads(path.read_text())
        if not data.get("default", True) or data.get("at", "every") != "every":
            continue
        found.append(Lane(path.stem, data["arch"], data.get("cross", ""), data["config"],
                          top / "kconfig-fragments" / data.get("fragment", f"{path.stem}.config")))
    own = os.uname().machine
    return sorted(found, key=lambda lane: (lane.arch != own, lane.name))


def sources(files):
    """The C sources and headers of the kernel among files."""
    return [f for f in files if f.endswith((".c", ".h")) and not f.startswith(_ELSEWHERE)]


def directories(files):
    """Directories to build for touched files, none below another: ["kernel/dma/"]."""
    found = {f.rpartition("/")[0] + "/" for f in sources(files)
             if "/" in f and not re.match(r"include/|arch/\w+/include/", f)}
    return sorted(d for d in found if not any(d != e and d.startswith(e) for e in found))


def said(text, source_tree):
    """The warnings and errors in a tool's output: a Counter of lines without positions."""
    lines = collections.Counter()
    for line in text.splitlines():
        line = line.replace(f"{source_tree}/", "")
        if re.search(r"(?:^|[\s:])(?:warning|error|fatal error):", line):
            lines[re.sub(r":\d+(?::\d+)?:", ":", line)] += 1
    return lines


class Lost(CannotJudge):
    """The build could not be set up; the text says why."""


@dataclasses.dataclass
class State:
    """sources: those that are built; broken: what stopped make, or ""; said: for the kinds
    "cc" and "sparse" {object or source: Counter of lines}."""

    sources: set
    broken: str
    said: dict


class Objects:
    """One lane's objects, moved from commit to commit."""

    def __init__(self, lane, tree, dirs, sparse):
        """tree: the worktree of the sources; dirs: see directories(); sparse: a path or None."""
        self.lane, self.tree, self.sparse = lane, tree, sparse
        self.dirs = [d for d in dirs if not d.startswith("arch/")
                     or d.startswith(f"arch/{'x86' if lane.arch == 'x86_64' else lane.arch}/")]
        if not lane.compiler:
            raise Lost(f"no {lane.cross}gcc for lane {lane.name}")
        self.tools = output([lane.compiler, "--version"]).split("\n")[0] + "; " + (
            output([sparse, "--version"]) if sparse else "no sparse")
        mark = hashlib.sha256("\0".join(
            [str(tree), self.tools, lane.config, lane.fragment.read_text(),
             (repository.TOP / "scripts/lib/diagnose").read_text()]).encode()).hexdigest()[:12]
        self.directory = repository.cache() / "check" / f"{lane.name}-{mark}"
        for old in (repository.cache() / "check").glob(f"{lane.name}-*"):
            if old != self.directory and re.fullmatch(r"[0-9a-f]{12}", old.name[len(lane.name) + 1:]):
                shutil.rmtree(old)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.diagnostics = self.directory / "diagnostics"
        self.known = {}

    def _make(self, *words, timeout=1800):
        wrapper = self.directory / "diagnose"
        if not wrapper.exists():
            shutil.copy2(repository.TOP / "scripts/lib/diagnose", wrapper)
        command = ["make", "-C", self.tree, f"O={self.directory}", f"ARCH={self.lane.arch}",
                   f"CROSS_COMPILE={self.lane.cross}", f"CC={wrapper} cc {self.lane.cross}gcc",
                   "LOCALVERSION=", "KBUILD_BUILD_VERSION=1", "KBUILD_BUILD_USER=series",
                   "KBUILD_BUILD_HOST=localhost", "KBUILD_BUILD_TIMESTAMP=2026-01-01", *words]
        return run(command, check=False, timeout=timeout, cwd=self.tree,
                   env={"DIAGNOSTICS": str(self.diagnostics), "SOURCES": str(self.tree),
                        "LC_ALL": "C", "MAKEFLAGS": "", "MAKELEVEL": ""})

    def _configure(self):
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
        if self.lane.config == "allnoconfig":
            done = self._make(f"KCONFIG_ALLCONFIG={self.lane.fragment}", "allnoconfig", timeout=300)
        else:
            done = self._make(self.lane.config, timeout=300)
            if done.returncode == 0:
                done = run([self.tree / "scripts/kconfig/merge_config.sh", "-m", "-O",
                            self.directory, config, self.lane.fragment], cwd=self.tree,
                           check=False, timeout=300)
            if done.returncode == 0:
                done = self._make("olddefconfig", timeout=300)
        if done.returncode != 0:
            return f"configuration failed: {(done.stderr or done.stdout).strip()[-1000:]}"
        if old is not None and config.read_text() == old:
            os.utime(config, ns=(times.st_atime_ns, times.st_mtime_ns))
        repository.write_atomically(kept, mark)
        return ""

    def build(self, commit):
        """What the tools say of the objects at a commit: a State."""
        if commit in self.known:
            return self.known[commit]
        repository.move(self.tree, commit)
        if why := self._configure():
            self.known[commit] = State(set(), why, {"cc": {}, "sparse": {}})
            return self.known[commit]
        words = [f"-j{os.cpu_count()}", "-k", "W=1", *self.dirs]
        if self.sparse:
            words[2:2] = ["C=1", f"CHECK={self.directory}/diagnose sparse {self.sparse}"]
        done = self._make(*words)
        if done.returncode is None:
            raise Lost(f"lane {self.lane.name}: the build took more than 30 minutes")
        again = self._without_diagnostics()
        if again:
            # A killed run left objects of which nothing is known: make them anew.
            for path in again:
                path.unlink(missing_ok=True)
            done = self._make(*words)
        if done.returncode and re.search(r"(?m)Error 1(?:3[0-9]|43)$|\] (?:Killed|Terminated)|"
                                         r"signal terminated|No space left on device", done.stderr):
            # By the machine, not by the patch: out of memory, out of disk, a kill.
            raise Lost(f"lane {self.lane.name}: the build was ended from outside: "
                       f"{done.stderr.strip().splitlines()[-1]}"
                       + (": No space left on device" if "No space left" in done.stderr else ""))
        if self.sparse and "not up to date" in done.stderr:
            raise Lost("kbuild refused the sparse that scripts/checker-valid.sh accepts")
        lines = [x for x in done.stderr.splitlines() if re.search(r"error:|\*\*\*", x)]
        broken = "\n".join(lines[:20]) if done.returncode else ""
        if done.returncode and not lines:
            broken = (done.stderr or done.stdout)[-1000:]
        names = self._objects()
        self.known[commit] = State(set(names.values()), broken, {
            "cc": self._diagnoses("cc", names),
            "sparse": self._diagnoses("sparse", {s: s for s in names.values()})})
        return self.known[commit]

    def _objects(self):
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

    def _without_diagnostics(self):
        missing = []
        for name, source in self._objects().items():
            path = self.directory / name
            if path.exists() and not (
                    (self.diagnostics / "cc" / name).exists()
                    and (not self.sparse or (self.diagnostics / "sparse" / source).exists())):
                missing.append(path)
        return missing

    def _diagnoses(self, kind, names):
        """{name: Counter of lines} for names: {object or source: source} that exist."""
        found = {}
        for name, source in names.items():
            path = self.diagnostics / kind / name
            if path.exists() and (self.tree / source).exists():
                found[name] = said(path.read_text(errors="replace"), self.tree)
        return found


def added(before, after):
    """Lines of diagnoses that are new: sorted list."""
    new = collections.Counter()
    for name, lines in after.items():
        new |= lines - before.get(name, collections.Counter())
    return sorted(new.elements())
