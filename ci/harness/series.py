"""The file `series`: which patches, in which order, in which topic, on which base."""

import dataclasses
import pathlib
import re

from .errors import UsageError


@dataclasses.dataclass
class Patch:
    """step: 1 for the first; topic; path: of the file; slug: its name without number."""

    step: int
    topic: str
    path: pathlib.Path

    @property
    def name(self):
        return f"{self.topic}/{self.path.name}"

    @property
    def slug(self):
        """Stable across insertions: topic/subject, no number."""
        return f"{self.topic}/" + re.sub(r"^\d+-|\.patch$", "", self.path.name)

    @property
    def subject(self):
        """The Subject: header, unfolded, without [PATCH]."""
        text = self.path.read_text(errors="replace")
        match = re.search(r"^Subject: (.*(?:\n[ \t].*)*)", text, re.M)
        line = re.sub(r"\n[ \t]+", " ", match.group(1)) if match else self.path.name
        return re.sub(r"^\[[^]]*\]\s*", "", line)


@dataclasses.dataclass
class Series:
    """base: the tag, e.g. "v7.3"; patches: in order of application."""

    base: str
    patches: list

    @property
    def last(self):
        return len(self.patches)

    def title(self, step):
        return self.patches[step - 1].subject if step else f"the base, {self.base}"


def read(top):
    """Parse TOP/series; UsageError names the line that is wrong."""
    path = pathlib.Path(top) / "series"
    base, topic, patches = None, None, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if match := re.match(r"#\s*base:\s*(\S+)", line):
            base = match.group(1)
        elif match := re.match(r"#\s*topic:\s*(\S+)", line):
            topic = match.group(1)
        elif line and not line.startswith("#"):
            patch = pathlib.Path(top) / "patches" / line
            if not patch.is_file():
                raise UsageError(f"series:{number}: no such patch: patches/{line}")
            if topic is None:
                raise UsageError(f"series:{number}: {line} stands before any '# topic:' line")
            patches.append(Patch(len(patches) + 1, topic, patch))
    if base is None:
        raise UsageError("series: no '# base: vX.Y' line")
    return Series(base, patches)
