# SPDX-License-Identifier: GPL-2.0
"""What is wrong with a commit message: predicates over one patch's text."""

import re
from collections.abc import Iterator, Sequence

from . import candidate

WIDTH = 75
_GIVEN = ("Signed-off-by", "Reviewed-by", "Acked-by", "Tested-by", "Reported-by", "Suggested-by",
          "Co-developed-by", "Cc")
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+): (.*)$")
_LORE = re.compile(r"https://lore\.kernel\.org/(?:[\w.-]+/)?[^/\s]+@[^/\s]+/?(?: # \[\d+\])?$")
# First words that tell what was done instead of what to do.
_TOLD = re.compile(r"(?:fix|add|remov|chang|mak|us|unmap|map|refus|mov|mak|introduc|replac|allow|"
                   r"prevent|check|return|handl|updat|convert|drop|support|implement|avoid|"
                   r"renam|clean|correct|improv|creat|enabl|disabl)(?:e?s|ed|ing|ped|ping)$", re.I)


def subject(text: str) -> str:
    """The Subject: unfolded, with its [PATCH]."""
    match = re.search(r"^Subject: (.*(?:\n[ \t].*)*)", text, re.M)
    return re.sub(r"\n[ \t]", " ", match.group(1)) if match else ""


def body(text: str) -> list[str]:
    """The lines of the message below the subject."""
    _, _, rest = text.partition("\n\n")
    return rest.partition("\n---\n")[0].split("\n") if "\n---\n" in rest else []


def trailers(lines: Sequence[str]) -> list[tuple[str, str]]:
    """[(name, value)] of the last paragraph, when that is made of trailers."""
    paragraph = "\n".join(lines).strip().split("\n\n")[-1].split("\n")
    found = [_TRAILER.match(line) for line in paragraph if not line.startswith((" ", "\t"))]
    return [(m[1], m[2]) for m in found if m] if found and all(found) else []


def _may_be_long(line: str) -> bool:
    """Links, tags that must stay on one line, and quoted output."""
    return (bool(re.match(r"(?:Fixes|Link|Closes): ", line)) or line.startswith((" ", "\t", ">"))
            or "://" in line or " " not in line)


def _about_subject(line: str) -> Iterator[str]:
    if not line.startswith("[PATCH] "):
        yield f"the subject does not begin with '[PATCH] ' (no n/m): {line!r}"
    line = re.sub(r"^\[[^]]*\]\s*", "", line)
    match = re.match(r"([\w./,+*-]+(?: [\w./,+*-]+)?(?:: [\w./,+*-]+)*): (\S+)( .*)?$", line)
    if not match:
        yield f"the subject has no 'subsystem: ' prefix and summary: {line!r}"
    elif _TOLD.match(match.group(2)):
        yield f"the subject is not imperative: {match.group(2)!r}"
    if len(line) > WIDTH:
        yield f"the subject has {len(line)} characters, more than {WIDTH}"
    if line.endswith("."):
        yield "the subject ends with a full stop"


def problems(text: str) -> list[str]:
    """What is wrong, a sentence each; an empty list when nothing is. What Fixes: names is for the gate
    fixes to judge."""
    found = list(_about_subject(subject(text)))
    lines = body(text)
    tags = trailers(lines)
    prose = [x for x in lines if x.strip() and not _TRAILER.match(x)]
    if not prose:
        found.append("the message has no body that says why")
    for number, line in enumerate(lines, 1):
        if len(line) > WIDTH and not _may_be_long(line):
            found.append(f"line {number} of the message has {len(line)} characters, "
                         f"more than {WIDTH}: {line!r}")
        match = _TRAILER.match(line)
        if match and match.group(1).lower() in [x.lower() for x in _GIVEN] \
                and candidate.since(line) is None:
            found.append(f"{match.group(1)}: is not for the author of a patch to write "
                         f"(who submits signs and picks recipients): {line!r}")
        if match and match.group(1) in ("Fixes", "Link") and (match[1], match[2]) not in tags:
            found.append(f"{match.group(1)}: stands outside the last paragraph: {line!r}")
        if re.match(r"change-id:", line, re.I):
            found.append(f"line {number} of the message is a {line.split(':')[0]}")
    for name, value in tags:
        if name == "Link" and not _LORE.match(value):
            found.append(f"Link: is not https://lore.kernel.org/LIST/MESSAGE-ID: {value!r}")
    return found
