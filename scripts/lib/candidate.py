# SPDX-License-Identifier: GPL-2.0
"""Candidates for the stable trees: patches with a line `Cc: stable@vger.kernel.org # 6.1+`, or a line
`# stable: 6.1+` above them in series."""

import re

_CC = re.compile(r"(?im)^Cc:.*\bstable@(?:vger\.)?kernel\.org>?(.*)$")

# The first release with the fault; none where all have it.
Since = tuple[int, ...]


def _since(text: str) -> Since:
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else ()


def since(message: str, note: str | None = None) -> Since | None:
    """From which release on a patch is a candidate: () for all; None where it is none.

    message: with the trailers, or one line of them; note: the value of its `# stable:` in series.
    """
    if note is not None:
        return _since(note)
    match = _CC.search(message)
    return _since(match.group(1)) if match else None
