# SPDX-License-Identifier: GPL-2.0
"""The checks of this repository's files: linters, and rules of our own."""

import dataclasses
import os
import pathlib
import pwd
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence

from lib import command
from lib.verdict import Verdict

from . import editorconfig, files, licence

# EXTRAVERSION and iput() are the kernel's, SME the processors' memory encryption, the others are
# beginnings of words in patterns.
_WORDS = "extraversion,sme,nin,updat,disabl,iput"
_SECONDS = 300
# What it keeps has no place in the repository. While the linters run, it keeps that elsewhere:
# what it knows of Python's library and of ours serves each further run of it.
_MYPY = ["mypy", "--config-file", "mypy.ini", "--cache-dir", "/dev/null"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One linter's word on its files; text: what it says, again: what repeats it."""

    label: str
    verdict: Verdict
    text: str = ""
    again: str = ""


def _prose(name: str) -> bool:
    """Whether codespell reads a file: checkpatch reads the patches; the others are not our prose."""
    return not name.startswith(("patches/", "ci/tests/cases/")) and name not in ("series", "COPYING")


def tools(top: pathlib.Path, names: Sequence[str]) -> dict[str, tuple[list[str], list[str]]]:
    """The linters that are programs: {label: (command, the files it reads)}."""
    spoken = {name: files.interpreter(top / name) for name in names
              if name.startswith(("scripts/", "ci/", ".ci/"))}
    python = [n for n in spoken if spoken[n] == "python3" or n.endswith(".py")]
    typed = [n for n in python if not n.startswith("ci/tests/")]
    # as modules, these would be taken for Python's own of their names; alone, each is __main__
    hiding = [n for n in typed if n in spoken and pathlib.PurePath(n).name in sys.stdlib_module_names]
    sh = [n for n in spoken if spoken[n] == "sh" or n.startswith("ci/guest/tests/") and n.endswith(".sh")]
    return {
        # SC1091: the guest's tests source /tests/*.sh, which exist only there
        "shellcheck": (["shellcheck", "-e", "SC1091", "-s", "sh"], sh),
        "pyflakes": (["pyflakes3"], python),
        "mypy": ([*_MYPY, "--scripts-are-modules"], [n for n in typed if n not in hiding]),
        **{f"mypy {name}": (_MYPY, [name]) for name in hiding},
        "codespell": (["codespell", "-q", "3", "-L", _WORDS], [n for n in names if _prose(n)]),
    }


def _home() -> str:
    """The caller's home directory; $HOME is not it in the constructed environment."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def machines(top: pathlib.Path, names: Sequence[str]) -> list[str]:
    """Paths of somebody's machine: home directories, and where this clone lies."""
    own = {p for p in (str(top), _home()) if p.count("/") > 1}
    places = re.compile(r"(?<![\w.)}*\"'$/-])(?:/(?:home|Users|work|root)/[\w.-]+"
                        + "".join(f"|{re.escape(p)}(?![\\w.-])" for p in sorted(own)) + ")")
    found = []
    for name in names:
        if name.startswith("patches/"):
            continue
        lines = (top / name).read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{name}:{number}: a path of one machine: {match.group()}"
                  for number, line in enumerate(lines, 1) for match in places.finditer(line)]
    return found


# The rules that are ours: {label: what breaks it, a line each, in files by name}.
RULES: dict[str, Callable[[pathlib.Path, Sequence[str]], list[str]]] = {
    "licence": licence.check,
    "editorconfig": lambda top, names: editorconfig.check(
        top, [n for n in names if not n.startswith("patches/")]),
    "machines": machines,
}


def run_tool(top: pathlib.Path, label: str, words: list[str], read: list[str],
             more: Sequence[str] = ()) -> Finding:
    """Run a linter; more: options for this run that do not change what it finds.

    One that has no file to read fails: with none it passes, or waits for input.
    """
    if not read:
        return Finding(label, Verdict.FAIL, "found no file to read")
    if not shutil.which(words[0]):
        return Finding(label, Verdict.LOST, f"there is no {words[0]}; ci/install installs it")
    try:
        done = command.complete([*words, *more, *read], timeout=_SECONDS, cwd=top)
    except command.CannotJudge as error:
        return Finding(label, Verdict.LOST, str(error), command.shell([*words, *read]))
    text = done.stdout + done.stderr
    again = command.shell([*words, *([n for n in read if n in text] or read)])
    return Finding(label, Verdict.FAIL if done.returncode else Verdict.PASS, text, again)


def run(top: pathlib.Path, names: Sequence[str], cache: pathlib.Path | None = None) -> list[Finding]:
    """What all linters and rules say of the files; cache: where mypy keeps what it knows, by
    default in a directory of this call."""
    with tempfile.TemporaryDirectory(prefix="ci-mypy-", ignore_cleanup_errors=True) as own:
        keep = ["--cache-dir", str(cache or own)]
        found = [run_tool(top, label, words, read, keep if words[0] == "mypy" else [])
                 for label, (words, read) in tools(top, names).items()]
    for label, rule in RULES.items():
        lines = rule(top, names)
        found.append(Finding(label, Verdict.FAIL if lines else Verdict.PASS, "\n".join(lines)))
    return found
