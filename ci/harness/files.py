# SPDX-License-Identifier: GPL-2.0
"""The files of the repository, by name: what git tracks and what is new, without what it ignores."""

import pathlib

from lib.command import Broken, CannotJudge, output


def names(top: pathlib.Path) -> list[str]:
    """The names of the files below `top`, sorted; CannotJudge where git does not tell."""
    try:
        root = output(["git", "-C", top, "rev-parse", "--show-toplevel"])
        said = output(["git", "-C", top, "ls-files", "-z", "-co", "--exclude-standard"])
    except (Broken, FileNotFoundError) as error:
        raise CannotJudge(f"git does not tell the files of {top}: {error}\n"
                          "the tests run in a git clone of the repository") from None
    if pathlib.Path(root).resolve() != top.resolve():
        raise CannotJudge(f"{top} is no git clone, and lies in the one of {root}; "
                          "the tests run in a git clone of the repository")
    found = {n for n in said.split("\0") if n and (top / n).is_file() and not (top / n).is_symlink()}
    if not found:
        raise CannotJudge(f"git knows no file in {top}")
    return sorted(found)


def interpreter(path: pathlib.Path) -> str:
    """The name of the interpreter in a file's first line, such as sh or python3, or ""."""
    with open(path, "rb") as stream:
        words = stream.readline(200).decode("ascii", "replace").split()
    if not words or not words[0].startswith("#!"):
        return ""
    name = words[0].removeprefix("#!").rpartition("/")[2]
    return words[1] if name in ("env", "busybox") and len(words) > 1 else name
