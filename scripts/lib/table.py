# SPDX-License-Identifier: GPL-2.0
"""Check the tables of our TOML files: their keys, and the kinds of the values."""

import dataclasses
import pathlib
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from .command import Failed


@dataclasses.dataclass(frozen=True)
class Kind:
    """name: what a message calls such a value; holds: whether a value is one."""

    name: str
    holds: Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


TEXT = Kind("a string that is not empty", _text)
TEXTS = Kind("a list of strings", _texts)
TEXT_OR_TEXTS = Kind("a string or a list of strings", lambda v: _text(v) or (_texts(v) and v != []))
LINE = Kind("a string", lambda v: isinstance(v, str))
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
NUMBER = Kind("a whole number above 0",
              lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0)
TABLE = Kind("a table", lambda v: isinstance(v, dict))
TABLES = Kind("a list of tables",
              lambda v: isinstance(v, list) and all(isinstance(one, dict) for one in v))


def one_of(*words: str) -> Kind:
    """The kind of a value that is one of these texts."""
    return Kind(" or ".join(f'"{word}"' for word in words), lambda v: v in words)


def load(top: pathlib.Path, name: str) -> dict[str, Any]:
    """The file `name` below `top`; Failed, with the file and line, where it is no TOML."""
    try:
        return tomllib.loads((pathlib.Path(top) / name).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{name}: {error}") from None
    except FileNotFoundError:
        raise Failed(f"{name}: no such file") from None


def check(table: Mapping[str, Any], where: str, required: Mapping[str, Kind],
          allowed: Mapping[str, Kind] | None = None) -> None:
    """Failed unless a table has all the required keys, no others than those and the allowed
    ones, and values of their kinds. where: file and place, for the message."""
    kinds = {**(allowed or {}), **required}
    if unknown := sorted(set(table) - set(kinds)):
        raise Failed(f"{where}: unknown: {', '.join(unknown)}; "
                     f"there are: {', '.join(sorted(kinds))}")
    for key in required:
        if key not in table:
            raise Failed(f"{where}: {key} is missing")
    for key, value in table.items():
        if not kinds[key].holds(value):
            raise Failed(f"{where}: {key} = {value!r} is not {kinds[key].name}")
