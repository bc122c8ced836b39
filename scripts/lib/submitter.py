# SPDX-License-Identifier: GPL-2.0
"""Who submits the series: the user, by their configuration of git."""

from .command import CannotJudge, output
from .clone import TOP


def configuration() -> dict[str, list[str]]:
    """The user's git configuration: {name, in git's spelling: its values in order}."""
    text = output(["git", "-C", TOP, "config", "--list", "-z"], user=True)
    found: dict[str, list[str]] = {}
    for entry in text.split("\0"):
        name, equals, value = entry.partition("\n")
        if name:
            found.setdefault(name, []).append(value if equals else "true")
    return found


def person(config: dict[str, list[str]]) -> tuple[str, str]:
    """(name, address) of the submitter; CannotJudge when git does not know."""
    name, address = (config.get(f"user.{what}", [""])[-1] for what in ("name", "email"))
    if not name or not address:
        raise CannotJudge("b4 needs to know who submits; tell git:\n"
                          "  git config --global user.name 'Your Name'\n"
                          "  git config --global user.email you@example.org")
    return name, address
