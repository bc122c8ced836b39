# SPDX-License-Identifier: GPL-2.0
"""A kernel tree, its objects and a machine that boots them, without anything of the harness between: what
ktest.pl is given, and what the least is measured on that a step can cost.

The scripts of ci/ktest do the work, for ktest.pl as well as for us. In the directory TOP are: config;
objects/; modules/, the sources of the test modules; machines/COMMIT, the machine of a step as a script, and
its initramfs without modules, COMMIT.cpio; known, the cases that fail anyway; state/, what the scripts tell
each other.
"""

import os
import pathlib
import shutil
from collections.abc import Sequence

from lib import cache, checkout, process
from lib.command import CannotJudge, output
from lib.kernel import build as kernel
from lib.kernel import kconfig
from lib.lane import Boot
from lib.process import Ending
from lib.store import write_atomically
from lib.usage import Usage

from . import machine
from .lane_run import LaneRun

SCRIPTS = ("console", "judge", "pack")
LOCALVERSION = "-ktest"
# What the modules of a boot may take, and what all waits beside builds and boots may: seconds.
PACK_SECONDS, MORE_SECONDS = 600, 120


class Rig:
    """run: of the lane, whose modules, initramfs and configuration are used; boot: of it."""

    def __init__(self, run: LaneRun, boot: Boot) -> None:
        self.run, self.boot = run, boot
        # as kbuild resolves it: ktest.pl compares it with what compilers say
        root = pathlib.Path(os.path.realpath(cache.directory()))
        self.top, self.source = root / "ktest", root / "ktest-source"
        self.objects, self.state = self.top / "objects", self.top / "state"
        self.log = self.top / "rig.log"

    # --- before anything is measured

    def begin(self) -> None:
        """Make the tree and the directory; objects that another run left are used."""
        checkout.worktree(self.source.name, checkout=False)
        for name in ("machines", "modules", "state", "tmp"):
            shutil.rmtree(self.top / name, ignore_errors=True)
            (self.top / name).mkdir(parents=True)
        self.objects.mkdir(exist_ok=True)
        self.log.unlink(missing_ok=True)
        for name in SCRIPTS:
            shutil.copy(self.run.work.paths.top / "ci/ktest" / name, self.top / name)
        (self.top / "known").write_text("")
        # as ktest.pl writes it
        (self.objects / "localversion").write_text(f"{LOCALVERSION}\n")
        self._write_modules()

    def end(self) -> None:
        """Remove all that was made, gigabytes, but for the logs."""
        output(["rm", "-rf", self.top, self.source], timeout=600)

    def _write_modules(self) -> None:
        """Put the sources of the modules in place that the boot loads."""
        modules = self.run.builds.modules.named(self.run.modules([self.boot]))
        for module in modules:
            for name, text in module.sources.items():
                write_atomically(self.top / "modules" / module.name / name, text)
        if modules:
            (self.top / "modules/Kbuild").write_text(
                f"obj-m := {' '.join(f'{module.name}/' for module in modules)}\n")

    def describe(self, commit: str, step: int) -> None:
        """Write the machine that boots a commit, which is the step or the step with a fault."""
        boots = self.run.boots
        archives, tests = boots.parts(step, self.boot)
        boots.guest.initramfs(archives, self.top / "machines" / f"{commit}.cpio")
        words = machine.command(boots.lane, self.boot, tests, self.objects / self.run.lane.image,
                                self.state / "initrd", self.state / "results")
        (self.top / "machines" / commit).write_text(f"exec {process.shell(words)}\n")

    def config(self, commit: str) -> str:
        """The lane's configuration of a commit, which its own builds have made before."""
        builder = self.run.builds.builder
        return kconfig.make(self.run.lane, commit, builder.tree, builder.tools(), builder.toolchain)

    # --- its commands

    @property
    def make_words(self) -> list[object]:
        """The command of make in the tree's directory, without O=."""
        return ["make", *self.run.builds.builder.tools()]

    @property
    def options(self) -> list[object]:
        """The words of make that build the image."""
        return ["-s", f"-j{self.run.work.jobs}", *self.run.lane.targets]

    @property
    def module_words(self) -> list[object]:
        """The command of make that builds the modules, without M=."""
        return [*self.make_words, "-C", self.source, f"O={self.objects}", "-s", "-k",
                f"-j{self.run.work.jobs}"]

    @property
    def environment(self) -> dict[str, str]:
        """That of the lane's builds: the image names no moment, so that nothing is made anew for one."""
        return {**os.environ, **kernel.IDENTITY}

    def move(self, commit: str) -> None:
        """Check out a commit, with its configuration."""
        checkout.move(self.source, commit)
        kconfig.install(self.config(commit), self.objects)

    def make(self) -> Usage:
        """Build the image. CannotJudge where that fails."""
        return self._run([*self.make_words, "-C", self.source, f"O={self.objects}", *self.options],
                         kernel.SECONDS)

    def pack(self) -> Usage:
        """Build the modules and put the initramfs together. CannotJudge where that fails."""
        return self._run([self.top / "pack", self.top, self.source, *self.module_words], PACK_SECONDS)

    def start(self) -> Usage:
        """Boot what was packed, to its end. CannotJudge where the machine does not begin."""
        os.replace(self.state / "ready", self.state / "power")
        return self._run([self.top / "console", self.top, self.source, self.boot.seconds],
                         self.boot.seconds + MORE_SECONDS)

    def failing(self) -> list[str]:
        """The cases that failed in the boot that has just ended, by their lines; in the order of comm."""
        process.run([self.top / "judge", self.top, "1"], self.log, MORE_SECONDS, env=self.environment)
        if not (self.state / "results").read_bytes().rstrip().endswith(b"@@ done"):
            raise CannotJudge(f"lane {self.run.lane.name}: boot {self.boot.name} did not come to its end "
                              f"where nothing is seeded; see {self.log}")
        return (self.state / "failing").read_text().splitlines()

    def know(self, failing: Sequence[str]) -> None:
        """Let these cases be known to fail."""
        (self.top / "known").write_text("".join(f"{line}\n" for line in failing))

    def warm(self, commit: str) -> None:
        """Let the objects be those of a commit, ready for an incremental build."""
        self.move(commit)
        self.make()
        self.pack()

    def _run(self, words: Sequence[object], seconds: float) -> Usage:
        """Run a command that has to succeed, within some seconds; what it took."""
        ending: Ending = process.run(words, self.log, seconds, cwd=self.top, env=self.environment)
        if ending.rc != 0:
            ended = process.how_ended(ending.rc, seconds)
            raise CannotJudge(f"lane {self.run.lane.name}: {words[0]} {ended}; see {self.log}; "
                              f"again: {process.shell(words)}")
        return Usage(ending.seconds, ending.cpu)
