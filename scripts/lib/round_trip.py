# SPDX-License-Identifier: GPL-2.0
"""The round trip: patches/ applied to the base and exported again."""

import difflib

from . import cache, checkout, contents, replay, series as series_file, waves
from .command import Failed, say
from .clone import TOP


def check() -> None:
    """The round trip: apply, export, compare; Failed, too, where the waves of `series` are wrong."""
    series, there = series_file.read_all(TOP)
    waves.check(series)
    commits, refusal = replay.steps(series.patches)
    if refusal:
        raise Failed(f"{refusal}\nto repeat: scripts/refresh --check")
    with cache.lock("steps"):
        tree = checkout.sparse_worktree("steps", commits[-1], [])
        after = contents.exported(tree, commits[0], series, {})
    listing = there.pop("series")
    texts = {f"patches/{n}": t for n, t in there.items()} | {"series": listing}
    wanted = {f"patches/{n}": t for n, t in after.files.items()} | {"series": after.listing}
    found: list[str] = []
    for name in sorted(set(texts) | set(wanted)):
        if texts.get(name) != wanted.get(name):
            found += difflib.unified_diff(
                texts.get(name, "").split("\n"), wanted.get(name, "").split("\n"),
                name if name in texts else "/dev/null",
                f"{name} (after the round trip)" if name in wanted else "/dev/null",
                lineterm="")
    for line in found:
        print(line.encode("utf-8", "replace").decode())
    if found:
        raise Failed("patches/ and series change when they are applied and exported again; "
                     "to correct them: scripts/apply && scripts/refresh\n"
                     "to repeat: scripts/refresh --check")
    say(f"{len(after.files)} patches: no difference after the round trip")
