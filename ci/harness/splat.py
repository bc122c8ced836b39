# SPDX-License-Identifier: GPL-2.0
"""Scan a console for splats: the kernel's own complaints, whatever the tests say."""

import pathlib
import re
from .errors import UsageError

_PREFIX = re.compile(r"^(?:<\d+>)?(?:\[[^\]]*\]\s*)+")


def patterns(path):
    """The regular expressions of a pattern file: one a line, # for comments."""
    found = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            found.append(re.compile(line))
        except re.error as error:
            raise UsageError(f"{path}:{number}: {error}") from None
    return found


def scan(console, deny):
    """Lines of the console that are a splat, without time stamps, in order."""
    found = []
    for line in console.splitlines():
        text = _PREFIX.sub("", line.strip("\r\n"))
        if any(pattern.search(text) for pattern in deny):
            found.append(text)
    return found
