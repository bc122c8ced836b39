# SPDX-License-Identifier: GPL-2.0
"""Which step broke a lane's build, a boot or a case, or mended it: a binary search over steps.

What is in the store is not judged again; a step that is needed and was never judged is built
and booted as ci/run does it.
"""

import dataclasses
import difflib
import io
import itertools
from collections.abc import Iterable

from lib import lane as lanes
from lib.command import CannotJudge, Failed
from lib.verdict import Judgement, Verdict

from . import progress, runner


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
    def read(text: str, top: object) -> "Target":
        """LANE, LANE/BOOT or LANE/BOOT/CASE; Failed for a lane or boot that is not there."""
        lane, _, rest = text.partition("/")
        boot, _, case = rest.partition("/")
        boots = [b.name for b in lanes.read(top, lane).boots]
        if boot and boot not in boots:
            raise Failed(f"lane {lane} has no boot {boot!r}; there are: {', '.join(boots)}")
        return Target(lane, boot, case)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a step says of a target. good: whether it passes, None where it cannot be told;
    word: how it ended; reason; log: a path or ""; cached: whether the store had it."""

    good: bool | None
    word: str
    reason: str = ""
    log: str = ""
    cached: bool = False


def answer(target: Target, cell: runner.Cell) -> Answer:
    """What a cell of a walk says of a target."""
    gates = {j.gate: j for j in cell.judgements}
    build = next((gates[g] for g in ("lane", "apply", "build") if g in gates), None)
    if build is None or (build.verdict is Verdict.FAIL and target.boot):
        return Answer(None, "does not build", build.reason if build else "", build.log if build else "")
    if not target.boot or build.verdict is not Verdict.PASS:
        return _plain(build)
    judged = gates[f"boot:{target.boot}"]
    words = cell.cases.get(target.boot)
    if not target.case or words is None or judged.verdict is Verdict.FLAKY:
        return _plain(judged)
    word = words.get(str(target), "gone")
    if judged.verdict is Verdict.LOST and word != "pass" and target.case != "end":
        return _plain(judged)
    reason = cell.skips.get(str(target), "") or (judged.reason if word != "pass" else "")
    return Answer(word == "pass", word, reason, judged.log, judged.cached)


def _plain(judged: Judgement) -> Answer:
    """The answer of a judgement as a whole."""
    good = {Verdict.PASS: True, Verdict.FAIL: False}.get(judged.verdict)
    return Answer(good, judged.verdict.value, judged.reason, judged.log, judged.cached)


class Steps:
    """The answers of the steps of a series to one target. run: a runner.Run of the target's lane
    and boot, whose steps are set here."""

    def __init__(self, target: Target, run: runner.Run) -> None:
        self.target, self.run = target, run
        self.answers: dict[int, Answer] = {}
        self.cases: set[str] = set()

    def judge(self, steps: Iterable[int]) -> None:
        """Answers of steps: by the store where it has them."""
        self.run.steps = [k for k in steps if k not in self.answers]
        for cell in self.run.walk():
            self.answers[cell.step] = answer(self.target, cell)
            self.cases |= set(cell.cases.get(self.target.boot, ()))

    def judge_kept(self, steps: Iterable[int]) -> None:
        """The answers that the store has, without a line for each."""
        show, self.run.progress = self.run.progress, progress.Progress(1, io.StringIO())
        try:
            self.judge([k for k in steps if self._kept(k)])
        finally:
            self.run.progress = show

    def _kept(self, step: int) -> bool:
        """Whether the store has the answer of a step."""
        for lane in self.run.lanes:
            if step not in lane.commits:
                return False
            record = self.run.store.get("build", lane.inputs(step))
            if record is None or not record["ok"] or not self.target.boot:
                return record is not None
            boot = next(b for b in lane.lane.boots if b.name == self.target.boot)
            return lane.ran(step, boot) is not None
        return False

    def story(self) -> str:
        """The answers of the steps that have one, as "pass 0-3, pass 5, fail 6, ..."."""
        words = []
        for (word, _), group in itertools.groupby(
                enumerate(sorted(self.answers)), lambda pair: (self.answers[pair[1]].word, pair[1] - pair[0])):
            steps = [step for _, step in group]
            words.append(f"{word} {steps[0]}" + (f"-{steps[-1]}" if len(steps) > 1 else ""))
        return ", ".join(words)

    def good(self, step: int) -> bool:
        """Whether the target passes on a step; CannotJudge where that cannot be told."""
        self.judge([step])
        found = self.answers[step]
        if found.good is None:
            raise CannotJudge(f"step {step}: {self.target}: {found.word}: {found.reason}; "
                              "name another step with --good or --bad")
        return found.good

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
            self.judge([left[len(left) // 2]])

    def _around(self, low: int, high: int, start: bool) -> tuple[int, int]:
        """The first step known to differ from the beginning, and the last one before it known not to."""
        known = {k: a.good for k, a in self.answers.items() if low <= k <= high and a.good is not None}
        after = min(k for k, good in known.items() if good != start)
        return max(k for k, good in known.items() if k < after), after

    def _nothing(self, low: int, high: int) -> None:
        ends = [self.answers[low], self.answers[high]]
        if all(a.word == "gone" for a in ends):
            near = difflib.get_close_matches(str(self.target), sorted(self.cases), 3)
            raise Failed(f"no case {self.target} on steps {low} and {high}"
                         + (f"; there are: {', '.join(near)}" if near else ""))
        raise Failed(f"{self.target}: {ends[0].word} on step {low} and {ends[1].word} on step {high}: "
                     "nothing changed between them; name others with --good and --bad")
