# SPDX-License-Identifier: GPL-2.0
"""The topic, and the wave of it, that each commit of the branch goes to."""

import pathlib
import re
from collections.abc import Mapping

from . import export, plumbing
from .command import Failed
from .plumbing import git
from .series import Patch, Series, subject


# A topic, None where there is none, and a wave of it.
_Place = tuple[str | None, str]


def _diff(text: str) -> str:
    """What a patch changes, without its message and statistics."""
    return text[text.find("\ndiff --git "):]


class Topics:
    """Which topic and wave each commit goes to."""

    def __init__(self, series: Series, starts: Mapping[str, str]) -> None:
        self.by_subject = {subject(p.text): p for p in series.patches}
        self.by_author: dict[tuple[str, ...], list[Patch]] = {}
        for patch in series.patches:
            self.by_author.setdefault(export.author(patch.text), []).append(patch)
        self.by_diff = {_diff(p.text): p for p in series.patches}
        self.starts = starts
        self.first: _Place = (next(iter(series.topics), None), "")
        if series.patches:
            self.first = series.patches[0].topic, series.patches[0].wave
        self.last: _Place | None = None

    def of(self, commit: str, text: str) -> tuple[str, str, Patch | None]:
        """(topic, wave, known patch or None) of the next commit."""
        known = self.by_subject.get(subject(text))
        if known is None:
            known = self.by_diff.get(_diff(text))
        if known is None:
            same = self.by_author.get(export.author(text), [])
            known = same[0] if len(same) == 1 else None
        place: _Place = (known.topic, known.wave) if known else self.last or self.first
        topic, wave = place
        if self.starts.get(commit, topic) != topic:
            topic, wave = self.starts[commit], ""
        if topic is None:
            raise Failed(f"no topic for the first commit, {subject(text)!r}; "
                         "give one: --start TOPIC=REV")
        self.last = topic, wave
        return topic, wave, known


def starts_of(tree: pathlib.Path, words: list[str]) -> dict[str, str]:
    """{commit: topic that begins there} of the words TOPIC=REV."""
    starts = {}
    for word in words:
        topic, _, revision = word.partition("=")
        if not re.fullmatch(r"\w[\w.+-]*", topic) or not plumbing.succeeds(
                tree, "rev-parse", "-q", "--verify", f"{revision}^{{commit}}"):
            raise Failed(f"--start {word}: not TOPIC=REV with a commit of {tree}")
        starts[git(tree, "rev-parse", f"{revision}^{{commit}}")] = topic
    return starts
