# SPDX-License-Identifier: GPL-2.0
"""What goes into the guest: busybox, tests, programs, the kernel's own selftests."""

import os
import pathlib
import shutil
import threading

from lib import process
from lib.command import output, run
from lib.store import digest, hash_file, hash_tree, write_atomically

from . import machine
from .errors import CannotJudge

# What a selftest is made from, besides its own directory.
_SELFTEST_INPUTS = ("tools/testing/selftests/lib.mk", "tools/testing/selftests/kselftest.h",
                    "tools/testing/selftests/kselftest_harness.h", "tools/include", "tools/arch",
                    "tools/scripts", "include/uapi", "arch/x86/include/uapi",
                    "arch/arm64/include/uapi", "tools/testing/selftests/kselftest",
                    "tools/testing/selftests/Makefile")
_SECONDS = 600
# Raise when an archive's making changes.
_LAYOUT = 2


class Guest:
    """Builds the initramfs of a lane; every part is kept in the cache by its inputs."""

    def __init__(self, lane, source, paths, toolchain):
        self.lane = lane
        self.source = source
        self.paths = paths
        self.toolchain = toolchain
        self.directory = paths.cache / "initramfs" / lane.name
        self.lock = threading.Lock()

    def _kept(self, kind, key, make):
        """The archive of a kind and key; make(directory) fills a tree when it is missing."""
        path = self.directory / f"{kind}-{key}.cpio.gz"
        with self.lock:
            if not path.exists():
                tree = self.directory / f".{kind}"
                output(["rm", "-rf", tree])
                tree.mkdir(parents=True)
                make(tree)
                write_atomically(path, machine.pack(tree))
                output(["rm", "-rf", tree])
        return path

    # --- busybox, init, tests, programs

    def foreign(self):
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

    def busybox(self):
        """A static busybox for the lane's architecture; None for a lane that needs none."""
        if not self.lane.busybox:
            return None
        path = (self.foreign() or pathlib.Path("/")) / self.lane.busybox
        if not path.exists():
            raise CannotJudge(f"no {path}: install the package busybox-static")
        return path

    def base(self):
        """busybox, /init, /tests and the programs of ci/guest."""
        guest = self.paths.top / "ci/guest"
        busybox = self.busybox()
        parts = [guest / "init", guest / "tests", guest / "programs"]
        programs = sorted((guest / "programs").glob("*.c"))
        key = digest(_LAYOUT, hash_tree(*[p for p in parts if p.exists()]), self.toolchain,
                     hash_file(busybox) if busybox else "")

        def make(tree):
            for name in ("bin", "dev", "proc", "sys", "tmp", "tests", "modules", "selftests"):
                (tree / name).mkdir()
            shutil.copy(guest / "init", tree / "init")
            os.chmod(tree / "init", 0o755)
            for test in sorted((guest / "tests").iterdir()):
                shutil.copy(test, tree / "tests" / test.name)
            if busybox:
                shutil.copy(busybox, tree / "bin/busybox")
                os.chmod(tree / "bin/busybox", 0o755)
                for applet in ("sh", "mount"):
                    (tree / "bin" / applet).symlink_to("busybox")
            for program in programs:
                output([f"{self.lane.cross}gcc", "-static", "-O2", "-Wall", "-Werror", "-o",
                                tree / "bin" / program.stem, program])

        return self._kept("base", key, make)

    # --- the kernel's own selftests

    def selftests_key(self, commit):
        """What the selftests of a step are made from, as a key."""
        names = [f"tools/testing/selftests/{t}" for t in self.lane.selftests] + list(_SELFTEST_INPUTS)
        return digest(_LAYOUT, self.toolchain, self.lane.arch, self.lane.selftests,
                      [self.source.object(commit, n) for n in names])

    def selftests(self, commit, place):
        """The selftests of a step, built static; place: their directory in the guest."""
        key = self.selftests_key(commit)

        def make(root):
            tree = self.source.worktree(self.paths.cache / "series")
            self.source.checkout(tree, commit)
            out = self.paths.lane(self.lane.name) / "selftests"
            output(["rm", "-rf", out])
            out.mkdir(parents=True)
            log = out / "log"
            headers = ["make", "-s", "-C", tree, f"O={out / 'headers'}", f"ARCH={self.lane.arch}",
                       f"CROSS_COMPILE={self.lane.cross}", "headers"]
            self._run(headers, log)
            include, library = "", ""
            if root_of := self.foreign():
                include = f" -idirafter {root_of / 'usr/include'}"
                library = f" -L{root_of / 'usr/lib' / self.lane.foreign['library']}"
            for test in self.lane.selftests:
                target = out / test
                target.mkdir()
                self._run(["make", "-s", "-C", tree / "tools/testing/selftests" / test,
                           f"OUTPUT={target}", f"ARCH={self.lane.arch}",
                           f"CROSS_COMPILE={self.lane.cross}",
                           f"KHDR_INCLUDES=-isystem {out / 'headers/usr/include'}{include}",
                           f"LDFLAGS=-static{library}"], log)
                place_dir = root / place / test
                place_dir.mkdir(parents=True)
                for path in sorted(target.iterdir()):
                    if path.is_file() and os.access(path, os.X_OK):
                        output([f"{self.lane.cross}strip", "-o", place_dir / path.name, path])

        return self._kept(place, key, make)

    def _run(self, words, log):
        if process.run(words, log, _SECONDS).rc != 0:
            raise CannotJudge(f"lane {self.lane.name}: the selftests do not build; see {log}; "
                              f"again: {process.shell(words)}")

    # --- a step's own part

    def modules(self, keep):
        """The test modules built with a step, as an archive."""
        key = digest(_LAYOUT, hash_tree(keep / "modules"))

        def make(tree):
            shutil.copytree(keep / "modules", tree / "modules")

        return self._kept("modules", key, make)

    def initramfs(self, archives, target):
        """Archives one behind the other are one initramfs; returns its sha256."""
        write_atomically(target, b"".join(pathlib.Path(a).read_bytes() for a in archives))
        return hash_file(target)
