# SPDX-License-Identifier: GPL-2.0
"""What goes into the guest: busybox, tests, programs, modules, the kernel's own selftests.

Each is an archive of its own, kept in the cache by what it is made from. The initramfs of
a boot is those that its tests need, one behind the other, so that an edit of one test
concerns only the boots that run it.
"""

import fnmatch
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence

from lib import process
from lib.command import output, run
from lib.store import digest, hash_file, hash_tree, write_atomically

from . import machine, needs
from .errors import CannotJudge

# What a selftest is made from, besides its own directory.
_SELFTEST_INPUTS = ("tools/testing/selftests/lib.mk", "tools/testing/selftests/kselftest.h",
                    "tools/testing/selftests/kselftest_harness.h", "tools/include", "tools/arch",
                    "tools/scripts", "include/uapi", "arch/x86/include/uapi",
                    "arch/arm64/include/uapi", "tools/testing/selftests/kselftest",
                    "tools/testing/selftests/Makefile")
_SECONDS = 600
# Raise when an archive's making changes.
_LAYOUT = 4


class Guest:
    """Makes the archives of a lane."""

    def __init__(self, lane, source, paths, toolchain):
        self.lane = lane
        self.source = source
        self.paths = paths
        self.toolchain = toolchain
        self.needs = needs.read(paths.top)
        self.directory = paths.cache / "initramfs" / lane.name
        self.lock = threading.RLock()
        self.content: dict[pathlib.Path, str] = {}
        self.keys: dict[tuple[str, str], str] = {}

    def _kept(self, kind: str, key: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
        """The archive of a kind and key; make(directory) fills a tree when it is missing."""
        path = self.directory / f"{kind}-{key}.cpio"
        with self.lock:
            if not path.exists():
                tree = self.directory / f".{kind}"
                output(["rm", "-rf", tree])
                tree.mkdir(parents=True)
                make(tree)
                write_atomically(path, machine.pack(tree))
                output(["rm", "-rf", tree])
            os.utime(path)  # what is used is not what is pruned first
        return path

    def hash(self, archive: pathlib.Path) -> str:
        """The sha256 of an archive, or a digest of a directory; the name says what it is made from."""
        if archive not in self.content:
            self.content[archive] = hash_tree(archive) if archive.is_dir() else hash_file(archive)
        return self.content[archive]

    # --- busybox and init

    def foreign(self) -> pathlib.Path | None:
        """The unpacked packages of the guest's architecture, or None for the machine's own."""
        if not self.lane.foreign:
            return None
        words = [self.lane.foreign["architecture"], *self.lane.foreign["packages"]]
        path = self.paths.cache / "tools" / f"{words[0]}-{digest(words)}"
        if not path.exists():
            done = run([self.paths.top / "ci/foreign-packages", words[0], path, *words[1:]],
                       timeout=_SECONDS, check=False)
            if done.returncode:
                raise CannotJudge(f"lane {self.lane.name}: "
                                  f"{done.stderr.strip() or done.stdout.strip()}")
        return path

    def busybox(self) -> pathlib.Path | None:
        """A static busybox for the lane's architecture; None for a lane that needs none."""
        if not self.lane.busybox:
            return None
        path = (self.foreign() or pathlib.Path("/")) / self.lane.busybox
        if not path.exists():
            raise CannotJudge(f"no {path}: install the package busybox-static")
        return path

    def base(self) -> pathlib.Path:
        """busybox, /init and empty directories."""
        init = self.paths.top / "ci/guest/init"
        busybox = self.busybox()
        key = digest(_LAYOUT, hash_file(init), hash_file(busybox) if busybox else "")

        def make(tree: pathlib.Path) -> None:
            for name in ("bin", "dev", "proc", "sys", "tmp", "tests", "modules", "selftests"):
                (tree / name).mkdir()
            _install(init, tree / "init")
            if busybox:
                _install(busybox, tree / "bin/busybox")
                for applet in ("sh", "mount"):
                    (tree / "bin" / applet).symlink_to("busybox")

        return self._kept("base", key, make)

    # --- tests and programs

    def scripts(self, names: Sequence[str]) -> pathlib.Path:
        """Files of ci/guest/tests as /tests."""
        files = [self.paths.top / "ci/guest/tests" / name for name in names]

        def make(tree: pathlib.Path) -> None:
            (tree / "tests").mkdir()
            for path in files:
                shutil.copyfile(path, tree / "tests" / path.name)

        return self._kept("tests", digest(_LAYOUT, hash_tree(*files)), make)

    def program(self, name: str) -> pathlib.Path:
        """A program of ci/guest/programs, built static, as /bin/NAME."""
        source = self.paths.top / "ci/guest/programs" / f"{name}.c"
        key = digest(_LAYOUT, hash_tree(*needs.sources(source)), self.toolchain)

        def make(tree: pathlib.Path) -> None:
            (tree / "bin").mkdir()
            output([f"{self.lane.cross}gcc", "-static", "-O2", "-Wall", "-Werror", "-o",
                    tree / "bin" / name, source])

        return self._kept(f"program-{name}", key, make)

    # --- the kernel's own selftests

    def selftests_key(self, commit: str, directory: str) -> str:
        """What the selftests of a directory are made from, as a key."""
        where = commit, directory
        if where not in self.keys:
            self.keys[where] = digest(_LAYOUT, self.toolchain, self.lane.arch, self.lane.foreign,
                                      directory, [self.source.object(commit, n)
                                                  for n in selftest_inputs(directory)])
        return self.keys[where]

    def selftests(self, commit: str, directory: str, place: str) -> pathlib.Path:
        """A directory of selftests of a step as /PLACE/DIRECTORY."""
        built = self._programs(commit, directory)

        def make(root: pathlib.Path) -> None:
            (root / place).mkdir()
            shutil.copytree(built, root / place / directory)

        return self._kept(f"{place}-{directory}", digest(_LAYOUT, self.hash(built)), make)

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
        with self.source.selftests(commit) as tree:
            headers = self._headers(tree, commit, out / "log")
            self._make_selftests(tree / "tools/testing/selftests" / directory, headers, built,
                                 out / "log")
        return [p for p in sorted(built.iterdir()) if p.is_file() and os.access(p, os.X_OK)]

    def _headers(self, tree: pathlib.Path, commit: str, log: pathlib.Path) -> pathlib.Path:
        """Where the UAPI headers of a tree, which is at a commit, are installed."""
        headers = self.paths.lane(self.lane.name) / "headers"
        uapi = digest([self.source.object(commit, n) for n in _SELFTEST_INPUTS if "uapi" in n])
        if not (headers / uapi).exists():
            output(["rm", "-rf", headers])
            headers.mkdir(parents=True)
            self._run(["make", "-s", "-C", tree, f"O={headers}", *self._kbuild(), "headers"], log)
            (headers / uapi).touch()
        return headers

    def _make_selftests(self, directory: pathlib.Path, headers: pathlib.Path, built: pathlib.Path,
                        log: pathlib.Path) -> None:
        include, library = "", ""
        if root_of := self.foreign():
            include = f" -idirafter {root_of / 'usr/include'}"
            library = f" -L{root_of / 'usr/lib' / self.lane.foreign['library']}"
        self._run(["make", "-s", "-C", directory, f"OUTPUT={built}", *self._kbuild(),
                   f"KHDR_INCLUDES=-isystem {headers / 'usr/include'}{include}",
                   f"LDFLAGS=-static{library}"], log)

    def _kbuild(self) -> list[str]:
        return [f"ARCH={self.lane.arch}", f"CROSS_COMPILE={self.lane.cross}"]

    def _run(self, words: Sequence[object], log: pathlib.Path) -> None:
        if process.run(words, log, _SECONDS).rc != 0:
            raise CannotJudge(f"lane {self.lane.name}: the selftests do not build; see {log}; "
                              f"again: {process.shell(words)}")

    # --- a step's own part

    def modules(self, keep: pathlib.Path, hashes: Mapping[str, str],
                patterns: Sequence[str]) -> pathlib.Path:
        """The modules built with a step that some pattern names, as /modules.

        keep: where they are; hashes: {file name: sha256} of all that the step has.
        """
        names = chosen(hashes, patterns)
        key = digest(_LAYOUT, {name: hashes[name] for name in names})

        def make(tree: pathlib.Path) -> None:
            (tree / "modules").mkdir()
            for name in names:
                shutil.copyfile(keep / "modules" / name, tree / "modules" / name)

        return self._kept("modules", key, make)

    def modules_needed(self, tests: Sequence[str]) -> tuple[str, ...]:
        """Patterns of the modules that the tests of a boot load."""
        return needs.together(self.needs, list(tests)).modules

    # --- a boot

    def archives(self, commit: str, last: str, tests: Sequence[str],
                 own: Callable[[str], object] = lambda directory: True,
                 ) -> tuple[list[pathlib.Path], list[str]]:
        """The archives of a boot but for its modules, and the tests as init runs them.

        commit: of the step; last: of the last step, whose selftests run on every kernel.
        Where the step's own tree has others, and own(directory) says that they are due, they
        come, too, for the tests NAME@step.
        """
        with self.lock:
            wanted = needs.together(self.needs, list(tests))
            parts = [self.base(), self.scripts(wanted.scripts),
                     *(self.program(name) for name in wanted.programs)]
            changed = set()
            for directory in wanted.selftests:
                parts.append(self.selftests(last, directory, "selftests"))
                if wanted.step and own(directory) and self._differs(commit, last, directory):
                    parts.append(self.selftests(commit, directory, "selftests.step"))
                    changed.add(directory)
        return parts, needs.order(self.needs, list(tests), changed)

    def _differs(self, commit: str, last: str, directory: str) -> bool:
        """Whether a step's own selftests of a directory are other programs than the last step's."""
        return self.hash(self._programs(commit, directory)) != self.hash(self._programs(last, directory))

    def initramfs(self, archives: Sequence[pathlib.Path], target: pathlib.Path) -> None:
        """Archives one behind the other are one initramfs."""
        write_atomically(target, b"".join(pathlib.Path(a).read_bytes() for a in archives))


def selftest_inputs(directory: str) -> list[str]:
    """The paths in the kernel's tree that the selftests of a directory are made from."""
    return [f"tools/testing/selftests/{directory}", *_SELFTEST_INPUTS]


def chosen(names: Sequence[str] | Mapping[str, str], patterns: Sequence[str]) -> list[str]:
    """Those of the modules' file names that some pattern names, sorted."""
    return sorted(n for n in names if any(fnmatch.fnmatchcase(n.removesuffix(".ko"), p)
                                          for p in patterns))


def _install(source: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)
