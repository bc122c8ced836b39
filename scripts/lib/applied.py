# SPDX-License-Identifier: GPL-2.0
"""What a tree's branch is known to have held, since we applied patches/ there or wrote it from there.

A patch that was never in the branch cannot have been dropped from it.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence

from . import cache, clone, export, plumbing, series
from .series import Patch


@dataclasses.dataclass(frozen=True)
class Applied:
    """clone: the directory of the clone whose patches they are; patches: [[topic, subject,
    author and date]...]; written: {name below patches/: sha256 of the file as the branch
    gave it}."""

    clone: str = ""
    patches: list[list[str]] = dataclasses.field(default_factory=list)
    written: dict[str, str] = dataclasses.field(default_factory=dict)

    def held(self, patch: Patch) -> bool:
        """Whether the branch once held the patch, perhaps under another subject or date."""
        _, subject, author = _entry(patch.topic, patch.text)
        return any(subject == known or author == writer for _, known, writer in self.patches)


def _entry(topic: str, text: str) -> list[str]:
    return [topic, series.subject(text), " ".join(export.author(text))]


def digest(data: bytes) -> str:
    """sha256 of a patch file, hex."""
    return hashlib.sha256(data).hexdigest()


def _path(tree: pathlib.Path) -> pathlib.Path:
    name = hashlib.sha256(str(plumbing.private(tree)).encode("utf-8", "surrogateescape"))
    return cache.directory() / "applied" / f"{name.hexdigest()[:32]}.json"


def read(tree: pathlib.Path) -> Applied | None:
    """What is known of a worktree, or None."""
    try:
        return Applied(**json.loads(_path(tree).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write(tree: pathlib.Path, held: Iterable[tuple[str, str]],
          written: dict[str, str] | None = None) -> None:
    """Keep what a worktree's branch holds from now on: (topic, text of the patch)."""
    cache.write_atomically(_path(tree), json.dumps(dataclasses.asdict(Applied(
        str(clone.TOP), [_entry(topic, text) for topic, text in held], written or {}))))


def remember(tree: pathlib.Path, patches: Sequence[Patch]) -> None:
    """Keep for scripts/refresh what the tree's branch holds."""
    write(tree, [(p.topic, p.text) for p in patches])
