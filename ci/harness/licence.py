# SPDX-License-Identifier: GPL-2.0
"""Every file is under GPL-2.0 and says so: by an SPDX line of its own, or in REUSE.toml."""

import pathlib
import re
import tomllib
from collections.abc import Sequence

from lib.store import hash_file

from . import globs

LINES = 5  # among the first so many of a file: after a #! or a docstring's beginning
_OURS = ("GPL-2.0", "GPL-2.0-only")
# sha256 of the text of the licence as COPYING has it
_TEXT = "8177f97513213526df2cf6184d8ff986c675afb514d4e68a404010521b880643"
_LINE = re.compile(rb"SPDX-License-Identifier: *(\S.*?)\s*(?:\*/|-->|$)", re.M)


def covered(top: pathlib.Path) -> list[tuple[re.Pattern[str], str]]:
    """The paths that REUSE.toml gives a licence, as regular expressions, with the licence."""
    path = top / "REUSE.toml"
    if not path.exists():
        return []
    found = []
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("annotations", []):
        for glob in [table["path"]] if isinstance(table["path"], str) else table["path"]:
            found.append((re.compile(globs.expression(glob)), str(table.get("SPDX-License-Identifier", ""))))
    return found


def _own(path: pathlib.Path) -> str:
    """The licence that a file names itself, or ""."""
    with open(path, "rb") as stream:
        head = b"".join(stream.readline(1000) for _ in range(LINES))
    match = _LINE.search(head)
    return match[1].decode("utf-8", "replace") if match else ""


def check(top: pathlib.Path, names: Sequence[str]) -> list[str]:
    """The files that are not under GPL-2.0, or do not say what they are under: lines `NAME: WHAT`."""
    found = [] if "COPYING" in names and hash_file(top / "COPYING") == _TEXT else [
        "COPYING: the text of the licence is not there"]
    annotations = covered(top)
    for name in names:
        licence = next((said for p, said in annotations if said and p.fullmatch(name)), "") \
            or _own(top / name)
        if not licence:
            found.append(f"{name}: no SPDX-License-Identifier in its first {LINES} lines, "
                         "and REUSE.toml does not name it")
        elif licence not in _OURS:
            found.append(f"{name}: it is under {licence}, and not {_OURS[0]}")
    return found
