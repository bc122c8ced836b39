# SPDX-License-Identifier: GPL-2.0
"""ccache, where the user has set it up: machines, and lanes of one architecture, share objects."""

import os
import pathlib
import shutil

from ..command import Missing

# Each of them, set and not empty, turns it on.
SETTINGS = ("CCACHE_DIR", "CCACHE_REMOTE_STORAGE")


def variables(directory: pathlib.Path) -> dict[str, str]:
    """What the compiler's wrapper finds in its environment, so that it calls ccache; empty where the
    user has not set it up.

    directory: of the lane, whose path is not the same on every machine. No other setting of the
    user's counts but a ccache.conf in CCACHE_DIR. Missing where there is no ccache.
    """
    theirs = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    if not theirs:
        return {}
    program = shutil.which("ccache")
    if program is None:
        raise Missing(f"{' and '.join(theirs)} set, and no ccache; install it, or unset this")
    return {**theirs, "CCACHE_DIR": os.path.abspath(theirs.get("CCACHE_DIR") or directory / "ccache"),
            "SERIES_CCACHE": program,
            "CCACHE_BASEDIR": str(directory), "CCACHE_NOHASHDIR": "1",
            # its date is not the same on every machine
            "CCACHE_COMPILERCHECK": "content"}
