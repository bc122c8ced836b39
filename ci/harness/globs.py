# SPDX-License-Identifier: GPL-2.0
"""Patterns of paths, as .editorconfig and REUSE.toml have them."""

import re

_WORDS = {"**": ".*", "*": "[^/]*", "{": "(?:", "}": ")"}


def expression(glob: str) -> str:
    """A pattern as a regular expression for a whole path: `*` for any part of a name, `**` for any
    part of a path, {a,b} for one of both."""
    depth, made = 0, ""
    for part in re.findall(r"\*\*|.", glob):
        depth += {"{": 1, "}": -1}.get(part, 0)
        made += "|" if part == "," and depth else _WORDS.get(part, re.escape(part))
    return made
