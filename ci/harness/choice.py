# SPDX-License-Identifier: GPL-2.0
"""The mutants that a run of ci/mutate is about: those that are listed, and a sample of generated ones."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from lib import series
from lib.command import Failed

from . import addition, mutant, sample
from .mutant import Mutant


@dataclasses.dataclass(frozen=True)
class Selection:
    """names: of mutants, none for all; listed: whether those of ci/mutants.toml are meant where no
    name is given; sample: how many generated ones, drawn by the seed; topics, patches: of
    whose lines, all where there are none."""

    names: Sequence[str]
    listed: bool
    sample: int
    seed: str
    topics: Sequence[str]
    patches: Sequence[str]


class Choice:
    """The mutants that the options name. listed: in the order of the file; drawn: generated
    ones, in the order of the seed; the first `count` of them that compile are meant."""

    def __init__(self, wanted: Selection, top: pathlib.Path, found: series.Series,
                 additions: addition.Additions) -> None:
        self._steps = {p.step for p in series.select(found, wanted.patches)}
        for topic in wanted.topics:
            found.choose(topic)
        self._topics, self._additions, self._files = wanted.topics, additions, addition.of_code(found)
        listed = mutant.read(top, additions)
        self.count = wanted.sample
        self.listed = [m for m in listed if self._fits(m)] if wanted.listed and not wanted.names else []
        drawn = sample.ordered(self._generated(listed), wanted.seed) if wanted.sample else []
        self.drawn = [m for m in drawn if self._fits(m)]
        if wanted.sample > len(self.drawn):
            raise Failed(f"--sample {wanted.sample}: there are {len(self.drawn)} such mutants")
        self.listed += self._named(wanted.names, listed)
        if not self.listed and not self.drawn:
            raise Failed("no such mutant: ci/mutants.toml has none that fits the options")

    def _fits(self, one: Mutant) -> bool:
        """Whether a mutant is in a line of the topics and patches that the options name."""
        return one.patch.step in self._steps and (not self._topics or one.patch.topic in self._topics)

    def _generated(self, listed: Sequence[Mutant]) -> list[Mutant]:
        """All generated mutants but those that are listed."""
        def what(one: Mutant) -> tuple[str, str]:
            made = one.apply(self._additions.text(one.file))
            return one.file, re.sub(r"(?m)^[ \t]*;?[ \t]*\n", "", made)  # what a removal may leave

        known = set(map(what, listed))
        return [m for m in sample.everything(self._files, self._additions) if what(m) not in known]

    def _named(self, names: Sequence[str], listed: Sequence[Mutant]) -> list[Mutant]:
        known = {m.name: m for m in listed}
        if any(name not in known for name in names):
            known |= {m.name: m for m in sample.everything(self._files, self._additions)}
        for name in names:
            if name not in known:
                raise Failed(f"no mutant {name!r}: ci/mutate --list shows those of ci/mutants.toml, and "
                             "with --sample N generated ones, whose names are FILE:LINE:OPERATOR")
        return [known[name] for name in dict.fromkeys(names)]

    @property
    def first(self) -> list[Mutant]:
        """All that are meant if each of them compiles."""
        return [*self.listed, *self.drawn[:self.count]]
