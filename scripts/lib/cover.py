# SPDX-License-Identifier: GPL-2.0
"""The cover letter of a topic or wave, and the sections of COVER-LETTER.txt."""

import pathlib
import re
from collections.abc import Sequence

from . import waves
from .command import CannotJudge, Failed
from .clone import TOP


LETTER = "COVER-LETTER.txt"
# A line with the name of a wave, and below it as many = signs.
_HEADING = re.compile(r"(?m)^(\S+)\n(={2,})\n")


# What ci/report --cover-letter writes stands between these lines.
_RESULTS = ("[results of ci/run]", "[end of the results]")


def with_results(text: str, lines: Sequence[str]) -> str:
    """A letter with other lines between the two markers; Failed where it has not each of them once."""
    for mark in _RESULTS:
        if text.splitlines().count(mark) != 1:
            raise Failed(f"{LETTER} has the line {mark} {text.splitlines().count(mark)} times, not once")
    head, found, tail = text.partition(_RESULTS[0] + "\n")
    _, end, tail = tail.partition(_RESULTS[1] + "\n")
    if not end:
        raise Failed(f"{LETTER}: {_RESULTS[1]} stands before {_RESULTS[0]}")
    return head + found + "".join(f"  {line}".rstrip() + "\n" for line in lines) + end + tail


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CannotJudge(f"no cover letter {path}") from None
    except UnicodeDecodeError as error:
        raise Failed(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def sections(text: str) -> dict[str, str]:
    """The sections of a letter: {name: text}, "" for what stands above the first; Failed for two
    of one name."""
    marks = [m for m in _HEADING.finditer(text) if len(m[1]) == len(m[2])]
    found = {"": text[:marks[0].start()] if marks else text}
    ends = [*(m.start() for m in marks[1:]), len(text)]
    for mark, end in zip(marks, ends):
        if mark[1] in found:
            raise Failed(f"{LETTER} has two sections {mark[1]}")
        found[mark[1]] = text[mark.end():end].strip() + "\n"
    return found


def checked(text: str, where: object) -> tuple[str, str]:
    """(subject, body) of a cover letter; where: what messages call it."""
    subject, gap, body = text.partition("\n\n")
    if not gap or "\n" in subject or not subject.strip() or not body.strip():
        raise Failed(f"{where}: the first line is the subject, the second empty, then the body")
    if re.search(r"(?m)^#", body):
        raise Failed(f"{where}: a line begins with '#', which b4 takes out of a cover letter")
    if "EDITME" in text:
        raise Failed(f"{where}: still says EDITME")
    return subject.strip(), body.rstrip()


def read(cover: str | None, wave: waves.Wave, whole: bool) -> tuple[str, str]:
    """(subject, body) of the cover letter of a wave; Failed where it has none of its own.

    cover: the file that the user names; whole: the wave is all of the series.
    """
    if cover:
        return checked(_text(pathlib.Path(cover)), cover)
    own = TOP / "patches" / wave.topic / "COVER"
    if not wave.name and own.exists():
        return checked(_text(own), own)
    found = sections(_text(TOP / LETTER))
    if wave.title in found:
        return checked(found[wave.title], f"{LETTER}, section {wave.title}")
    if not whole:
        raise Failed(f"{LETTER} has no section {wave.title}; add one, or give a cover letter: --cover FILE")
    return checked(found[""], TOP / LETTER)
