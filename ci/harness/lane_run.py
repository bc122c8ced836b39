# SPDX-License-Identifier: GPL-2.0
"""One lane of a run: its builds and its boots, where an error of one does not end the others."""

from collections.abc import Sequence

from lib.command import CannotJudge, Failed
from lib.lane import Boot, Lane

from .cell import Booted, Built, again
from .regress import Ran
from .step_boot import Boots
from .step_build import Builds
from .work import Work


class LaneRun:
    """lane: as its file says; boots: only of a lane that has any. CannotJudge where it cannot run
    here."""

    def __init__(self, lane: Lane, work: Work) -> None:
        self.lane, self.work = lane, work
        if not lane.boots and lane.builds == "image":
            raise Failed(f"ci/lanes/{lane.name}.toml: it has no boot, and nothing would be tested")
        self.builds = Builds(lane, work)
        if lane.boots:
            self.boots = Boots(lane, work, self.builds.builder.toolchain)

    def modules(self, boots: Sequence[Boot]) -> Sequence[str]:
        """Patterns of the modules that boots of the lane load, which may have none."""
        return self.boots.modules(boots) if boots else ()

    def built(self, step: int, boots: Sequence[Boot]) -> Built:
        """Build a step, whose boots these are."""
        return self.builds.build(step, self.modules(boots), lambda record: all(
            self.boots.judged(step, boot, record) for boot in boots))

    def build(self, step: int, boots: Sequence[Boot]) -> Built:
        """The same; where it cannot be judged, the judgement says so."""
        try:
            return self.built(step, boots)
        except Exception as error:  # pylint: disable=broad-except
            self.work.progress.end(("build", self.work.name(step, self.lane.name)))
            return Built(self.work.could_not(step, self.lane.name, "build", error,
                                             again(self.lane.name, step)), unknown=True)

    def boot(self, step: int, boot: Boot, built: Built) -> Booted | None:
        """Boot a step; None where the whole run ends. Where that cannot be judged, the judgement
        says so."""
        if self.work.broken:
            return None
        try:
            return self.boots.boot(step, boot, built)
        except Exception as error:  # pylint: disable=broad-except
            self.work.progress.end(("boot", self.boots.name(step, boot)))
            return Booted(boot.name, self.work.could_not(
                step, self.lane.name, f"boot:{boot.name}", error,
                again(self.lane.name, step, boot=boot.name)))

    def ran(self, step: int, boot: Boot) -> Ran | None:
        """A boot on a step that this run does not judge, where the store has it."""
        try:
            record = self.builds.kept(step, self.modules([boot]))
            return self.boots.ran(step, boot, record) if record else None
        except (CannotJudge, OSError):
            return None  # this comparison is an extra, which the user did not ask for
