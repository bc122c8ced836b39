# SPDX-License-Identifier: GPL-2.0
"""Try our commands where they could go wrong: killed at any moment, under any git setting,
variable and path. What is right is what they do undisturbed.

usage: python3 ci/tests/trials.py interrupt COMMAND SIGNAL COUNT+SECONDS
       python3 ci/tests/trials.py setting COMMAND file|variables|trees NAME=VALUE...
       python3 ci/tests/trials.py variable COMMAND NAME=VALUE|NAME|umask=OCTAL...
       python3 ci/tests/trials.py path COMMAND clone|cache NAME

One trial, as a failed test names it; a variable without a value is taken away. In values {} is
the directory of the trial. COMMAND is a name in worlds.py; COUNT+SECONDS a moment of a run:
how many commands it had started, and how long ago the last.

exit: 0 as it is right, 1 not
"""

import argparse
import dataclasses
import itertools
import os
import random
import re
import subprocess
import sys
import time
import unittest
from collections.abc import Mapping, Sequence

import belongings
from surroundings import PLACES, Around, Pairs, Table, again, pair
from world import EDIT, SIGNALS, Ended, Moment, World
from worlds import world_of

PATIENCE = 5.0  # seconds for the processes of a run to end after it


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """The user's things before and after a command, its verdict, and how it ended."""

    before: dict[str, str]
    after: dict[str, str]
    verdict: dict[str, str]
    ended: Ended


