# SPDX-License-Identifier: GPL-2.0
"""Which step broke a lane's build, a boot or a case, or mended it: a binary search over steps.

What is in the store is not judged again; a step that is needed and was never judged is built
and booted as ci/run does it.
"""

import dataclasses
import difflib
import pathlib
from collections.abc import Iterable

from lib import lane as lanes
from lib.command import CannotJudge, Failed
from lib.lane import Boot
from lib.verdict import Judgement, Verdict

from .cell import Booted, Built
from .lane_run import LaneRun
from .spans import story


@dataclasses.dataclass(frozen=True)
class Target:
    """What is looked at: the build of a lane, boot and case ""; or a boot of it, case ""; or a
    case of the boot, "TEST/..." or "end"."""

    lane: str
    boot: str
    case: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.lane, self.boot, self.case)))

    @staticmethod
    def read(text: str, top: pathlib.Path) -> "Target":
        """LANE, LANE/BOOT or LANE/BOOT/CASE; Failed for a lane or boot that is not there."""
        lane, _, rest = text.partition("/")
        boot, _, case = rest.partition("/")
        boots = [b.name for b in lanes.read(top, lane).boots]
        if boot and boot not in boots:
            raise Failed(f"lane {lane} has no boot {boot!r}; there are: {', '.join(boots) or 'none'}")
        return Target(lane, boot, case)


@dataclasses.dataclass(frozen=True)
class StepAnswer:
    """What a step says of a target. good: whether it passes, None where it cannot be told;
    word: how it ended, "gone" for a case that is not there; reason; log: a path or ""; cached:
    whether the store had it."""

    good: bool | None
    word: str
    reason: str = ""
    log: str = ""
    cached: bool = False


def answer(target: Target, built: Built, booted: Booted | None) -> StepAnswer:
    """What a step that was built says of a target. booted: its boot of the target, None where it
    was not booted."""
    if booted is None:
        if built.judgement.verdict is Verdict.FAIL and target.boot:
            return dataclasses.replace(_plain(built.judgement), good=None, word="does not build")
        return _plain(built.judgement, unknown=built.unknown)
    said = booted.judgement
    if booted.ran is None or not target.case or said.verdict is Verdict.FLAKY:
        return _plain(said, unknown=booted.ran is None)
    if f"{target}/".startswith(tuple(booted.ran.idle)):
        return StepAnswer(None, "not due", "the step's own selftests are those of an earlier step", said.log,
                      said.cached)
    word = booted.ran.all_words.get(str(target), "gone")
    if said.verdict is Verdict.LOST and word != "pass" and target.case != "end":
        return _plain(said)
    reason = booted.ran.reasons.get(str(target), "") or (said.reason if word != "pass" else "")
    return StepAnswer(word == "pass", word, reason, said.log, said.cached)


def _plain(said: Judgement, unknown: bool = False) -> StepAnswer:
    """The answer of a judgement as a whole. unknown: it does not come from the kernel."""
    good = None if unknown else {Verdict.PASS: True, Verdict.FAIL: False}.get(said.verdict)
    return StepAnswer(good, said.verdict.value, said.reason, said.log, said.cached)


class Steps:
    """The answers of the steps of a series to one target; run: of the target's lane."""

    def __init__(self, target: Target, run: LaneRun) -> None:
        self.target, self.run = target, run
        self.answers: dict[int, StepAnswer] = {}
        self.cases: set[str] = set()
        self._boot: Boot | None = next((b for b in run.lane.boots if b.name == target.boot), None)

    def judge(self, step: int) -> StepAnswer:
        """The answer of a step: by the store where it has it."""
        built = self.run.build(step, [self._boot] if self._boot else [])
        booted = self.run.boot(step, self._boot, built) if self._boot and built.image else None
        self.cases |= booted.ran.all_words.keys() if booted and booted.ran else set()
        self.run.work.progress.end(None, cell=True)
        self.answers[step] = answer(self.target, built, booted)
        return self.answers[step]

    def judge_kept(self, steps: Iterable[int]) -> None:
        """Take the answers that the store has."""
        for step in steps:
            if self._same_as(step) == step and self._kept(step):
                self.judge(step)

    def _kept(self, step: int) -> bool:
        """Whether the store has the answer of a step."""
        record = self.run.builds.judged(step, self.run.modules([self._boot] if self._boot else []))
        if record is None or not record["ok"] or not self._boot:
            return record is not None
        return self.run.ran(step, self._boot) is not None and self.run.boots.judged(step, self._boot, record)

    def _same_as(self, step: int) -> int:
        """The last step up to this one whose patch touches what the lane builds: it has the same
        answer."""
        return self.run.work.policy.before(self.run.lane, step + 1)

    def story(self) -> str:
        """The answers of the steps that have one, as "pass 0-3, pass 5, fail 6, ..."."""
        return story({step: one.word for step, one in self.answers.items()})

    def good(self, step: int) -> bool:
        """Whether the target passes on a step; CannotJudge where that cannot be told."""
        found = self._found(step)
        if found.good is None:
            raise CannotJudge(f"step {step}: {self.target}: {found.word}: {found.reason}; "
                              "name another step with --good or --bad")
        return found.good

    def _found(self, step: int) -> StepAnswer:
        """The answer of a step, judged only where there is none yet."""
        if step not in self.answers:
            same = self._same_as(step)
            self.answers[step] = self.answers[same] if same in self.answers else self.judge(same)
        return self.answers[step]

    def search(self, low: int, high: int) -> tuple[int, int]:
        """The steps around the first change between two: (before, after).

        Those between the two, if there are any, could not be judged. Failed where nothing
        changes.
        """
        start = self.good(low)
        if self.good(high) == start:
            self._nothing(low, high)
        while True:
            before, after = self._around(low, high, start)
            left = [k for k in range(before + 1, after) if k not in self.answers]
            if not left:
                return before, after
            show = self.run.work.progress
            show.total = show.done + len(left).bit_length()
            self._found(left[len(left) // 2])

    def _around(self, low: int, high: int, start: bool) -> tuple[int, int]:
        """The first step known to differ from the beginning, and the last one before it known not to."""
        known = {k: a.good for k, a in self.answers.items() if low <= k <= high and a.good is not None}
        after = min(k for k, good in known.items() if good != start)
        return max(k for k, good in known.items() if k < after), after

    def near(self) -> str:
        """The end of a sentence: the cases that the target may have been meant to be, or ""."""
        near = difflib.get_close_matches(str(self.target), sorted(self.cases), 3)
        return f"; there are: {', '.join(near)}" if near else ""

    def _nothing(self, low: int, high: int) -> None:
        ends = [self.answers[low], self.answers[high]]
        if all(a.word == "gone" for a in ends):
            raise Failed(f"no case {self.target} on steps {low} and {high}{self.near()}")
        raise Failed(f"{self.target}: {ends[0].word} on step {low} and {ends[1].word} on step {high}: "
                     "nothing changed between them; name others with --good and --bad")
