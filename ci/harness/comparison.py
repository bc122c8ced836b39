# SPDX-License-Identifier: GPL-2.0
"""ci/run and ktest.pl side by side, on the same steps, the same lane and the same machine, one after the
other; and the least that a step can cost.

Each begins with the objects of the step before the first, and with an initramfs that is there. The faults
are put in the last step, one at a time, and each of the two judges that step anew.
"""

from collections.abc import Sequence

from lib import cache, plumbing
from lib.command import CannotJudge, Failed
from lib.kernel import patched
from lib.series import Series
from lib.usage import Usage
from lib.verdict import Verdict

from .comparison_result import DefectRow, ComparisonResult, Word
from .defect import Defect
from .expectations import Expectations
from .ktest import Ktest, KtestRun
from .own_run import Apart, OwnRun, Judged
from .progress import Progress
from .rig import Rig
from .workload import Workload


class Comparison:
    """commits: of the base and of all steps. Failed where a fault does not fit the last of the steps."""

    def __init__(self, workload: Workload, found: Series, commits: Sequence[str], expectations: Expectations,
                 show: Progress) -> None:
        self._workload, self._series, self._commits, self._show = workload, found, commits, show
        self._faulty = [(one, self._seeded(one)) for one in workload.defects]
        self._own = OwnRun(workload, found, commits, expectations, show)

    def _seeded(self, defect: Defect) -> str:
        """The commit of the last of the steps with a fault."""
        step = self._workload.last
        text = plumbing.content(cache.repository(), self._commits[step], defect.file)
        if text is None:
            raise Failed(f"{defect.where}: step {step} has no {defect.file}")
        return patched.with_content(self._commits[step], defect.file, defect.applied(text, step))

    def held(self) -> ComparisonResult:
        """The whole comparison."""
        workload = self._workload
        Apart().forget()
        self._show.note(f"ci/run: step {workload.first - 1}, where both begin")
        self._own.clean([workload.first - 1])
        self._show.note(f"ci/run: steps {workload.first}..{workload.last}")
        own = self._own.clean(workload.steps).usage
        rig = Rig(self._own.lane_run(), workload.boot)
        rig.begin()
        ktest = Ktest(rig, self._commits[0])
        for step in range(workload.first - 1, workload.last + 1):
            rig.describe(self._commits[step], step)
        floor, known = self._floor(rig)
        ran = self._clean(rig, ktest)
        rig.know(known)
        rows = [self._row(rig, ktest, one, commit) for one, commit in self._faulty]
        result = ComparisonResult(workload, self._series.base, floor, own, ran.usage, ran.reason,
                                  len(ran.commits), rows, rig.run.work.jobs, rig.run.boots.accelerator)
        self._tidy(rig)
        return result

    def _floor(self, rig: Rig) -> tuple[Usage, list[str]]:
        """(what make, the modules and one boot take for all steps, the cases that fail on the last)."""
        workload = self._workload
        self._show.note(f"make and one boot: step {workload.first - 1}, not measured")
        rig.warm(self._commits[workload.first - 1])
        rig.start()
        rig.know(rig.failing())
        spent, failing = Usage(), list[str]()
        for step in workload.steps:
            rig.move(self._commits[step])
            one = rig.make() + rig.pack() + rig.start()
            failing = rig.failing()
            self._show.note(f"make and one boot: step {step} {one.wall:.0f} s, {one.cpu:.0f} s CPU")
            spent += one
        return spent, failing

    def _clean(self, rig: Rig, ktest: Ktest) -> KtestRun:
        """ktest.pl over all steps; then the objects are those of the last."""
        workload = self._workload
        rig.warm(self._commits[workload.first - 1])
        last = self._commits[workload.last]
        ran = ktest.run(rig.config(last), [self._commits[step] for step in workload.steps], "steps")
        if not ran.commits:
            raise CannotJudge(f"ktest.pl began with no commit; see {ran.log}")
        self._show.note(f"ktest.pl: steps {workload.first}..{workload.first + len(ran.commits) - 1} "
                        f"{ran.usage.wall:.0f} s, {ran.usage.cpu:.0f} s CPU"
                        + (f": {ran.reason}" if ran.reason else ""))
        if len(ran.commits) < len(workload.steps) or not ran.content:
            rig.warm(last)
        return ran

    def _row(self, rig: Rig, ktest: Ktest, defect: Defect, commit: str) -> DefectRow:
        """What both say of a fault."""
        step = self._workload.last
        own = _word(self._own.judge([step], commit))
        rig.describe(commit, step)
        ran = ktest.run(rig.config(self._commits[step]), [commit], defect.name)
        row = DefectRow(defect, own, Word(not ran.content, ran.reason, ran.usage, ran.log))
        for who, word in (("ci/run", row.own), ("ktest.pl", row.ktest)):
            self._show.note(f"{defect.name}: {who} {'notices' if word.noticed else 'does not notice'}, "
                            f"{word.usage.wall:.0f} s" + (f": {word.reason}" if word.reason else ""))
        return row

    def _tidy(self, rig: Rig) -> None:
        """Remove what was made, and let the lane's tree stand at a step without a fault."""
        builder = rig.run.builds.builder
        rig.run.work.trees.checkout(builder.tree, self._commits[self._workload.last])
        rig.end()
        Apart().forget()


def _word(judged: Judged) -> Word:
    """What ci/run says of a fault; what it was not sure of is told, and not noticed."""
    wrong = judged.wrong
    unsure = [j for j in judged.judgements if j.verdict is Verdict.FLAKY]
    told = "; ".join(f"{j.gate} {j.verdict.value}: {j.reason}" for j in [*wrong, *unsure][:3])
    return Word(bool(wrong), told, judged.usage, (wrong or unsure)[0].log if wrong or unsure else "")
