# SPDX-License-Identifier: GPL-2.0
"""What patches/ and series should hold, by the commits of a branch."""

import dataclasses
import pathlib

from . import export, series as series_file, topics as topics_of
from .command import Failed
from .series import Series

MOST = 500  # commits of a series; more means that the base was not the base


@dataclasses.dataclass(frozen=True)
class Export:
    """files: {name below patches/: text}, in order; listing: text of series; topics: of the
    files, in order; dropped: patches of series that no commit is; commits: the export.Commit."""

    files: dict[str, str]
    listing: str
    topics: list[str]
    dropped: list[series_file.Patch]
    commits: list[export.Commit]


def commits_of(tree: pathlib.Path, start: str) -> list[export.Commit]:
    """The commits of the series; Failed where they make none."""
    commits = export.commits(tree, start)
    if not commits:
        raise Failed(f"{tree} holds no commit on {start[:12]}, where the series starts: there is "
                     "nothing to write (to put the series there: scripts/apply)")
    if len(commits) > MOST:
        raise Failed(f"{tree}: {len(commits)} commits since {start[:12]}: too many for a series; "
                     "name where it starts: --base REV")
    if merges := [commit for commit in commits if commit.merge]:
        raise Failed(f"{tree}: {merges[-1].name[:12]} is a merge; a series cannot have one")
    for commit in commits:
        if why := export.unfit(commit):
            raise Failed(f"{commit} cannot become a patch: {why}")
    return commits


def exported(tree: pathlib.Path, start: str, series: Series, starts: dict[str, str],
             everything: bool = False) -> Export:
    """What patches/ and series should hold.

    A patch that is the same as the file there keeps the file's bytes.
    """
    commits = commits_of(tree, start)
    chosen = topics_of.Topics(series, starts)
    files: dict[str, str] = {}
    topics: list[str] = []
    dropped = list(series.patches)
    count: dict[str, int] = {}
    entries: list[series_file.Entry] = []
    for commit, (slug, text) in zip(commits, export.patches(tree, start), strict=True):
        topic, wave, known = chosen.of(commit.name, text)
        count[topic] = count.get(topic, 0) + 1
        name = f"{topic}/{count[topic]:04d}-{slug}"
        if known and not everything and export.same(known.text, text):
            text = known.text
        dropped = [p for p in dropped if p is not known]
        files[name] = text
        topics.append(topic)
        entries.append((topic, wave, name, known.notes if known else []))
    return Export(files, series_file.write(series, entries), topics, dropped, commits)
