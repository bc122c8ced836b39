# SPDX-License-Identifier: GPL-2.0
"""What all parts of a run share: the series' commits, the store, the options, the locks."""

import dataclasses
import functools
import os
import pathlib
import threading
import traceback
from typing import Any

from lib import lane as lanes
from lib import process, sparse
from lib.command import CannotJudge, Failed, full
from lib.kernel import sources
from lib.series import Series, paths
from lib.store import Store, write_atomically
from lib.verdict import Judgement, Verdict

from .expectations import Expectations
from .paths import Paths
from .plan import Policy
from .progress import Progress
from .trees import Trees


def ends_the_run(error: Exception) -> bool:
    """Whether an error ends the whole run, and not what it happened in alone: a full disk, our own
    end."""
    return full(error) or process.stopping()


@dataclasses.dataclass(frozen=True)
class Work:
    """commits: of the steps, from the base on, as many as apply; why: say which input changed;
    again: builds and boots are made anew, where boots were asked for by name only these;
    tell_kept: say when a kept verdict is taken; outside: a commit is not of the series, and what
    is judged of it is not the last that was judged of its step; lent: the steps that another machine
    judges, and that this one builds where it compares with them.

    jobs: of make; fresh: keys of records that this run made.
    """

    paths: Paths
    trees: Trees
    series: Series
    commits: list[str]
    policy: Policy
    expectations: Expectations
    progress: Progress
    why: bool = False
    again: bool = False
    tell_kept: bool = True
    outside: bool = False
    lent: frozenset[int] = frozenset()
    jobs: int = dataclasses.field(default=os.cpu_count() or 1, init=False)
    fresh: set[str] = dataclasses.field(default_factory=set, init=False)
    _broken: list[BaseException] = dataclasses.field(default_factory=list, init=False)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, init=False)
    _key_locks: dict[str, threading.Lock] = dataclasses.field(default_factory=dict, init=False)

    @functools.cached_property
    def store(self) -> Store:
        """The verdicts in the cache."""
        return Store(self.paths.store)

    @functools.cached_property
    def touched(self) -> list[str]:
        """The directories of objects that the series touches."""
        return sources.touched(self.series)

    @functools.cached_property
    def _checker(self) -> tuple[pathlib.Path | None, CannotJudge | None]:
        return sparse.obtained(self.progress.note)

    @property
    def broken(self) -> BaseException | None:
        """What ends the whole run, or None."""
        return self._broken[0] if self._broken else None

    def anew(self, inputs: dict[str, Any], builds: bool) -> bool:
        """Whether --again wants no kept verdict of a build or boot of these inputs."""
        return self.again and not (builds and self.policy.boot_names) \
            and self.store.key(inputs) not in self.fresh

    def checker_of(self, lane: lanes.Lane) -> tuple[pathlib.Path | None, CannotJudge | None]:
        """The sparse that reads the sources of a lane, or why there is none: see sparse.obtained().

        (None, None) where none is to: a lane of objects reads the sources of the others, and one that
        a plain run leaves out is seldom built.
        """
        if lane.builds != "image" or not lane.default:
            return None, None
        return self._checker

    def directories(self, step: int) -> list[str]:
        """What sparse has to have read of a step, so that it can be compared with those beside it."""
        return sources.directories(f for p in self.series.patches if p.step in (step, step + 1)
                                   for f in paths(p.text))

    def key_lock(self, key: str) -> threading.Lock:
        """The lock of one boot's key."""
        with self._lock:
            return self._key_locks.setdefault(key, threading.Lock())

    def name(self, step: int, *where: str) -> str:
        """The place of a build or a boot in the run, under which the store knows its last record:
        "3/arm64", "3/arm64/iommu"."""
        return "/".join([*(["outside"] if self.outside else []), str(step), *where])

    def told(self, judgement: Judgement, what: str) -> None:
        """Report a build or a boot as it ends."""
        if judgement.cached and not self.tell_kept:
            return
        self.progress.note(f"step {judgement.step} {judgement.lane}: {what} {judgement.verdict.value}"
                           + (" (kept)" if judgement.cached else f" {judgement.seconds:.0f} s")
                           + (f": {judgement.reason}" if judgement.reason else ""))

    def could_not(self, step: int, lane: str, gate: str, error: Exception, repeat: str) -> Judgement:
        """The judgement of a gate that an exception ended: LOST, or FAIL for a file of ours
        that is wrong. One that ends the whole run is raised."""
        if ends_the_run(error):
            self._broken.append(error)
            raise error
        said = str(error).strip() or type(error).__name__
        if not isinstance(error, (CannotJudge, Failed)):
            said = f"{type(error).__name__}: {said}"
        log = self.paths.logs / f"error-{step}-{lane}-{gate.replace(':', '-')}"
        write_atomically(log, "".join(traceback.format_exception(error)).encode("utf-8", "replace"))
        verdict = Verdict.FAIL if isinstance(error, Failed) else Verdict.LOST
        self.progress.note(f"step {step} {lane}: {gate} {verdict.value}: {said}")
        return Judgement(step, lane, gate, verdict, " ".join(said.split()), str(log), repeat)