def differences(what: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """A sentence for each part that differs."""
    return [f"{what}: {part}: wanted {_brief(wanted.get(part))}, found {_brief(found.get(part))}"
            for part in sorted({*wanted, *found}) if wanted.get(part) != found.get(part)]


def _brief(text: str | None) -> str:
    return "nothing" if text is None else repr(text if len(text) < 400 else f"{text[:400]}...")


class Trials:
    """Runs trials; close() removes their worlds."""

    def __init__(self) -> None:
        self.table = Table()
        self._worlds: dict[tuple, World] = {}
        self._undisturbed: dict[str, Undisturbed] = {}

    def close(self) -> None:
        for world in self._worlds.values():
            world.close()
        unittest.case.doModuleCleanups()

    def world(self, command: str, around: Around = Around()) -> World:
        """A world of the command's kind as it was made, with the clone and the cache there."""
        kind = world_of(command)
        key = kind, around.clone, around.cache
        if key not in self._worlds:
            for other in [k for k in self._worlds if k[0] is kind and any(k[1:])]:
                self._worlds.pop(other).close()
            self._worlds[key] = kind(around.clone, around.cache)
        self._worlds[key].renew()
        return self._worlds[key]

    def undisturbed(self, command: str) -> Undisturbed:
        """What a command does when nothing is in its way."""
        if command not in self._undisturbed:
            world = self.world(command)
            before = world.belongings()
            ended = world.run(command)
            if ended.code != 0:
                raise AssertionError(f"undisturbed, {world.describe(command, ended)}")
            if not ended.started:
                raise AssertionError(f"{command} started no command through setpriv: moments have no name")
            self._undisturbed[command] = Undisturbed(before, world.belongings(),
                                                     world.verdict(command, ended), ended)
        return self._undisturbed[command]

    def moments(self, command: str, seed: str, number: int) -> list[Moment]:
        """Moments of a run by chance, one in each of as many equal parts of it."""
        ended, chance, found = self.undisturbed(command).ended, random.Random(f"{seed} {command}"), []
        between = min(0.2, ended.seconds / (ended.started + 1))
        for part in range(number):
            place = (part + chance.random()) / number * (ended.started + 1)
            # after the shell in between has become the command
            found.append(Moment(int(place), 0.005 + place % 1 * between))
        return found

    def interrupted(self, command: str, signal: str, moment: Moment) -> list[str]:
        """What is wrong after a signal at a moment; mostly nothing."""
        right, world = self.undisturbed(command), self.world(command)
        ended = world.run(command, number=SIGNALS[signal], moment=moment)
        wrong = self._wrong_at_once(world, command, right, signal, moment, ended)
        last, things = ended, world.belongings()
        done = things == right.after and not differences(
            "", right.verdict, {**world.verdict(command, ended), "exit code": "0"})
        if ended.code != 0 and not (done and world.commands[command].once):
            last = world.run(command)
            then = world.commands[command].then
            if then and re.search(then[0], last.text):
                last = world.run(command, words=then[1])
            wrong += differences("after the next call", right.verdict, world.verdict(command, last))
            wrong += differences("after the next call", right.after, world.belongings())
        elif ended.code == 0:
            wrong += differences("verdict", right.verdict, world.verdict(command, ended))
            wrong += differences("after", right.after, things)
        if not world.holds(EDIT.encode()):
            wrong.append("the user's edit of a patch is gone")
        if wrong:
            wrong.append(world.describe(command, ended))
            if last is not ended:
                wrong.append(f"and then, {world.describe(command, last)}")
            wrong.append(again("interrupt", command, signal, str(moment)))
        return wrong

    def _wrong_at_once(self, world: World, command: str, right: Undisturbed, signal: str,
                       moment: Moment, ended: Ended) -> list[str]:
        wrong = []
        limit = time.monotonic() + PATIENCE
        while (left := world.processes()) and time.monotonic() < limit:
            time.sleep(0.1)
        wrong += [f"{PATIENCE:.0f} s later a process is left: {line}" for line in left]
        if not ended.shot:
            return wrong
        if "this is a bug" in ended.text:
            wrong.append("it had to be ended at last")
        if signal == "SIGKILL":
            return wrong if ended.code in (-9, 0) else [*wrong, f"it ended with {ended.code}"]
        allowed = {0, 125}
        if moment.count == 0:  # the interpreter had perhaps not come to our first line
            allowed.add(-SIGNALS[signal])
            if ended.text.rstrip().endswith("KeyboardInterrupt"):
                allowed.add(1)
        if ended.code not in allowed:
            wrong.append(f"it ended with {ended.code}")
        if ended.code == 125 and f"interrupted by {signal}" not in ended.text:
            wrong.append(f"it does not say that it was interrupted by {signal}")
        if "Traceback" in ended.text and moment.count:
            wrong.append("a traceback")
        things = world.belongings()
        return wrong + min((differences("at once", side, things) for side in (right.before, right.after)),
                           key=len)

    def surrounded(self, command: str, around: Around) -> list[str]:
        """What is wrong with a command in these surroundings; mostly nothing."""
        right, world = self.undisturbed(command), self.world(command, around)
        files = {"file": [world.top / ".gitconfig"], "variables": [],
                 "trees": [tree / ".git/config" for tree in world.configured]
                 }[around.place] if around.settings else []
        for path in files:
            path.touch()
        before = {path: path.read_bytes() for path in files}
        for path, (name, value) in itertools.product(files, around.settings):
            subprocess.run(["git", "config", "--file", path, "--add", name,
                            (value or "").replace("{}", str(world.top))], check=True, env={
                                "PATH": os.environ["PATH"], **belongings.PLAIN})
        theirs = {path: path.read_bytes() for path in files}
        more = {**dict(around.variables), **(self._numbered(world, command, around.settings)
                                             if around.place == "variables" else {})}
        ended = world.run(command, more, umask=around.umask)
        written = [path for path in files if path.read_bytes() != theirs[path]]
        for path in files:  # what the user has is looked at without them
            path.write_bytes(before[path])
        expected = self.table.expected(command, around, world.commands[command].builds)
        things = world.belongings()
        if expected:
            wrong = [w for e in expected for w in self._wrong_as_expected(e, right, ended, things)]
        else:
            wrong = differences("verdict", right.verdict, world.verdict(command, ended))
            wrong += differences("after", right.after, things)
        wrong += [f"{path.relative_to(world.top)} has changed" for path in written]
        if not world.holds(EDIT.encode()):
            wrong.append("the user's edit of a patch is gone")
        return [*wrong, world.describe(command, ended), around.again(command)] if wrong else []

    @staticmethod
    def _numbered(world: World, command: str, settings: Pairs) -> dict[str, str]:
        """The variables GIT_CONFIG_* that add settings to those of a world."""
        start = int(world.env.get("GIT_CONFIG_COUNT", "0"))
        found = {"GIT_CONFIG_COUNT": str(start + len(settings))}
        for number, (name, value) in enumerate(settings, start):
            found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value or ""}
        return found

    @staticmethod
    def _wrong_as_expected(entry: Mapping, right: Undisturbed, ended: Ended,
                           things: Mapping[str, str]) -> list[str]:
        wrong = []
        if ended.code != entry["code"]:
            wrong.append(f"exit code {entry['code']} is right, not {ended.code}")
        if not re.search(entry.get("says", ""), ended.text):
            wrong.append(f"it does not say {entry['says']!r}")
        if "started" in entry and ended.started > entry["started"]:
            wrong.append(f"it started {ended.started} commands before it said so")
        if "Traceback" in ended.text:
            wrong.append("a traceback")
        side = right.after if entry["code"] == 0 else right.before
        same = {k: v for k, v in things.items() if not re.search(entry.get("but", "$^"), k)}
        side = {k: v for k, v in side.items() if not re.search(entry.get("but", "$^"), k)}
        return wrong + differences("after", side, same)

    def narrowed(self, command: str, around: Around) -> list[str]:
        """surrounded(), and where that finds something, for the least that it takes."""
        wrong = self.surrounded(command, around)
        while wrong:
            for half in around.halves():
                if less := self.surrounded(command, half):
                    around, wrong = half, less
                    break
            else:
                return wrong
        return wrong


def main(arguments: Sequence[str]) -> int:
    """One trial by its words."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="WORD")
    kind, command, *rest = parser.parse_args(arguments).words
    if kind == "setting" and rest[:1] and rest[0] not in PLACES:
        parser.error(f"setting: {rest[0]!r} is none of {', '.join(PLACES)}")
    trials = Trials()
    try:
        if kind == "interrupt":
            wrong = trials.interrupted(command, rest[0], Moment.read(rest[1]))
        elif kind == "setting":
            wrong = trials.surrounded(command, Around(
                settings=tuple(map(pair, rest[1:])), place=rest[0]))
        elif kind == "variable":
            masks = [int(w.partition("=")[2], 8) for w in rest if w.startswith("umask=")]
            wrong = trials.surrounded(command, Around(
                variables=tuple(pair(w) for w in rest if not w.startswith("umask=")),
                umask=masks[0] if masks else -1))
        else:
            wrong = trials.surrounded(command, Around(**{rest[0]: rest[1]}))
    finally:
        trials.close()
    print("\n".join(wrong) or "as it is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
