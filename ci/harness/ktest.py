# SPDX-License-Identifier: GPL-2.0
"""The kernel's own ktest.pl in mode patchcheck, over some commits in a rig.

ktest.pl builds and boots each commit, and ends at the first with which it is not content.
"""

import dataclasses
import pathlib
import re
import subprocess
import time
from collections.abc import Mapping, Sequence

from lib import plumbing, process
from lib.command import CannotJudge
from lib.kernel import build as kernel
from lib.store import write_atomically
from lib.usage import Usage

from .rig import LOCALVERSION, MORE_SECONDS, PACK_SECONDS, Rig

PROGRAM = "tools/testing/ktest/ktest.pl"
_TEMPLATE = "ci/ktest/ktest.conf"
_RESULT = re.compile(r"(?m)^KTEST RESULT: TEST 1 (?:SUCCESS!!!!|Failed: (.*))")
_COMMIT = re.compile(r'(?m)^Processing commit "([0-9a-f]{40,64})\b')
_WORD = re.compile(r"@([A-Z]+)@")


@dataclasses.dataclass(frozen=True)
class KtestRun:
    """A run of ktest.pl. content: whether it was, with all commits; reason: why not, or ""; commits: those
    that it began with, in order; usage; log: the path of all that it said."""

    content: bool
    reason: str
    commits: tuple[str, ...]
    usage: Usage
    log: str


def parsed(text: str) -> tuple[bool, str, tuple[str, ...]]:
    """(whether it was content, why not, the commits that it began with) by the log of ktest.pl; CannotJudge
    where that has no result."""
    results = list(_RESULT.finditer(text))
    if len(results) != 1:
        critical = re.findall(r"(?m)^CRITICAL FAILURE.*", text)
        raise CannotJudge(f"ktest.pl gave {len(results)} results" + (f": {critical[0]}" if critical else ""))
    reason = results[0].group(1)
    return reason is None, (reason or "").strip(), tuple(_COMMIT.findall(text))


def filled(template: str, values: Mapping[str, object]) -> str:
    """A template with its words put in. CannotJudge for a value that a line of ktest.conf cannot have."""
    for name, value in values.items():
        if re.search(r"[#\n]|\$\{", str(value)):
            raise CannotJudge(f"{_TEMPLATE}: {name} = {str(value)!r}: ktest.pl takes it for something else")
    return _WORD.sub(lambda match: str(values[match[1]]), template)


class Ktest:
    """rig: whose tree stands where the first commit begins, built; base: the commit whose ktest.pl runs.
    CannotJudge where that has none."""

    def __init__(self, rig: Rig, base: str) -> None:
        self._rig = rig
        self._program = rig.top / "ktest.pl"
        paths = rig.run.work.paths
        text = plumbing.content(paths.git, base, PROGRAM)
        if text is None:
            raise CannotJudge(f"the base has no {PROGRAM}, which the measurement is about")
        write_atomically(self._program, text)
        self._template = (paths.top / _TEMPLATE).read_text(encoding="utf-8")

    def configure(self, config: str, first: str, last: str) -> pathlib.Path:
        """Write the kernel's configuration and that of ktest.pl for some commits; its path."""
        rig, boot = self._rig, self._rig.boot
        (rig.top / "config").write_text(config)
        conf = rig.top / "ktest.conf"
        conf.write_text(filled(self._template, {
            "TOP": rig.top, "SOURCE": rig.source, "OBJECTS": rig.objects, "IMAGE": rig.run.lane.image,
            "LOCALVERSION": LOCALVERSION, "MAKE": process.shell(rig.make_words),
            "OPTIONS": process.shell(rig.options), "PACK": process.shell(rig.module_words),
            "SECONDS": boot.seconds, "SILENCE": boot.silence, "FIRST": first, "LAST": last}))
        return conf

    def run(self, config: str, commits: Sequence[str], name: str) -> KtestRun:
        """Let it judge commits, of which each but the first follows the one before.

        config: the kernel's, at each of them; name: of the log that is kept. CannotJudge where it comes to
        no result, or takes too long.
        """
        rig = self._rig
        words = ["perl", self._program, self.configure(config, commits[0], commits[-1])]
        for old in ("ready", "power", "ended", "wrong"):
            (rig.state / old).unlink(missing_ok=True)
        limit = len(commits) * (kernel.SECONDS + PACK_SECONDS + 2 * rig.boot.seconds + MORE_SECONDS)
        usage, late = self._spawned(words, limit)
        text = (rig.top / "log").read_text(errors="replace") if (rig.top / "log").exists() else ""
        kept = rig.run.work.paths.log(f"ktest-{name}.log")
        write_atomically(kept, text + (rig.top / "output").read_text(errors="replace"))
        again = f"see {kept}; again: {process.shell(words)}"
        if late:
            raise CannotJudge(f"ktest.pl took more than {limit} s; {again}")
        try:
            content, reason, begun = parsed(text)
        except CannotJudge as error:
            raise CannotJudge(f"{error}; {again}") from None
        return KtestRun(content, self._told(reason), begun, usage, str(kept))

    def _told(self, reason: str) -> str:
        """The reason with the first words of its test, where that has failed."""
        wrong = self._rig.state / "wrong"
        if reason != "test failed" or not wrong.exists():
            return reason
        lines = wrong.read_text(errors="replace").splitlines()
        more = f", and {len(lines) - 1} more" if lines[1:] else ""
        return f"{reason}: {lines[0]}{more}" if lines else reason

    def _spawned(self, words: Sequence[object], limit: float) -> tuple[Usage, bool]:
        """Run it: what it took, and whether it was ended for that. Its standard input is a pipe that nobody
        writes to: it looks there all the time, and an empty file would keep a processor busy."""
        start = time.monotonic()
        with open(self._rig.top / "output", "wb") as stream:
            child = process.spawn(words, env=self._rig.environment, cwd=self._rig.top, stdin=subprocess.PIPE,
                                  stdout=stream, stderr=subprocess.STDOUT)
            late = False
            try:
                while not process.ended(child):
                    time.sleep(0.1)
                    if late := time.monotonic() - start > limit:
                        break
            finally:
                # with a console that it has left behind
                process.kill(child, process.GRACE)
                cpu = process.reap(child)
                assert child.stdin is not None
                child.stdin.close()
        if process.stopping():
            raise KeyboardInterrupt
        return Usage(time.monotonic() - start, cpu), late
