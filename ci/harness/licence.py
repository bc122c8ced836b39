# SPDX-License-Identifier: GPL-2.0
"""Every file says its licence: by an SPDX line of its own, or in REUSE.toml."""

import pathlib
import re
import tomllib
from collections.abc import Sequence

LINES = 5  # among the first so many of a file: after a #! or a docstring's beginning


def covered(top: pathlib.Path) -> list[re.Pattern[str]]:
    """The paths that REUSE.toml gives a licence, as regular expressions."""
    path = top / "REUSE.toml"
    if not path.exists():
        return []
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("annotations", [])
    globs: list[str] = []
    for table in tables:
        if table.get("SPDX-License-Identifier"):
            globs += [table["path"]] if isinstance(table["path"], str) else table["path"]
    return [re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part))
                               for part in re.findall(r"\*\*|.", glob))) for glob in globs]


def check(top: pathlib.Path, names: Sequence[str]) -> list[str]:
    """The files without a licence: lines `NAME: WHAT`."""
    found = [] if "COPYING" in names and (top / "COPYING").stat().st_size else [
        "COPYING: the text of the licence is not there"]
    patterns = covered(top)
    for name in names:
        if any(p.fullmatch(name) for p in patterns):
            continue
        with open(top / name, "rb") as stream:
            head = b"".join(stream.readline(1000) for _ in range(LINES))
        if not re.search(rb"SPDX-License-Identifier: *[\w(]", head):
            found.append(f"{name}: no SPDX-License-Identifier in its first {LINES} lines, "
                         "and REUSE.toml does not name it")
    return found
