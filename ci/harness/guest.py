# SPDX-License-Identifier: GPL-2.0
"""What goes into the guest: busybox, tests, programs, modules, the kernel's own selftests.

Each is an archive of its own, kept in the cache by what it is made from. The initramfs of
a boot is those that its tests need, one behind the other, so that an edit of one test
concerns only the boots that run it.

An archive is the same bytes wherever it is made. What they hash to is in the store, so that
verdicts which come from another machine, or outlive the archives, need none of them.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lib import debian, process
from lib.command import CannotJudge, Failed, full, output
from lib.lane import Lane
from lib.store import Store, digest, hash_file, hash_tree, write_atomically

from . import cpio, needs
from .hashes import Hashes
from .paths import Paths
from .trees import Trees

# What a selftest is made from, besides its own directory.
_SELFTEST_INPUTS = ("tools/testing/selftests/lib.mk", "tools/testing/selftests/kselftest.h",
                    "tools/testing/selftests/kselftest_harness.h", "tools/include", "tools/arch",
                    "tools/scripts", "include/uapi", "arch/x86/include/uapi",
                    "arch/arm64/include/uapi", "tools/testing/selftests/kselftest",
                    "tools/testing/selftests/Makefile")
_SECONDS = 600
# Libraries that programs and selftests are linked with, where the compiler has them.
_LIBRARIES = ("libc.a", "libgcc.a", "libcap.a", "libuuid.a")
# Raise when an archive's making changes.
_LAYOUT = 5


@dataclasses.dataclass(frozen=True)
class CpioArchive:
    """A part of an initramfs, which need not be made yet.

    path: where the cache keeps it; inputs: what it is made from, by name, JSON values;
    fill(directory): makes its tree in an empty directory.
    """

    path: pathlib.Path
    inputs: Mapping[str, Any]
    fill: Callable[[pathlib.Path], None]


class Guest:
    """Makes the archives of a lane."""

    def __init__(self, lane: Lane, trees: Trees, paths: Paths, toolchain: str) -> None:
        self.lane = lane
        self.trees = trees
        self.paths = paths
        self.toolchain = toolchain
        self.needs = needs.read(paths.top)
        self.directory = paths.cache / "initramfs" / lane.name
        self.hashes = Hashes(Store(paths.store), lane.name)
        self.lock = threading.RLock()
        self.checked: set[pathlib.Path] = set()
        self.boots: dict[tuple[str, str, tuple[str, ...], frozenset[str]],
                         tuple[list[CpioArchive], list[str]]] = {}
        self.keys: dict[tuple[str, str], str] = {}

    def _archive(self, kind: str, inputs: Mapping[str, Any],
                 fill: Callable[[pathlib.Path], None]) -> CpioArchive:
        whole = {"kind": kind, "layout": _LAYOUT, **inputs}
        return CpioArchive(self.directory / f"{kind}-{digest(whole)}.cpio", whole, fill)

    def hash(self, archive: CpioArchive) -> str:
        """The sha256 of an archive: by the store, where it was made once."""
        with self.lock:
            return self.hashes.of(archive.inputs, lambda: self._make(archive))

    def made(self, archive: CpioArchive) -> pathlib.Path:
        """The file of an archive, made where it is missing; CannotJudge where it is not what the
        store says."""
        with self.lock:
            if archive.path not in self.checked:
                found = hash_file(archive.path) if archive.path.exists() else self._make(archive)
                self.hashes.check(archive.inputs, found)
                self.checked.add(archive.path)
            os.utime(archive.path)  # what is used is not what is pruned first
        return archive.path

    def _make(self, archive: CpioArchive) -> str:
        """Make the file of an archive; its sha256."""
        tree = self.directory / f".{archive.inputs['kind']}"
        output(["rm", "-rf", tree])
        tree.mkdir(parents=True)
        archive.fill(tree)
        packed = cpio.pack(tree)
        write_atomically(archive.path, packed)
        output(["rm", "-rf", tree])
        return hashlib.sha256(packed).hexdigest()

    # --- busybox and init

    def foreign(self) -> pathlib.Path | None:
        """The unpacked packages of the guest's architecture, or None for the machine's own."""
        return self._unpacked() if self.lane.foreign else None

    def _unpacked(self) -> pathlib.Path:
        """The directory of a foreign architecture's packages, made where it is missing."""
        words = self._foreign_words()
        path = self._foreign_path()
        if not path.exists():
            try:
                debian.unpack(path, words[0], words[1:])
            except CannotJudge as error:
                if full(error):
                    raise
                raise CannotJudge(f"lane {self.lane.name}: {error}") from None
        if path not in self.checked:
            self.hashes.check(self._foreign_inputs(), hash_tree(path))
            self.checked.add(path)
        return path

    def _foreign_words(self) -> list[str]:
        return [self.lane.foreign["architecture"], *self.lane.foreign["packages"]]

    def _foreign_path(self) -> pathlib.Path:
        words = self._foreign_words()
        return self.paths.tools / f"{words[0]}-{digest(words)}"

    def _foreign_inputs(self) -> dict[str, Any]:
        return {"kind": "foreign", "packages": self._foreign_words()}

    def _foreign_hash(self) -> str:
        """A digest of the unpacked packages, "" for none."""
        if not self.lane.foreign:
            return ""
        with self.lock:
            return self.hashes.of(self._foreign_inputs(), lambda: hash_tree(self._unpacked()))

    @functools.cached_property
    def _libraries(self) -> dict[str, str]:
        """The static libraries that the compiler has: {name: sha256}."""
        found = {name: pathlib.Path(output([f"{self.lane.cross}gcc", f"-print-file-name={name}"]))
                 for name in _LIBRARIES}
        return {name: hash_file(path) for name, path in found.items()
                if path.is_absolute() and path.is_file()}

    def busybox(self) -> pathlib.Path | None:
        """A static busybox for the lane's architecture; None for a lane that needs none."""
        if not self.lane.busybox:
            return None
        root = self.foreign() or pathlib.Path("/")
        # a package of Debian 13 has usr/bin/busybox, one of Debian 12 bin/busybox
        for path in (root / self.lane.busybox, root / "usr" / self.lane.busybox):
            if path.exists():
                return path
        raise CannotJudge(f"no {self.lane.busybox} in {root} or {root / 'usr'}: install the package "
                          "busybox-static")

    def base(self) -> CpioArchive:
        """busybox, /init and empty directories."""
        init = self.paths.top / "ci/guest/init"

        def fill(tree: pathlib.Path) -> None:
            for name in ("bin", "dev", "proc", "sys", "tmp", "tests", "modules", "selftests"):
                (tree / name).mkdir()
            _install(init, tree / "init")
            if busybox := self.busybox():
                _install(busybox, tree / "bin/busybox")
                for applet in ("sh", "mount"):
                    (tree / "bin" / applet).symlink_to("busybox")

        return self._archive("base", {"init": hash_file(init), "busybox": self._busybox_hash()}, fill)

    def _busybox_hash(self) -> str:
        if self.lane.busybox and self.lane.foreign:
            return digest(self._foreign_hash(), self.lane.busybox)
        busybox = self.busybox()
        return hash_file(busybox) if busybox else ""

    # --- tests and programs

    def scripts(self, names: Sequence[str]) -> CpioArchive:
        """Files of ci/guest/tests as /tests."""
        files = [self.paths.top / "ci/guest/tests" / name for name in names]

        def fill(tree: pathlib.Path) -> None:
            (tree / "tests").mkdir()
            for path in files:
                shutil.copyfile(path, tree / "tests" / path.name)

        return self._archive("tests", {"files": {path.name: hash_file(path) for path in files}}, fill)

    def program(self, name: str) -> CpioArchive:
        """A program of ci/guest/programs, built static, as /bin/NAME."""
        source = self.paths.top / "ci/guest/programs" / f"{name}.c"

        def fill(tree: pathlib.Path) -> None:
            (tree / "bin").mkdir()
            output([f"{self.lane.cross}gcc", "-static", "-O2", "-Wall", "-Werror",
                    f"-ffile-prefix-map={source.parent}/=", "-Wl,--build-id=none", "-s", "-o",
                    tree / "bin" / name, source])

        return self._archive(f"program-{name}", {
            "sources": {path.name: hash_file(path) for path in needs.sources(source)},
            "toolchain": self.toolchain, "libraries": self._libraries}, fill)

    # --- the kernel's own selftests

    def selftests_key(self, commit: str, directory: str) -> str:
        """What the selftests of a directory are made from, as a key."""
        where = commit, directory
        if where not in self.keys:
            self.keys[where] = digest(_LAYOUT, self.toolchain, self.lane.arch, self._foreign_hash(),
                                      self._libraries, directory,
                                      [self.trees.object(commit, n) for n in selftest_inputs(directory)])
        return self.keys[where]

    def selftests(self, commit: str, directory: str, place: str) -> CpioArchive:
        """A directory of selftests of a step as /PLACE/DIRECTORY."""
        def fill(root: pathlib.Path) -> None:
            built = self._programs(commit, directory)
            self.hashes.check(self._programs_inputs(commit, directory), hash_tree(built))
            (root / place).mkdir()
            shutil.copytree(built, root / place / directory)

        return self._archive(f"{place}-{directory}",
                             {"programs": self._programs_hash(commit, directory)}, fill)

    def _programs_inputs(self, commit: str, directory: str) -> dict[str, Any]:
        return {"kind": f"programs-{directory}", "key": self.selftests_key(commit, directory)}

    def _programs_hash(self, commit: str, directory: str) -> str:
        """A digest of the programs of a step's selftests."""
        with self.lock:
            return self.hashes.of(self._programs_inputs(commit, directory),
                                  lambda: hash_tree(self._programs(commit, directory)))

    def _programs(self, commit: str, directory: str) -> pathlib.Path:
        """Where the programs of a step's selftests are kept, built static and stripped."""
        kept = self.directory / f"programs-{directory}-{self.selftests_key(commit, directory)}" / directory
        with self.lock:
            if not kept.exists():
                scratch = self.directory / ".programs" / directory
                output(["rm", "-rf", scratch.parent])
                scratch.mkdir(parents=True)
                for path in self._build_selftests(commit, directory):
                    output([f"{self.lane.cross}strip", "-o", scratch / path.name, path])
                os.rename(scratch.parent, kept.parent)
            os.utime(kept.parent)
        return kept

    def _build_selftests(self, commit: str, directory: str) -> list[pathlib.Path]:
        """The programs that kselftest's makefiles build in a directory, sorted."""
        out = self.paths.lane(self.lane.name) / "selftests"
        output(["rm", "-rf", out])
        built = out / directory
        built.mkdir(parents=True)
        with self.trees.selftests(commit) as tree:
            headers = self._headers(tree, commit, out / "log")
            self._make_selftests(tree / "tools/testing/selftests" / directory, headers, built,
                                 out / "log")
        return [p for p in sorted(built.iterdir()) if p.is_file() and os.access(p, os.X_OK)]

    def _headers(self, tree: pathlib.Path, commit: str, log: pathlib.Path) -> pathlib.Path:
        """Where the UAPI headers of a tree, which is at a commit, are installed."""
        headers = self.paths.lane(self.lane.name) / "headers"
        uapi = digest([self.trees.object(commit, n) for n in _SELFTEST_INPUTS if "uapi" in n])
        if not (headers / uapi).exists():
            output(["rm", "-rf", headers])
            headers.mkdir(parents=True)
            self._run(["make", "-s", f"-j{os.cpu_count()}", "-C", tree, f"O={headers}", *self._kbuild(),
                       "headers"], log)
            (headers / uapi).touch()
        return headers

    def _make_selftests(self, directory: pathlib.Path, headers: pathlib.Path, built: pathlib.Path,
                        log: pathlib.Path) -> None:
        include, library = "", ""
        if root_of := self.foreign():
            include = f" -idirafter {root_of / 'usr/include'}"
            library = f" -L{root_of / 'usr/lib' / self.lane.foreign['library']}"
        # the tree's path ends in what the tests say where a check fails
        places = directory.parents[3], headers
        self._run(["make", "-s", "-C", directory, f"OUTPUT={built}", *self._kbuild(),
                   f"KHDR_INCLUDES=-isystem {headers / 'usr/include'}{include}",
                   "USERCFLAGS=" + " ".join(f"-ffile-prefix-map={path}/=" for path in places),
                   f"LDFLAGS=-static -Wl,--build-id=none{library}"], log)

    def _kbuild(self) -> list[str]:
        return [f"ARCH={self.lane.arch}", f"CROSS_COMPILE={self.lane.cross}"]

    def _run(self, words: Sequence[object], log: pathlib.Path) -> None:
        outcome = process.run(words, log, _SECONDS)
        if ended := process.cut_short(outcome.rc, _SECONDS):
            raise CannotJudge(f"lane {self.lane.name}: the build of the selftests {ended}; see {log}; "
                              f"again: {process.shell(words)}")
        if outcome.rc:
            raise Failed(f"lane {self.lane.name}: the selftests do not build; see {log}; "
                         f"again: {process.shell(words)}")

    # --- a step's own part

    def modules(self, keep: pathlib.Path, hashes: Mapping[str, str],
                patterns: Sequence[str]) -> CpioArchive:
        """The modules built with a step that some pattern names, as /modules.

        keep: where they are; hashes: {file name: sha256} of all that the step has.
        """
        names = needs.matching(hashes, patterns)

        def fill(tree: pathlib.Path) -> None:
            (tree / "modules").mkdir()
            for name in names:
                shutil.copyfile(keep / "modules" / name, tree / "modules" / name)

        return self._archive("modules", {"modules": {name: hashes[name] for name in names}}, fill)

    def modules_needed(self, tests: Sequence[str]) -> tuple[str, ...]:
        """Patterns of the modules that the tests of a boot load."""
        return needs.together(self.needs, list(tests)).modules

    # --- a boot

    def archives(self, commit: str, last: str, tests: Sequence[str],
                 own: Callable[[str], object] = lambda directory: True,
                 ) -> tuple[list[CpioArchive], list[str]]:
        """The archives of a boot but for its modules, and the tests as init runs them.

        commit: of the step; last: of the last step, whose selftests run on every kernel.
        Where the step's own tree has others, and own(directory) says that they are due, they
        come, too, for the tests NAME@step.
        """
        with self.lock:
            wanted = needs.together(self.needs, list(tests))
            due = frozenset(d for d in wanted.selftests if wanted.step and own(d))
            where = commit, last, tuple(tests), due
            if where not in self.boots:
                self.boots[where] = self._archives(*where)
            parts, names = self.boots[where]
        return list(parts), list(names)

    def _archives(self, commit: str, last: str, tests: Sequence[str], own: Collection[str],
                  ) -> tuple[list[CpioArchive], list[str]]:
        """As archives(); own: the directories of selftests of the step's own tree that are due."""
        wanted = needs.together(self.needs, list(tests))
        parts = [self.base(), self.scripts(wanted.scripts),
                 *(self.program(name) for name in wanted.programs)]
        changed = set()
        for directory in wanted.selftests:
            if not self.trees.object(last, selftest_inputs(directory)[0]):
                raise Failed(f"{needs.FILE}: the last step has no {selftest_inputs(directory)[0]}")
            parts.append(self.selftests(last, directory, "selftests"))
            if directory in own and self._differs(commit, last, directory):
                parts.append(self.selftests(commit, directory, "selftests.step"))
                changed.add(directory)
        return parts, needs.order(self.needs, list(tests), changed)

    def _differs(self, commit: str, last: str, directory: str) -> bool:
        """Whether a step's own selftests of a directory are other programs than the last step's."""
        return self._programs_hash(commit, directory) != self._programs_hash(last, directory)

    def initramfs(self, archives: Sequence[CpioArchive], target: pathlib.Path) -> None:
        """Archives one behind the other are one initramfs."""
        write_atomically(target, b"".join(self.made(a).read_bytes() for a in archives))


def selftest_inputs(directory: str) -> list[str]:
    """The paths in the kernel's tree that the selftests of a directory are made from."""
    return [f"tools/testing/selftests/{directory}", *_SELFTEST_INPUTS]


def _install(source: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)
