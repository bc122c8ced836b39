# SPDX-License-Identifier: GPL-2.0
"""What a command may find itself in, and what of it there is to try: ci/tests/surroundings.toml."""

import dataclasses
import pathlib
import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping

Pairs = tuple[tuple[str, str | None], ...]
# Where settings of git are: in ~/.gitconfig, in GIT_CONFIG_KEY_*, in each of the user's repositories.
PLACES = ("file", "variables", "trees")


def again(*words: str) -> str:
    return "again: " + shlex.join(["python3", "ci/tests/trials.py", *words])


@dataclasses.dataclass(frozen=True)
class Around:
    """What a command finds itself in. settings of git, in a place of PLACES; variables, None for
    one that is taken away; umask, -1 for ours; names of directories that hold the clone and the
    cache."""

    settings: Pairs = ()
    place: str = "file"
    variables: Pairs = ()
    umask: int = -1
    clone: str = ""
    cache: str = ""

    def halves(self) -> Iterator["Around"]:
        """The two halves of the settings, then of the variables."""
        for name in ("settings", "variables"):
            every = getattr(self, name)
            for half in (every[:len(every) // 2], every[len(every) // 2:]):
                if len(every) > 1:
                    yield dataclasses.replace(self, **{name: half})
        if self.settings and self.variables:
            yield dataclasses.replace(self, settings=())
            yield dataclasses.replace(self, variables=())

    def again(self, command: str) -> str:
        """The trials that this is, as commands."""
        found = []
        if self.settings:
            found.append(["setting", command, self.place,
                          *(f"{name}={value}" for name, value in self.settings)])
        if self.variables or self.umask >= 0:
            found.append(["variable", command, *(
                name if value is None else f"{name}={value}" for name, value in self.variables),
                *([f"umask={self.umask:03o}"] if self.umask >= 0 else [])])
        found += [["path", command, what, name] for what, name in
                  (("clone", self.clone), ("cache", self.cache)) if name]
        return "\n".join(again(*words) for words in found)


class Table:
    """ci/tests/surroundings.toml. settings: (name, value); variables: (name, value), None to
    take it away; apart: names that are not tried together; umasks; paths: names; refused: those of
    them in which nothing can be built, with what is said; entries: what is right where a command
    does not do as undisturbed."""

    def __init__(self, path: pathlib.Path = pathlib.Path(__file__).with_name("surroundings.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        self.settings = [(name, value) for name, values in data["settings"].items()
                         for value in ([values] if isinstance(values, str) else values)]
        self.variables: list[tuple[str, str | None]] = [
            (name, value) for name, values in data["variables"].items()
            for value in ([values] if isinstance(values, str) else values)]
        self.variables += [(name, None) for name in data["unset"]]
        self._not_in_trees = data["not_in_trees"]
        self.apart = [frozenset(names) for names in data["apart"]]
        self.umasks = [int(text, 8) for text in data["umasks"]]
        self.refused: dict[str, str] = data["refused"]
        self.paths = [*data["paths"], *self.refused]
        self.entries = data.get("expect", [])

    def at(self, place: str) -> list[tuple[str, str]]:
        """The settings that are tried at a place of PLACES."""
        return [(name, value) for name, value in self.settings
                if place != "trees" or name not in self._not_in_trees]

    def together(self, name: str, others: Collection[str]) -> bool:
        """Whether a setting or variable may be tried beside these: git takes them, and none is it."""
        return name not in others and not any(name in names and names & set(others) for names in self.apart)

    def expected(self, command: str, around: Around, builds: bool) -> list[dict]:
        """The entries that tell of a command in these surroundings; mostly none."""
        found = [e for e in self.entries if command in e["commands"] and (
            ("setting" in e and any(_fits(e, "setting", pair) for pair in around.settings))
            or ("variable" in e and any(_fits(e, "variable", pair) for pair in around.variables)))]
        if builds and around.cache in self.refused:
            found.append({"code": 125, "says": "kbuild and QEMU cannot work in a path with "
                          + re.escape(self.refused[around.cache]), "started": 0})
        return found


def _fits(entry: Mapping[str, str], kind: str, pair: tuple[str, str | None]) -> bool:
    return entry[kind] == pair[0] and entry.get("value", pair[1]) == pair[1]


def pair(word: str) -> tuple[str, str | None]:
    """NAME=VALUE as a pair, NAME alone with None."""
    name, equals, value = word.partition("=")
    return name, value if equals else None
