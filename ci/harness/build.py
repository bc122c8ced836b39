# SPDX-License-Identifier: GPL-2.0
"""Build one step of a lane: kernel, modules and the tests that live in them."""

import dataclasses
import os
import pathlib
import re
import shutil

from lib import process
from lib.command import Broken, output
from lib.lane import Lane
from lib.series import slug
from lib.store import hash_file, write_atomically

from . import config
from .diagnostics import Diagnostics
from .errors import CannotJudge, UsageError

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
            "virtual memory exhausted")
BUILD_SECONDS = 3000
MODULES_SECONDS = 600


@dataclasses.dataclass
class Module:
    """A test module built against every step's kernel.

    name: of the .ko; sources: {file name: text}. A directory of ci/guest/modules,
    or a KUnit suite of the last step, which then also runs on the kernels before.
    """

    name: str
    sources: dict


def toolchain(lane: Lane) -> str:
    """What compiles this lane: part of every key; CannotJudge where it is missing."""
    words = []
    for tool in (f"{lane.cross}gcc", f"{lane.cross}ld"):
        try:
            words.append(output([tool, "--version"]).splitlines()[0])
        except (FileNotFoundError, Broken):
            raise CannotJudge(f"no {tool}, which lane {lane.name} is built with; install the "
                              "packages in ci/packages, or leave the lane out with --lane") from None
    return "; ".join(words)


def modules(lane, source, series, commits, top):
    """The test modules of a lane.

    An entry "ci:NAME" is the directory ci/guest/modules/NAME. "kunit:PATH" is the
    KUnit suite at PATH in the tree of the last step, "kunit:PATH@PATCH" as the patch
    of that slug leaves it (for a suite whose expectations a later patch turns);
    left out while the tree has none.
    """
    steps = {slug(p): p.step for p in series.patches}
    found = []
    for entry in lane.modules:
        kind, _, what = entry.partition(":")
        if kind == "ci":
            directory = pathlib.Path(top) / "ci/guest/modules" / what
            found.append(Module(what, {p.name: p.read_text() for p in sorted(directory.iterdir())
                                       if p.is_file() and not p.name.startswith(".")}))
            continue
        what, _, patch = what.partition("@")
        if patch and patch not in steps:
            raise UsageError(f"ci/lanes/{lane.name}.toml: {entry}: no patch {patch!r} in series")
        step = steps.get(patch, len(commits) - 1)
        if step < len(commits) and source.object(commits[step], what):
            path = pathlib.PurePath(what)
            found.append(Module(path.stem, {
                path.name: source.git("show", f"{commits[step]}:{what}") + "\n",
                "Kbuild": f"obj-m := {path.stem}.o\nccflags-y := -I$(srctree)/{path.parent}\n"}))
    return found


