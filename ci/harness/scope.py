# SPDX-License-Identifier: GPL-2.0
"""What a run is about: the steps, lanes and boots that its options choose."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lib import lane, series
from lib.command import Failed, shell
from lib.proofs import Proof

from . import plan, session
from .portion import Portion


@dataclasses.dataclass(frozen=True)
class Scope:
    """lanes, boots, topics: names, none for all (of lanes: for those that do not say default = false);
    steps: the words of --step, none for all; static: whether the static gates are judged; portion:
    which part of the steps this machine judges, None for all."""

    lanes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    boots: tuple[str, ...] = ()
    static: bool = True
    portion: Portion | None = None

    @property
    def complete(self) -> bool:
        """Whether it leaves nothing out that a plain run judges."""
        return self == Scope()

    @property
    def all(self) -> "Scope":
        """The same, of all machines."""
        return dataclasses.replace(self, portion=None)

    def command(self) -> str:
        """The call of ci/run with these options."""
        words = ["ci/run"]
        for option, values in (("--lane", self.lanes), ("--step", self.steps), ("--topic", self.topics),
                               ("--boot", self.boots)):
            words += [word for value in values for word in (option, value)]
        words += [] if self.static else ["--no-static"]
        return shell([*words, *(["--shard", str(self.portion)] if self.portion else [])])

    def chosen_steps(self, found: series.Series) -> list[int]:
        """The steps of all machines, in order; Failed for one that is not there."""
        known = {p.topic for p in found.patches}
        for topic in self.topics:
            if topic not in known:
                raise Failed(f"no topic {topic!r}; there are: {', '.join(sorted(known))}")
        steps = {step for word in self.steps for step in session.step_range(word, found)}
        if self.topics:
            of_topic = {p.step for p in found.patches if p.topic in self.topics}
            of_topic |= {s - 1 for s in of_topic}
            steps = steps & of_topic if self.steps else of_topic
        return sorted(steps) if self.steps or self.topics else list(range(series.last(found) + 1))

    def chosen_lanes(self, top: pathlib.Path) -> list[lane.Lane]:
        """The lanes: where boots but no lanes are named, those that have one of them; Failed for a lane
        or a boot that is not there."""
        names = list(dict.fromkeys(self.lanes)) or lane.default(top)
        lanes = [lane.read(top, name) for name in names]
        boots = {b.name for one in lanes for b in one.boots}
        for name in self.boots:
            if name not in boots:
                raise Failed(f"no boot {name!r}; there are: {', '.join(sorted(boots))}")
        if self.boots and not self.lanes:
            return [one for one in lanes if any(b.name in self.boots for b in one.boots)]
        return lanes

    def policy(self, found: series.Series, proofs: Sequence[Proof]) -> plan.Policy:
        """What is due where."""
        return plan.Policy(found, proofs, self.boots, forced=self.lanes if self.steps else ())

    def own_steps(self, found: series.Series, policy: plan.Policy, lanes: Sequence[lane.Lane]) -> list[int]:
        """The steps of this machine, in order: those of a portion weigh what is due on them."""
        steps = self.chosen_steps(found)
        if not self.portion:
            return steps
        weights = dict.fromkeys(steps, 1)
        for cell in policy.plan(steps, lanes).cells:
            weights[cell.step] += bool(cell.due) + sum(bool(due) for _, due in cell.boots)
        return self.portion.of(weights)

    def data(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Scope":
        """The scope that data() was made of."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        if fields.get("portion"):
            fields["portion"] = Portion(**fields["portion"])
        return cls(**fields)
