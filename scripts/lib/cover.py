# SPDX-License-Identifier: GPL-2.0
"""The cover letter of the series or of a topic."""

import pathlib
import re

from .command import CannotJudge, Failed
from .clone import TOP


def read(path: pathlib.Path) -> tuple[str, str]:
    """(subject, body) of a cover letter."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CannotJudge(f"no cover letter {path}") from None
    except UnicodeDecodeError as error:
        raise Failed(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    subject, gap, body = text.partition("\n\n")
    if not gap or "\n" in subject or not subject.strip() or not body.strip():
        raise Failed(f"{path}: the first line is the subject, the second empty, then the body")
    if re.search(r"(?m)^#", body):
        raise Failed(f"{path}: a line begins with '#', which b4 takes out of a cover letter")
    if "EDITME" in text:
        raise Failed(f"{path}: still says EDITME")
    return subject.strip(), body.rstrip()


def letter_of(cover: str | None, topic: str | None, whole: bool) -> pathlib.Path:
    """The file of the cover letter; Failed for a topic that has none of its own.

    cover: the file that the user names; whole: all patches of the series are sent.
    """
    if cover:
        return pathlib.Path(cover)
    own = TOP / "patches" / (topic or "") / "COVER"
    if topic and own.exists():
        return own
    if topic and not whole:
        raise Failed(f"COVER-LETTER.txt is the letter of the whole series, and {topic} has no "
                     f"patches/{topic}/COVER; give its cover letter: --cover FILE")
    return TOP / "COVER-LETTER.txt"
