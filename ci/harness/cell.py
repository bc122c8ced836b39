# SPDX-License-Identifier: GPL-2.0
"""The results of one step in one lane: its build, its boots, and both together."""

import dataclasses
import pathlib
from collections.abc import Mapping

from lib.kernel.record import Build
from lib.verdict import Judgement, Verdict

from . import regress
from .plan import NOT_CONCERNED, CellPlan
from .splat import Splat


def again(lane: str, *steps: int, boot: str = "") -> str:
    """The command that judges steps of a lane anew, or one of its boots."""
    words = ["ci/run --no-static --again --lane", lane, *(f"--step {k}" for k in steps)]
    return " ".join([*words, f"--boot {boot}"] if boot else words)


@dataclasses.dataclass(frozen=True)
class Built:
    """The build of a step. record: as the store has it, None where none was begun; image: the
    directory of the image and the modules, None where there is none; unknown: an error ended the
    judging; text: the bytes of the kernel's code, 0 for unknown."""

    judgement: Judgement
    record: Build | None = None
    image: pathlib.Path | None = None
    unknown: bool = False
    text: int = 0

    @property
    def good(self) -> Build | None:
        """The record of a step that builds, else None."""
        return self.record if self.record and self.record["ok"] else None


@dataclasses.dataclass(frozen=True)
class Picture:
    """What the display of a boot showed. wrong: how it is not what is expected, or ""; seen,
    expected: files, None where there is none."""

    name: str
    wrong: str
    seen: pathlib.Path | None
    expected: pathlib.Path | None


def copy_name(boot: Judgement, number: int, which: str) -> str:
    """The name of the copy of a picture that a report has, beside that of the boot's log. number: of
    the picture, from 1 on; which: "seen" or "expected"."""
    return f"{boot.log_name.removesuffix('.txt')}-{number}-{which}.png"


@dataclasses.dataclass(frozen=True)
class Booted:
    """A boot of a step. ran: its cases, None where it could not be made; measured: lines, see
    measure.py; splats: those that nothing explains; seen: all splats as told(), of each attempt;
    pictures: of the last attempt, in order."""

    boot: str
    judgement: Judgement
    ran: regress.Ran | None = None
    measured: tuple[str, ...] = ()
    splats: tuple[Splat, ...] = ()
    seen: frozenset[str] = frozenset()
    pictures: tuple[Picture, ...] = ()

    @property
    def picture_files(self) -> list[tuple[pathlib.Path, str]]:
        """(file, name of the copy that a report has) of what the display showed and should have."""
        return [(path, copy_name(self.judgement, number, which))
                for number, one in enumerate(self.pictures, 1)
                for which, path in (("seen", one.seen), ("expected", one.expected)) if path is not None]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One step in one lane. plan: what was due; built: None where nothing was; diagnostics:
    the comparisons with the step before; boots: those that were made, in the order
    of the lane's file; unable: of a lane that cannot run here."""

    plan: CellPlan
    built: Built | None = None
    diagnostics: tuple[Judgement, ...] = ()
    boots: tuple[Booted, ...] = ()
    unable: Judgement | None = None

    @property
    def step(self) -> int:
        return self.plan.step

    @property
    def lane(self) -> str:
        return self.plan.lane

    @property
    def judgements(self) -> list[Judgement]:
        """All that is said of the cell: what is not due is a skip."""
        if self.unable:
            return [*([self.built.judgement] if self.built else []), *self.diagnostics, self.unable]
        if not self.plan.due:
            why = self.plan.due.why
            asked = "" if why == NOT_CONCERNED else f"ci/run --lane {self.lane} --step {self.step}"
            return [Judgement(self.step, self.lane, "build", Verdict.SKIP, why, command=asked)]
        made = [self.built.judgement] if self.built else []
        made += self.diagnostics
        if self.image is None:
            return made
        booted = {b.boot: b.judgement for b in self.boots}
        return made + [booted.get(name) or self._left_out(name, due.why)
                       for name, due in self.plan.boots if name in booted or not due]

    def _left_out(self, boot: str, why: str) -> Judgement:
        return Judgement(self.step, self.lane, f"boot:{boot}", Verdict.SKIP, why,
                         command=f"ci/run --lane {self.lane} --step {self.step} --boot {boot}")

    @property
    def record(self) -> Build | None:
        """The record of the build, where the step builds."""
        return self.built.good if self.built else None

    @property
    def image(self) -> pathlib.Path | None:
        """The directory of the image and the modules."""
        return self.built.image if self.built else None

    @property
    def ran(self) -> dict[str, regress.Ran]:
        """{boot: its cases} of the boots that were made."""
        return {b.boot: b.ran for b in self.boots if b.ran}

    @property
    def cases(self) -> dict[str, Mapping[str, str]]:
        """{boot: {case: word}}."""
        return {boot: ran.words for boot, ran in self.ran.items()}

    @property
    def skips(self) -> dict[str, str]:
        """{case: why it was skipped}."""
        return {case: why for ran in self.ran.values() for case, why in ran.reasons.items()}

    @property
    def measured(self) -> list[str]:
        """The lines of what was measured."""
        return [line for b in self.boots for line in b.measured]

    @property
    def splats(self) -> list[tuple[str, Splat]]:
        """(boot, splat) of the splats that nothing explains."""
        return [(b.boot, one) for b in self.boots for one in b.splats]

    @property
    def pictures(self) -> list[tuple[str, Picture]]:
        """(boot, picture) of what displays showed."""
        return [(b.boot, one) for b in self.boots for one in b.pictures]

    @property
    def seen(self) -> set[str]:
        """The lines of all splats."""
        return {line for b in self.boots for line in b.seen}

    @property
    def left_out(self) -> list[str]:
        """The boots that are not due."""
        return [name for name, due in self.plan.boots if not due]

    @property
    def unjudged(self) -> list[str]:
        """The boots that are due and could not be judged."""
        if self.unable or (self.built and self.built.judgement.verdict is Verdict.LOST):
            return [name for name, due in self.plan.boots if due]
        return [b.boot for b in self.boots
                if b.ran is None or b.judgement.verdict is Verdict.LOST]
