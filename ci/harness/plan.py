# SPDX-License-Identifier: GPL-2.0
"""The plan of a run: which step is built and booted in which lane, why, and in which order.

Everything here follows from the series, ci/proofs.toml, ci/lanes and the options: nothing is
run to know it.
"""

import dataclasses
from collections.abc import Collection, Sequence

from lib.command import Failed
from lib.kernel import sources
from lib.lane import Boot, Lane
from lib.proofs import Proof
from lib.series import Series, ends, last, paths

from . import guest, proof

# CPU seconds a patch that a complete run with an empty cache may take, and bytes of its cache.
BUDGET_OF_A_PATCH = 95
DISK = 18 << 30

_BY_NAME = "asked for by name"
_ENDS = "the base and the end of each topic"
_ITS_ENDS = "the base, the last step, and the end of a topic that it is for"
_PROOF = "before and after a patch that a case of this boot proves"
_LANE_PROOF = "before and after a patch that a case of this lane proves"
_LANE_LEFT_OUT = {"ends": "the lane is due on the last step of each topic",
                  "last": "the lane is due on the last step, and where a case of it is a proof"}
NOT_CONCERNED = "touches nothing that the lane builds"
_LEFT_OUT = {
    "every": "is due in {topics}, and at the end of topics and around patches that it proves",
    "ends": "is due on the base, and at the end of topics and around patches that it proves",
    "last": "is due on the last step, and where a case of it is a proof"}


@dataclasses.dataclass(frozen=True)
class Due:
    """Whether something is due, and why it is or is not."""

    due: bool
    why: str

    def __bool__(self) -> bool:
        return self.due


@dataclasses.dataclass(frozen=True)
class CellPlan:
    """A step in a lane: whether it is built; boots: {name: Due} in the order of the lane's file,
    as pairs. Where the lane is not due, no boot is."""

    step: int
    lane: str
    due: Due
    boots: tuple[tuple[str, Due], ...]


@dataclasses.dataclass(frozen=True)
class Phase:
    """Cells that are built one after the other, in this order.

    title: what they are; first: they are a first answer for the whole series.
    """

    title: str
    cells: tuple[CellPlan, ...]
    first: bool = False

    @property
    def steps(self) -> list[int]:
        """Its steps in the order of their builds."""
        return list(dict.fromkeys(c.step for c in self.cells))

    @property
    def lanes(self) -> list[str]:
        """Its lanes in the order of the options."""
        return list(dict.fromkeys(c.lane for c in self.cells))


@dataclasses.dataclass(frozen=True)
class Plan:
    """phases: of the cells that are due, in the order of work; idle: the cells that are not."""

    steps: tuple[int, ...]
    lanes: tuple[Lane, ...]
    phases: tuple[Phase, ...]
    idle: tuple[CellPlan, ...]

    @property
    def cells(self) -> list[CellPlan]:
        """All cells, step by step in ascending order, each in the order of the lanes."""
        place = {lane.name: n for n, lane in enumerate(self.lanes)}
        return sorted([*self.idle, *(c for phase in self.phases for c in phase.cells)],
                      key=lambda c: (c.step, place[c.lane]))


