# SPDX-License-Identifier: GPL-2.0
"""Every command of ours, killed at many moments, under each git setting, each variable and in
each path: some hours, by ci/test --long. test_trials.py is its short form."""

import os
import random
import unittest

from surroundings import PLACES, Around
from trials import Trials
from world import SIGNALS

MOMENTS = 20  # a command and signal
GROUP = 12  # settings or variables at once


class Command:
    """A test a command; each(command) yields (what is tried, what is wrong)."""

    @classmethod
    def setUpClass(cls):
        cls.trials = Trials()
        cls.addClassCleanup(cls.trials.close)
        cls.seed = os.environ.get("SERIES_TEST_SEED") or str(random.SystemRandom().randrange(10 ** 6))

    def _try(self, command):
        for what, wrong in self.each(command):
            with self.subTest(what):
                if wrong:
                    self.fail("\n".join([command, *wrong]))

    def groups(self, command, kind, pairs):
        """All pairs, in groups by chance in which no name is twice; those that make the command do
        otherwise each alone. What fails is narrowed down to the pairs that do it."""
        groups, alone = [], []
        pairs = list(pairs)
        random.Random(f"{self.seed} {command} {kind}").shuffle(pairs)
        for pair in pairs:
            if pair[0] == "HOME" or self.trials.table.expected(command, Around(**{kind: (pair,)}), False):
                alone.append((pair,))
                continue
            for group in groups:
                if len(group) < GROUP and self.trials.table.together(pair[0], {name for name, _ in group}):
                    group.append(pair)
                    break
            else:
                groups.append([pair])
        return [*map(tuple, groups), *alone]

    def test_base(self): self._try("base")
    def test_apply(self): self._try("apply")
    def test_apply_newer(self): self._try("apply-newer")
    def test_apply_tree(self): self._try("apply-tree")
    def test_apply_worktree(self): self._try("apply-worktree")
    def test_refresh(self): self._try("refresh")
    def test_refresh_check(self): self._try("refresh-check")
    def test_check(self): self._try("check")
    def test_send(self): self._try("send")
    def test_send_send(self): self._try("send-send")
    def test_run(self): self._try("run")
    def test_shard(self): self._try("shard")
    def test_bisect(self): self._try("bisect")
    def test_mutate(self): self._try("mutate")
    def test_report(self): self._try("report")
    def test_bench(self): self._try("bench")
    def test_test(self): self._try("test")


class Interrupts(Command, unittest.TestCase):

    def each(self, command):
        for signal in SIGNALS:
            for moment in self.trials.moments(command, f"{self.seed} {signal}", MOMENTS):
                yield f"{signal} {moment}", self.trials.interrupted(command, signal, moment)


class Settings(Command, unittest.TestCase):

    def each(self, command):
        for place in PLACES:
            for group in self.groups(command, "settings", self.trials.table.at(place)):
                yield f"{place}: {group}", self.trials.narrowed(command, Around(group, place))


class Variables(Command, unittest.TestCase):

    def each(self, command):
        for group in self.groups(command, "variables", self.trials.table.variables):
            yield group, self.trials.narrowed(command, Around(variables=group))
        for mask in self.trials.table.umasks:
            yield f"umask {mask:03o}", self.trials.surrounded(command, Around(umask=mask))


class Paths(Command, unittest.TestCase):

    def each(self, command):
        for name in self.trials.table.paths:
            for what in ("clone", "cache"):
                yield f"{what} {name}", self.trials.surrounded(command, Around(**{what: name}))


if __name__ == "__main__":
    unittest.main()