class Builder:
    """Builds steps of one lane in one object directory, walking forward."""

    def __init__(self, lane, source, paths, jobs):
        self.lane = lane
        self.source = source
        self.paths = paths
        self.jobs = jobs
        self.directory = paths.lane(lane.name)
        self.tree = self.directory / "source"
        # below the sources: kbuild then names these by ..; else their path is in what KASAN and
        # UBSAN say, and an image differs from cache to cache
        self.objects = self.tree / "objects"
        self.log = self.directory / "build.log"
        self.toolchain = toolchain(lane)
        store = self.directory / "diagnostics"
        if not store.exists():
            # objects whose warnings were not kept would look clean for ever
            output(["rm", "-rf", self.objects], timeout=600)
        self.diagnostics = Diagnostics(store, self.tree)
        self.source.worktree(self.tree)
        output(["rm", "-rf", self.directory / "objects"], timeout=600)  # where they were before
        self.objects.mkdir(parents=True, exist_ok=True)
        # the inode, since containers may have caches of the same path
        self.identity = f"{self.objects}:{self.objects.stat().st_ino}"
        self.marker = f"SERIES_OBJECTS={self.identity}"

    def environment(self):
        """PATH starts with the compiler wrapper under the compiler's own names."""
        links = self.directory / "bin"
        links.mkdir(parents=True, exist_ok=True)
        wrapper = pathlib.Path(__file__).with_name("compiler")
        for name in {f"{self.lane.cross}gcc", "gcc"}:
            link = links / name
            if link.is_symlink() or link.exists():
                link.unlink()
            shutil.copy(wrapper, link)
        return dict(os.environ, **IDENTITY, SERIES_OBJECTS=self.identity,
                    DIAGNOSTICS=str(self.diagnostics.directory),
                    PATH=f"{links}:{os.environ['PATH']}")

    def make(self, *words):
        return ["make", "-C", self.tree, f"O={self.objects}", f"ARCH={self.lane.arch}",
                f"CROSS_COMPILE={self.lane.cross}", f"-j{self.jobs}", *words]

    def recover(self):
        """After a kill: end what still runs, remove what may be half written.

        kbuild writes an object and then its .cmd file, so an object newer than
        its .cmd, or with its dependency file still there, was not finished.
        """
        process.end_orphans(self.marker)
        building = self.directory / "building"
        if not building.exists():
            return
        started = building.stat().st_mtime
        for path in self.objects.rglob("*"):
            if path.is_symlink() or not path.is_file() or path.stat().st_mtime < started:
                continue
            command = path.with_name(f".{path.name}.cmd")
            unfinished = path.with_name(f".{path.name}.d").exists()
            if path.suffix in (".o", ".a", ".ko", ".s", ".dtb") or path.name.startswith("vmlinux") \
                    or path.name.startswith("Image"):
                if unfinished or not command.exists() or \
                        command.stat().st_mtime_ns < path.stat().st_mtime_ns:
                    path.unlink()
        building.unlink()

    def build(self, commit, keep):
        """Build a commit; keep: directory that receives image and modules.

        Returns a record: ok, reason, log (text kept by the caller), seconds, cpu,
        diagnostics (the whole set), image (sha256), modules ([names]).
        """
        self.recover()
        self.source.worktree(self.tree)
        self.source.checkout(self.tree, commit)
        self.log.unlink(missing_ok=True)
        (self.directory / "building").write_text(commit)
        config.install(config.make(self.source, self.lane, commit, self.tree, self.toolchain,
                                   self.paths), self.objects)
        self.diagnostics.begin()
        outcome = process.run(self.make("-s", *self.lane.targets), self.log, BUILD_SECONDS,
                              env=self.environment())
        text = self.log.read_text(errors="replace")
        record = {"ok": outcome.rc == 0, "seconds": outcome.seconds, "cpu": outcome.cpu,
                  "reason": "" if outcome.rc == 0 else self._plain(why_failed(text, outcome.rc)),
                  "lost": _lost(outcome, text),
                  "diagnostics": self.diagnostics.end(text)}
        if record["ok"]:
            self._keep(keep, record)
        (self.directory / "building").unlink()
        return record

    def _plain(self, text: str) -> str:
        """A line of a log as it is in each cache: with paths from the kernel's tree on."""
        for place in (self.objects, self.tree, self.directory):
            text = text.replace(f"{place}/", "")
        return re.sub(r"(?<![\w./])(\.\./)+", "", text)

    def _keep(self, keep, record):
        """Copy the image out of the way of the next step's build."""
        keep.mkdir(parents=True, exist_ok=True)
        target = keep / "image"
        built = self.objects / self.lane.image
        if self.lane.strip:
            output([f"{self.lane.cross}strip", "-s", "-o", keep / ".image", built])
        else:
            shutil.copyfile(built, keep / ".image")
        os.replace(keep / ".image", target)
        record["image"] = hash_file(target)
        for directory in self.lane.sizes:
            self._keep_objects(keep, directory)

    def _keep_objects(self, keep, directory):
        """The objects of a kernel directory as one file, where the step has any."""
        archive = self.objects / directory / "built-in.a"
        target = objects_of(keep, directory)
        target.unlink(missing_ok=True)
        if archive.exists():
            output([f"{self.lane.cross}ld", "-r", "-o", target, "--whole-archive", archive],
                           cwd=self.objects)

    def _built(self, names):
        """Those of the modules that this step has: what another step built may still lie there."""
        order = self.objects / "modules.order"
        built = order.read_text().split() if names and order.exists() else []
        return [n for n in names if str(pathlib.PurePath(n).with_suffix(".o")) in built]

    def _forget_older_than_configuration(self, directory):
        """Of a module outside the tree, kbuild does not see that the configuration changed."""
        config = self.objects / "include/config/auto.conf"
        for path in directory.glob("*.o"):
            if config.exists() and path.stat().st_mtime_ns < config.stat().st_mtime_ns:
                path.unlink()

    def build_modules(self, chosen, keep):
        """Build test modules against the kernel just built; [] or what failed.

        keep/modules receives the .ko files, and those of the kernel's own that the
        lane names. A module that does not build on a step is not a fault of the
        step: its tests are then missing there.
        """
        target = keep / "modules"
        output(["rm", "-rf", target])
        target.mkdir(parents=True)
        for name in self._built(self.lane.kernel_modules):
            shutil.copy(self.objects / name, target)
        failed = []
        for module in chosen:
            directory = self.directory / "modules" / module.name
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in module.sources.items():
                path = directory / name
                if not path.exists() or path.read_text() != text:
                    write_atomically(path, text.encode())
            self._forget_older_than_configuration(directory)
            environment = self.environment()
            del environment["DIAGNOSTICS"]
            environment["SERIES_SOURCE"] = str(self.tree)
            log = self.directory / f"module-{module.name}.log"
            log.unlink(missing_ok=True)
            command = self.make("-s", f"M={directory}", "modules")
            outcome = process.run(command, log, MODULES_SECONDS, env=environment)
            text = log.read_text(errors="replace")
            if _lost(outcome, text):
                raise CannotJudge(f"module {module.name}: {why_failed(text, outcome.rc)}; see {log}")
            if outcome.rc == 0:
                shutil.copyfile(directory / f"{module.name}.ko", target / f"{module.name}.ko")
            else:
                failed.append(f"{module.name}: {self._plain(why_failed(text, outcome.rc))}")
        return failed


def objects_of(keep, directory):
    """Where the objects of a kernel directory are kept beside an image."""
    return keep / f"{directory.replace('/', '-')}.o"


def _lost(outcome: process.Outcome, text: str) -> bool:
    """Whether a build says nothing of the source: it was ended, or the machine failed."""
    return outcome.rc is None or outcome.rc < 0 or \
        (outcome.rc != 0 and any(words in text for words in _MACHINE))


def why_failed(text: str, rc: int | None) -> str:
    """The line of a build log that says why the build failed, for the report."""
    if rc is None:
        return f"no end within {BUILD_SECONDS} s"
    for pattern in (*_MACHINE, r":\s(fatal )?error:\s", r"^ERROR: modpost",
                    r"undefined reference", r"\*\*\*"):
        for line in text.splitlines():
            if re.search(pattern, line):
                return line.strip()
    return f"make ended with {rc}"
