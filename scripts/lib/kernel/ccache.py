# SPDX-License-Identifier: GPL-2.0
"""ccache, where the user has set it up: machines, and lanes with images, share objects."""

import os
import pathlib
import shutil
from collections.abc import Sequence

from ..command import Missing

# Each of them, set and not empty, turns it on.
SETTINGS = ("CCACHE_DIR", "CCACHE_REMOTE_STORAGE")


def variables(directory: pathlib.Path, assemblers: Sequence[str]) -> dict[str, str]:
    """What the compiler's wrapper finds in its environment, so that it calls ccache; empty where the
    user has not set it up.

    directory: of the lane, whose path is not the same on every machine; assemblers: that its compilers
    call. No other setting of the user's counts, and no configuration file: these can change an object.
    Missing where there is no ccache.
    """
    theirs = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    if not theirs:
        return {}
    program = shutil.which("ccache")
    if program is None:
        raise Missing(f"{' and '.join(theirs)} set, and no ccache; install it, or unset this")
    # what the user gave is as large as the user made it
    size = {"CCACHE_DIR": os.path.abspath(theirs["CCACHE_DIR"]), "CCACHE_MAXSIZE": "0"} \
        if "CCACHE_DIR" in theirs else {"CCACHE_DIR": str(directory / "ccache"), "CCACHE_MAXSIZE": "1G"}
    tools = [path for name in assemblers if (path := shutil.which(name))]
    return {**theirs, **size, "SERIES_CCACHE": program, "CCACHE_CONFIGPATH": "/dev/null",
            "CCACHE_BASEDIR": str(directory), "CCACHE_NOHASHDIR": "1",
            # its date is not the same on every machine
            "CCACHE_COMPILERCHECK": "content", "CCACHE_EXTRAFILES": ":".join(tools)}
