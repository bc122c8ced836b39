# SPDX-License-Identifier: GPL-2.0
"""Every command of ours, interrupted once and in odd surroundings once: it gives the verdict that
it gives undisturbed, and nothing of the user's is lost.

The short form of long_trials.py (ci/test --long). What chance chooses depends on the seed
that a failure names; SERIES_TEST_SEED repeats it. A failure also names the command that repeats
the one trial.
"""

import os
import random
import unittest

import long_trials
from marks import slow
from surroundings import PLACES, Around, Table
from trials import Trials
from world import SIGNALS, Moment
from worlds import COMMANDS


class Surroundings(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.trials = Trials()
        cls.addClassCleanup(cls.trials.close)
        cls.seed = os.environ.get("SERIES_TEST_SEED") or str(random.SystemRandom().randrange(10 ** 6))

    def good(self, command, wrong):
        if wrong:
            self.fail("\n".join([command, *wrong, f"seed: SERIES_TEST_SEED={self.seed}"]))

    def chance(self, *words):
        return random.Random(" ".join([self.seed, *words]))

    def one_each(self, command, pairs, kind):
        """Of the values of each name one by chance; without what makes the command do otherwise,
        and without HOME, which the settings are in."""
        table, found = self.trials.table, {}
        for pair in pairs:
            if pair[0] != "HOME" and not table.expected(command, Around(**{kind: (pair,)}), False):
                found.setdefault(pair[0], []).append(pair)
        names = []
        for name in self.chance(command, kind).sample(list(found), len(found)):
            if table.together(name, names):
                names.append(name)
        return tuple(self.chance(command, name).choice(found[name]) for name in names)

    @slow
    def test_settings_and_variables(self):
        """All of both at once; where that fails, narrowed down to those that do it."""
        for command in COMMANDS:
            with self.subTest(command):
                chance, table = self.chance(command), self.trials.table
                place = chance.choice(PLACES)
                self.good(command, self.trials.narrowed(command, Around(
                    self.one_each(command, table.at(place), "settings"), place,
                    self.one_each(command, table.variables, "variables"), chance.choice(table.umasks))))

    @slow
    def test_paths(self):
        """Each kind of command in a clone and a cache of odd names, and in a cache where it cannot build."""
        table, chance = self.trials.table, self.chance("paths")
        odd, refused = chance.choice(table.paths), chance.choice(list(table.refused))
        fine = chance.choice([name for name in table.paths if name not in table.refused])
        for command, around in (("apply", Around(clone=odd, cache=fine)),
                                ("refresh", Around(clone=odd, cache=fine)),
                                ("run", Around(clone=odd, cache=refused)),
                                ("test", Around(clone=odd, cache=refused))):
            with self.subTest(command, around=around):
                self.good(command, self.trials.surrounded(command, around))

    @slow
    def test_interrupts(self):
        """Each command at one moment by one signal, of the four."""
        signals = list(SIGNALS)
        self.chance("signals").shuffle(signals)
        for number, command in enumerate(COMMANDS):
            signal = signals[number % len(signals)]
            with self.subTest(command, signal=signal):
                moment, = self.trials.moments(command, self.seed, 1)
                self.good(command, self.trials.interrupted(command, signal, moment))


class TrialsTest(unittest.TestCase):
    """What the trials find, on commands that do wrong; and what there is to try."""

    WRONG = {
        "verdict": ("exit 1", "exit code: wanted '0', found '1'"),
        "user's file": ('rm "$top/user/note"', "user: file note: wanted 'file .*', found nothing"),
        "user's edit": ('cp "$0" "$top"/repo/patches/toy/0001-*', "the user's edit of a patch is gone"),
        "stash": ('git -C "$top/user" stash drop -q', "user: stash"),
        "index": ('rm "$top/user/Makefile"; git -C "$top/user" add -A', "user: index"),
        "lock": ('>"$top/user/.git/index.lock"', "user: left over: wanted '', found 'index.lock'"),
    }

    @slow
    def test_what_is_wrong_is_found(self):
        trials = Trials()
        self.addCleanup(trials.close)
        world = trials.world("base")
        for name, (text, _) in self.WRONG.items():
            self.replace(world, f"[ -z \"$WRONG\" ] || [ \"$WRONG\" != \"{name}\" ] || {{ {text}; }}")
        world.keep()
        for name, (_, found) in self.WRONG.items():
            with self.subTest(name):
                wrong = trials.surrounded("base", Around(variables=(("WRONG", name), ("OTHER", "1"))))
                self.assertRegex("\n".join(wrong), found)
        narrowed = "\n".join(trials.narrowed("base", Around(variables=(
            ("A", "1"), ("WRONG", "verdict"), ("B", "1"), ("C", None)))))
        self.assertIn("again: python3 ci/tests/trials.py variable base WRONG=verdict\n", narrowed + "\n")

    def replace(self, world, text):
        """Add a line to a shell script that stands for scripts/base."""
        path = world.repo / "scripts/base"
        if not path.read_text().startswith("#!/bin/sh"):
            path.write_text(f"#!/bin/sh\ntop='{world.top}'\nsetpriv true\n")
        path.write_text(f"{path.read_text()}{text}\n")

    @slow
    def test_what_is_wrong_after_a_signal_is_found(self):
        trials = Trials()
        self.addCleanup(trials.close)
        world = trials.world("base")
        self.replace(world, "trap 'rm $top/user/note; setsid sleep 60 & exit 7' TERM\nsleep 0.2; sleep 0.2")
        world.keep()
        wrong = "\n".join(trials.interrupted("base", "SIGTERM", Moment(1, 0.05)))
        for words in ("process is left: .*sleep 60", "it ended with 7", "user: file note",
                      r"again: python3 ci/tests/trials.py interrupt base SIGTERM 1\+0.050"):
            self.assertRegex(wrong, words)

    def test_long_trials_have_each_command(self):
        """Written out: ci/test counts tests by their text to share them out."""
        names = {name for name in dir(long_trials.Command) if name.startswith("test_")}
        self.assertEqual(names, {f"test_{name.replace('-', '_')}" for name in COMMANDS})

    def test_table(self):
        table = Table()
        self.assertGreater(len(table.settings), 60)
        self.assertGreater(len(table.variables), 30)
        self.assertGreater(len(table.paths), 20)
        for entry in table.entries:
            with self.subTest(entry):
                self.assertLessEqual(set(entry["commands"]), set(COMMANDS))
                pairs = table.settings if "setting" in entry else table.variables
                name = entry.get("setting") or entry.get("variable")
                self.assertTrue([p for p in pairs if p[0] == name and entry.get("value", p[1]) == p[1]])


if __name__ == "__main__":
    unittest.main()
