# SPDX-License-Identifier: GPL-2.0
"""The environment that commands are started in: made here, not inherited.

Variables such as KCFLAGS, GIT_DIR or LC_ALL and the git configuration of whoever calls us
would otherwise be inputs of a verdict that no key in the store names.
"""

import os
import pathlib
import re

from . import diff_form

# What a command may inherit: where tools and scratch space are, how the network is
# reached, and the variables that our own commands document.
_KEPT = ("PATH", "TMPDIR", "TERM", "COLUMNS", "CI", "LINUX", "LINUX_URL", "LINUX_DEBIAN",
         "CCACHE_DIR", "CCACHE_REMOTE_STORAGE", "SERIES_NEEDED_BYTES", "SERIES_TEST_FSYNC",
         "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE",
         *(f(name) for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")
           for f in (str.lower, str.upper)))

# A path that is not there, and that nobody can make, not even root, as tools do with a missing home.
NOWHERE = "/proc/nowhere"

# Over the configuration of the repositories themselves, which may be clones of anybody's.
_GIT_CONFIG = {
    "am.threeWay": "false", "color.ui": "false", "core.attributesFile": "/dev/null", "core.autocrlf": "false",
    "core.commentChar": "#", "core.eol": "lf", "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false", "core.hooksPath": "/dev/null", "core.quotePath": "true",
    "core.safecrlf": "false", "core.splitIndex": "false", "core.untrackedCache": "false",
    "commit.gpgSign": "false", **diff_form.PLAIN, "gc.auto": "0", "i18n.commitEncoding": "UTF-8",
    "i18n.logOutputEncoding": "UTF-8", "index.sparse": "false", "log.showSignature": "false",
    "maintenance.auto": "false", "safe.bareRepository": "all", "safe.directory": "*",
    "submodule.recurse": "false", "tag.gpgSign": "false",
}

# What `git rev-parse --local-env-vars` lists of the variables that name a repository,
# across the versions of git; without those that carry configuration.
_REPOSITORY = ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE",
               "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
               "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
               "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE")

_theirs: dict[str, str] | None = None


def git_config(values: dict[str, str], start: int = 0) -> dict[str, str]:
    """The variables that give git these configuration values, the first under number `start`."""
    found = {"GIT_CONFIG_COUNT": str(start + len(values))}
    for number, (name, value) in enumerate(values.items(), start):
        found[f"GIT_CONFIG_KEY_{number}"] = name
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


def cache_home(variables: dict[str, str]) -> str:
    """$XDG_CACHE_HOME or ~/.cache of an environment, absolute."""
    return os.path.abspath(variables.get("XDG_CACHE_HOME")
                           or os.path.join(variables.get("HOME") or os.path.expanduser("~"), ".cache"))


def constructed(theirs: dict[str, str]) -> dict[str, str]:
    """The environment for commands, made from the one that we were called in.

    A relative entry of PATH means another directory in each command and is left out.
    """
    made = {name: theirs[name] for name in _KEPT if name in theirs}
    made["PATH"] = ":".join(p for p in theirs.get("PATH", os.defpath).split(":") if p.startswith("/"))
    cache = cache_home(theirs)
    made |= {"HOME": NOWHERE, "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1",
             "XDG_CACHE_HOME": cache, "GIT_ATTR_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
             "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0",
             # called in a directory of somebody's repository, we still mean our own
             "GIT_CEILING_DIRECTORIES": f"{cache}/linux-dmabuf-series"}
    # for tests: what git writes in a temporary directory need not outlive a power cut
    fsync = {"core.fsync": "none"} if theirs.get("SERIES_TEST_FSYNC") == "no" else {}
    return made | git_config(_GIT_CONFIG | fsync)


def isolate() -> None:
    """Make os.environ the constructed environment; what it was is kept for users()."""
    global _theirs  # pylint: disable=global-statement
    if _theirs is None:
        _theirs = dict(os.environ)
        made = constructed(_theirs)
        os.environ.clear()
        os.environ.update(made)


def users() -> dict[str, str]:
    """The environment that we were called in, without the variables that name a repository.

    For git on a tree of the user's, and to ask git who the user is: both follow the user's
    configuration.
    """
    theirs = _theirs if _theirs is not None else dict(os.environ)
    return {name: value for name, value in theirs.items() if name not in _REPOSITORY}


def buildable(directory: pathlib.Path) -> str:
    """Why kbuild or QEMU cannot work below a directory, or "".

    kbuild takes no blank or colon, make no $ or #, QEMU's options no comma, and neither
    quotes for a shell.
    """
    # kbuild resolves symbolic links
    for path in (str(directory), os.path.realpath(directory)):
        bad = sorted(set(re.findall(r"[^\w./+=@%~-]", path)))
        if bad:
            named = " ".join("a blank" if c == " " else "a tab" if c == "\t" else c for c in bad)
            return (f"{path}: kbuild and QEMU cannot work in a path with {named}; "
                    "set XDG_CACHE_HOME to another path")
    return ""