@dataclasses.dataclass(frozen=True)
class Policy:
    """What is due where.

    boot_names: the boots that were asked for, none for all; forced: names of lanes that are due
    on every step, whatever their `at` says; of lanes of objects, on each that they have something
    to build of.
    """

    series: Series
    proofs: Sequence[Proof]
    boot_names: Collection[str] = ()
    forced: Collection[str] = ()
    _marked: dict[tuple[str, str], tuple[set[int], set[int]]] = dataclasses.field(
        default_factory=dict, compare=False, repr=False)

    def boots(self, lane: Lane) -> list[Boot]:
        """The boots of a lane that were asked for."""
        return [b for b in lane.boots if not self.boot_names or b.name in self.boot_names]

    def everywhere(self, lane: Lane) -> bool:
        """Whether a lane is due on every step."""
        return lane.at == "every" or lane.name in self.forced

    def lane(self, lane: Lane, step: int) -> Due:
        """Whether a lane is built and booted at a step."""
        if not self._concerned(lane, step):
            return Due(False, NOT_CONCERNED)
        if lane.at == "every":
            return Due(True, "every step")
        if lane.name in self.forced:
            return Due(True, _BY_NAME)
        if lane.at == "ends" and step in ends(self.series):
            return Due(True, "the end of each topic")
        if lane.at == "last" and step == last(self.series):
            return Due(True, "the last step")
        if lane.at == "last" and any(step in self._marks(lane, boot)[1] for boot in lane.boots):
            return Due(True, _LANE_PROOF)
        return Due(False, _LANE_LEFT_OUT[lane.at])

    def boot(self, lane: Lane, boot: Boot, step: int) -> Due:
        """Whether a boot is due at a step that its lane is due at."""
        topic = self.series.patches[step - 1].topic if step else ""
        if self.boot_names:
            return Due(True, _BY_NAME)
        if boot.at == "every" and not boot.topics:
            return Due(True, "every step of the lane")
        if boot.at == "every" and topic in boot.topics:
            return Due(True, f"the steps of {', '.join(boot.topics)}")
        if boot.at == "last" and step == last(self.series):
            return Due(True, "the last step")
        its_ends, proving = self._marks(lane, boot)
        if boot.at != "last" and step in its_ends:
            return Due(True, _ITS_ENDS)
        if step in proving:
            return Due(True, _PROOF)
        return Due(False, _LEFT_OUT[boot.at].format(topics=", ".join(boot.topics)))

    def _marks(self, lane: Lane, boot: Boot) -> tuple[set[int], set[int]]:
        """(the base, the last step, and the ends of the topics that a boot is for; the steps around
        the patches that cases of it prove)."""
        where = lane.name, boot.name
        if where not in self._marked:
            proofs = proof.of_boot(self.proofs, lane.name, boot)
            topics = {*boot.topics, *(p.patch.topic for p in proofs)}
            self._marked[where] = (
                {0, last(self.series),
                 *(k for k in ends(self.series) if self.series.patches[k - 1].topic in topics)},
                proof.milestones(proofs))
        return self._marked[where]

    def before(self, lane: Lane, step: int) -> int:
        """The step that a lane's step is compared with, the last one before it whose objects may
        differ; below 0 for none."""
        return next((k for k in range(step - 1, -1, -1) if self._concerned(lane, k)), -1)

    def _concerned(self, lane: Lane, step: int) -> bool:
        """Whether a step's patch touches what the lane builds: any, but for a lane of objects."""
        return lane.builds == "image" or step == 0 or \
            sources.concerns(lane, paths(self.series.patches[step - 1].text))

    def own(self, selftests: Collection[str], step: int) -> bool:
        """Whether a test with these directories of selftests runs again with the step's own."""
        return any(self.own_selftests(directory, step) for directory in selftests)

    def own_selftests(self, directory: str, step: int) -> Due:
        """Whether the step's own selftests of a directory run beside those of the last step.

        Between two steps that change what they are made from, they are the same programs.
        """
        if step in {0, *ends(self.series)}:
            return Due(True, _ENDS)
        changed = [p.step for p in self.series.patches[max(step - 1, 0):step + 1]
                   if _touches(paths(p.text), guest.selftest_inputs(directory))]
        if changed:
            return Due(True, "before and after a patch that changes what they are made from")
        return Due(False, "they are those of an earlier step")

    def plan(self, steps: Collection[int], lanes: Sequence[Lane]) -> Plan:
        """The plan of a run over these steps and lanes; Failed for a boot's topic that the
        series has not.

        A lane's steps are built in one tree, where a step costs what differs from the step built
        before it: so the order is downwards from the last step, which answers for the whole series.
        """
        for lane, boot in ((lane, boot) for lane in lanes for boot in lane.boots):
            try:
                for topic in boot.topics:
                    self.series.choose(topic)
            except Failed as error:
                raise Failed(f"ci/lanes/{lane.name}.toml: boot {boot.name}: {error}") from None
        everywhere = [lane for lane in lanes if self.everywhere(lane)]
        at_ends = [lane for lane in lanes if not self.everywhere(lane)]
        downwards = sorted(steps, reverse=True)
        parts = [*(("the last step, which has all before it", downwards[:1], [lane], True)
                   for lane in sorted(everywhere, key=lambda lane: not lane.boots)),
                 ("the steps that they are due on, downwards", downwards, at_ends, True),
                 ("the steps before it, downwards", downwards[1:], everywhere, False)]
        idle = [self._cell(lane, step) for step in sorted(steps) for lane in lanes
                if not self.lane(lane, step)]
        phases = [Phase(title, tuple(self._cell(lane, step) for step in of for lane in chosen
                                     if self.lane(lane, step)), answer)
                  for title, of, chosen, answer in parts]
        return Plan(tuple(sorted(steps)), tuple(lanes), tuple(p for p in phases if p.cells), tuple(idle))

    def _cell(self, lane: Lane, step: int) -> CellPlan:
        due = self.lane(lane, step)
        return CellPlan(step, lane.name, due, tuple(
            (boot.name, self.boot(lane, boot, step) if due else due) for boot in self.boots(lane)))


def _touches(changed: Collection[str], inputs: Collection[str]) -> bool:
    """Whether one of the files is, or lies below, one of the paths."""
    return any(file == path or file.startswith(f"{path}/") for file in changed for path in inputs)
