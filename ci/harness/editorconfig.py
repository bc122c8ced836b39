# SPDX-License-Identifier: GPL-2.0
"""Check files against those rules of .editorconfig that can be checked line by line."""

import pathlib
import re
from collections.abc import Sequence

from lib.command import Failed

from . import globs

Section = tuple[re.Pattern[str], dict[str, str]]


def pattern(glob: str) -> re.Pattern[str]:
    """A section's name as a regular expression for a whole path; Failed for a form that is
    not read here. With a slash it is a path from the top, without one a name anywhere."""
    if unread := re.findall(r"[][?!\\]", glob):
        raise Failed(f".editorconfig: [{glob}]: {unread[0]} is not read by ci/test")
    anywhere = "" if "/" in glob else "(?:.*/)?"
    return re.compile(anywhere + globs.expression(glob.removeprefix("/")))


def read(text: str) -> list[Section]:
    """The sections of an .editorconfig, in order."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            sections.append((pattern(line[1:-1]), {}))
        elif line and line[0] not in "#;":
            name, equals, value = line.partition("=")
            if not equals:
                raise Failed(f".editorconfig:{number}: neither a section nor a setting: {line}")
            if sections:  # what stands before the first is about the file itself
                sections[-1][1][name.strip().lower()] = value.strip().lower()
    return sections


def settings(sections: Sequence[Section], name: str) -> dict[str, str]:
    """What holds for a path: a later section overrides an earlier one."""
    found: dict[str, str] = {}
    for matches, values in sections:
        if matches.fullmatch(name):
            found |= values
    return found


def problems(data: bytes, rules: dict[str, str]) -> list[tuple[int, str]]:
    """What breaks the rules in a file's content: (line number, what)."""
    found = []
    if rules.get("charset") == "utf-8":
        try:
            data.decode()
        except UnicodeDecodeError as error:
            found.append((data.count(b"\n", 0, error.start) + 1, "is not UTF-8"))
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if rules.get("end_of_line") == "lf" and line.endswith(b"\r"):
            found.append((number, "the line ends in CR LF"))
        elif rules.get("trim_trailing_whitespace") == "true" and line != line.rstrip(b" \t\f\v"):
            found.append((number, "white space at the end of the line"))
        longest = rules.get("max_line_length", "off")
        if longest.isdigit() and len(line.decode(errors="replace")) > int(longest):
            found.append((number, f"is longer than {longest} columns"))
    if rules.get("insert_final_newline") == "true" and lines[-1]:
        found.append((len(lines), "the last line does not end"))
    return found


def check(top: pathlib.Path, names: Sequence[str]) -> list[str]:
    """What breaks the rules in the files of a repository: lines `NAME:LINE: WHAT`."""
    sections = read((top / ".editorconfig").read_text(encoding="utf-8"))
    found = []
    for name in names:
        data = (top / name).read_bytes()
        if b"\0" not in data:  # else it is no text
            found += [f"{name}:{line}: {what}" for line, what in problems(data, settings(sections, name))]
    return found
