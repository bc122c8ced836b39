# SPDX-License-Identifier: GPL-2.0
"""Whom the mails go to."""

import email.utils
import pathlib
from collections.abc import Sequence

from . import series as series_file
from .command import run, say
from .waves import Wave


def maintainers(tree: pathlib.Path, patches: Sequence[series_file.Patch]) -> tuple[list[str], list[str]]:
    """(To, Cc): maintainers and lists by the tree's get_maintainer.pl, without duplicates."""
    script = tree / "scripts/get_maintainer.pl"
    if not script.exists():
        say("the tree has no scripts/get_maintainer.pl: recipients are those given")
        return [], []
    found: dict[str, list[str]] = {}
    for kind, option in (("To", "--nol"), ("Cc", "--nom")):
        done = run([script, "--nogit", "--nogit-fallback", "--nogit-chief-penguins", "--norolestats",
                    option, *[patch.path for patch in patches]], cwd=tree)
        found[kind] = [line.strip() for line in done.stdout.splitlines() if "@" in line]
    kept = {bare(line) for line in found["To"]}
    return found["To"], [line for line in found["Cc"] if bare(line) not in kept]


def of(tree: pathlib.Path, wave: Wave) -> tuple[list[str], list[str]]:
    """(To, Cc) of a wave: what maintainers() finds, and the lists that `series` names for it."""
    to, cc = maintainers(tree, wave.patches)
    kept = {bare(line) for line in [*to, *cc]}
    return to, [*cc, *(address for address in wave.lists if bare(address) not in kept)]


def bare(person: str) -> str:
    """The address of "Name <address>", in lower case."""
    return email.utils.parseaddr(person)[1].lower()
