# SPDX-License-Identifier: GPL-2.0
"""The file `series`: the patches in order, their topics and waves, the base.

Comment lines of the form `# key: value` mean something; the keys are KEYS, and others are errors.
What the keys of waves mean is told in waves.py.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from . import journal, message
from .command import CannotJudge, Failed, as_text

# What holds for the topic or wave that begins there, and for the one patch below.
OF_WAVES = ("tree", "list", "needs", "prefix")
OF_PATCHES = ("stable", "fixes")
KEYS = ("base", "topic", "wave", *OF_WAVES, *OF_PATCHES)


def read_text(path: pathlib.Path) -> str:
    """A file as text: see as_text()."""
    return as_text(path.read_bytes())


@dataclasses.dataclass(frozen=True)
class Patch:
    """step: 1 for the first; topic; name: path relative to patches/; path: of the file;
    notes: comment lines that stand above it in `series`; data: the file's content as it was
    read together with `series`, None where it was not; wave: of the topic, "" where it has none."""

    step: int
    topic: str
    name: str
    path: pathlib.Path
    notes: list[str] = dataclasses.field(default_factory=list)
    data: bytes | None = dataclasses.field(default=None, repr=False)
    wave: str = ""

    def note(self, name: str) -> str | None:
        """The value of a key of OF_PATCHES that stands above it, None where there is none."""
        return next((value for key, value in map(key_of, self.notes) if key == name), None)

    @property
    def content(self) -> bytes:
        """The file's bytes: those of its series, whatever the file holds by now."""
        return self.path.read_bytes() if self.data is None else self.data

    @property
    def text(self) -> str:
        """The content with every byte kept: see as_text()."""
        return as_text(self.content)


@dataclasses.dataclass(frozen=True)
class Series:
    """base: the tag, e.g. "v7.3"; head: lines above the first topic;
    topics: {name: its `# topic:` line}; patches: in order; tail: comments at the end;
    waves: {(topic, wave): the lines of its heading below the topic's}, wave "" for what holds for
    all of the topic."""

    base: str
    head: list[str]
    topics: dict[str, str]
    patches: list[Patch]
    tail: list[str] = dataclasses.field(default_factory=list)
    waves: dict[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)

    @property
    def version(self) -> tuple[str, str]:
        """(VERSION, PATCHLEVEL) of the base, as strings."""
        match = re.fullmatch(r"v(\d+)\.(\d+)", self.base)
        if not match:
            raise CannotJudge(f"series: '# base: {self.base}' is not of the form vX.Y")
        return match[1], match[2]

    def needs(self, topic: str) -> list[str]:
        """Topics that must be applied before this one: "# topic: NAME needs A B"."""
        match = re.search(r"\bneeds\s+(.*)", self.topics[topic])
        names = re.split(r"[\s,]+", match.group(1).strip()) if match else []
        for name in names:
            if name not in self.topics:
                raise Failed(f"series: topic {topic} needs {name}, which is not a topic of the series")
        return names

    def choose(self, topic: str | None) -> list[Patch]:
        """The patches of one topic (None: all), after those it needs, in series order."""
        if topic is None:
            return self.patches
        if topic not in self.topics:
            raise Failed(f"no topic {topic!r} in series; there are: {', '.join(self.topics)}")
        wanted: set[str] = set()
        queue = [topic]
        while queue:
            name = queue.pop()
            if name not in wanted:
                wanted.add(name)
                queue += self.needs(name)
        return [p for p in self.patches if p.topic in wanted]


def read(top: pathlib.Path | str) -> Series:
    """Parse TOP/series; CannotJudge where there is none, Failed names a wrong line.

    The patches have the contents that their files had at the same moment.
    """
    return read_all(top)[0]


def present(top: pathlib.Path | str) -> dict[str, str]:
    """The patch files that exist, listed in `series` or not: {name below patches/: text}."""
    return _patch_files(journal.read(pathlib.Path(top)))


def read_all(top: pathlib.Path | str) -> tuple[Series, dict[str, str]]:
    """read() and present() of one moment, the latter with the text of "series" itself."""
    files = journal.read(pathlib.Path(top))
    found = _parsed(pathlib.Path(top), files)
    return found, {**_patch_files(files), "series": as_text(files["series"])}


def _patch_files(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name.removeprefix("patches/"): as_text(data) for name, data in files.items()
            if name != "series" and pathlib.PurePath(name).name not in (".gitkeep", "README", "COVER")}


def key_of(line: str) -> tuple[str, str]:
    """(key, value) of a line `# key: value`, ("", "") for any other line."""
    match = re.match(r"#\s*([a-z]+):(?:\s+(.*))?$", line)
    return (match.group(1), (match.group(2) or "").strip()) if match else ("", "")


class _Reader:
    """What the lines of `series` have said so far. The methods add a line: Failed where it is wrong."""

    def __init__(self) -> None:
        self.base, self.topic, self.wave = "", "", ""
        self.begins = False  # no patch has followed the last heading
        self.head: list[str] = []
        self.topics: dict[str, str] = {}
        self.waves: dict[tuple[str, str], list[str]] = {}
        self.notes: list[str] = []

    def comment(self, line: str) -> None:
        """Add a line that is empty or a comment."""
        key, value = key_of(line)
        if key and key not in KEYS:
            raise Failed(f"unknown key {key!r}; there are: {', '.join(KEYS)}")
        if key and not value:
            raise Failed(f"'# {key}:' has no value")
        if key == "base":
            self.base = value.split()[0]
        if key == "topic":
            self.topic, self.wave, self.begins = value.split()[0], "", True
            self.topics.setdefault(self.topic, line)
        elif not self.topic and key in ("", "base"):
            self.head.append(line)
        elif key == "wave" or key in OF_WAVES:
            self._heading(key, value, line)
        else:
            self.notes.append(line)

    def _heading(self, key: str, value: str, line: str) -> None:
        if key == "wave":
            if not re.fullmatch(r"\w[\w.+-]*", value):
                raise Failed(f"{value!r} is no name of a wave")
            if (self.topic, value) in self.waves:
                raise Failed(f"wave {value} of topic {self.topic} begins a second time")
            self.wave, self.begins = value, True
        if not self.topic or not self.begins:
            raise Failed(f"'# {key}:' stands between no '# topic:' or '# wave:' line and its first patch")
        self.waves.setdefault((self.topic, self.wave), []).extend([*self.notes, line])
        self.notes = []

    def patch(self) -> list[str]:
        """Add a patch; the comment lines above it."""
        notes, self.notes, self.begins = self.notes, [], False
        return notes


def _parsed(top: pathlib.Path, files: Mapping[str, bytes]) -> Series:
    """files: as journal.read() gives them."""
    if "series" not in files:
        raise CannotJudge(f"no file {top / 'series'}: run this from a clone of the series")
    reader = _Reader()
    seen: set[str] = set()
    patches: list[Patch] = []
    for number, line in enumerate(as_text(files["series"]).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            try:
                reader.comment(line)
            except Failed as error:
                raise Failed(f"series:{number}: {error}") from None
            continue
        path = top / "patches" / line
        if not reader.topic:
            raise Failed(f"series:{number}: {line} stands before any '# topic:' line")
        if line in seen:
            raise Failed(f"series:{number}: {line} is listed twice")
        if f"patches/{line}" not in files and not path.is_file():
            raise Failed(f"series:{number}: no such patch: patches/{line}")
        seen.add(line)
        data = files.get(f"patches/{line}")
        patches.append(Patch(len(patches) + 1, reader.topic, line, path, reader.patch(),
                             path.read_bytes() if data is None else data, reader.wave))
    if not reader.base:
        raise Failed("series: no '# base: vX.Y' line")
    return Series(reader.base, reader.head, reader.topics, patches, reader.notes, reader.waves)


# An entry of `series`: its topic, its wave, its name, and the comment lines above it.
Entry = tuple[str, str, str, Sequence[str]]


def write(series: Series, entries: Sequence[Entry]) -> str:
    """The text of `series`; Failed where the patches of a wave do not stand together."""
    lines = list(series.head)
    told: set[tuple[str, str]] = set()
    before = ("", "")
    for topic, wave, name, notes in entries:
        if topic != before[0]:
            lines.append(series.topics.get(topic, f"# topic: {topic}"))
            if (topic, "") not in told:
                lines += series.waves.get((topic, ""), [])
        if wave and (topic, wave) != before:
            if (topic, wave) in told:
                raise Failed(f"wave {wave} of topic {topic} would be in two parts, of which the second "
                             f"begins with {name}: move the line of one of the patches in series to the "
                             "wave that it is to be in")
            lines += series.waves.get((topic, wave), [f"# wave: {wave}"])
        before = (topic, wave)
        told |= {(topic, ""), before}
        lines += [*notes, name]
    if not entries:
        for topic, line in series.topics.items():
            lines += [line, *[x for key, heading in series.waves.items() if key[0] == topic for x in heading]]
    return "\n".join([*lines, *series.tail]) + "\n"


def subject(text: str) -> str:
    """The Subject: of a patch, unfolded, without [PATCH]."""
    return re.sub(r"^\[[^]]*\]\s*", "", message.subject(text))


def _unquoted(name: str) -> str:
    """A name as git writes it, without the quotes and escapes that it gives odd ones."""
    if not name.startswith('"'):
        return name
    plain = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
    made = re.sub(rb"\\([0-7]{3}|.)", lambda m: bytes(
        [int(m[1], 8) if len(m[1]) == 3 else plain.get(m[1].decode(), m[1][0])]),
        name[1:-1].encode("utf-8", "surrogateescape"))
    return made.decode("utf-8", "surrogateescape")


def paths(text: str) -> list[str]:
    """Files a patch touches, both sides of a rename, sorted."""
    found = set()
    for section in re.split(r"(?m)^(?=diff --git )", text)[1:]:
        head = re.split(r"(?m)^(?:@@ |GIT binary patch)", section)[0]
        first = head.partition("\n")[0].removeprefix("diff --git ")
        if match := re.fullmatch(r'a/(.*) b/\1|("a/.*") "b/.*"', first):
            found.add(match.group(1) or _unquoted(match.group(2))[2:])
        for name in re.findall(r"(?m)^(?:rename|copy) (?:from|to) (.*)$", head):
            found.add(_unquoted(name))
        for name in re.findall(r'(?m)^(?:--- |\+\+\+ )("?[ab]/.*?)\t?$', head):
            found.add(_unquoted(name)[2:])
    return sorted(found)


def last(series: Series) -> int:
    """The last step: the number of patches."""
    return len(series.patches)


def ends(series: Series) -> set[int]:
    """The last steps of the topics."""
    patches = series.patches
    return {p.step for p, q in zip(patches, [*patches[1:], None], strict=True)
            if q is None or p.topic != q.topic}


def slug(patch: Patch) -> str:
    """topic/subject: the patch's file name without number, stable across insertions."""
    return re.sub(r"/\d+-", "/", patch.name).removesuffix(".patch")


def title(series: Series, step: int) -> str:
    """The subject of a step's patch; the base for step 0."""
    return subject(series.patches[step - 1].text) if step else f"the base, {series.base}"


def step_range(word: str, lowest: int, highest: int) -> range | None:
    """The steps that a word means: K, K.., K..M or ..M; None where it is no such word.

    Failed where some of them are not among lowest..highest.
    """
    match = re.fullmatch(r"(\d+)|(\d*)\.\.(\d*)", word)
    if not match or word == "..":
        return None
    first = int(match[1] or match[2] or lowest)
    final = first if match[1] else int(match[3] or highest)
    if not lowest <= first <= final <= highest:
        raise Failed(f"{word}: the series has the steps {lowest}..{highest}")
    return range(first, final + 1)


def select(series: Series, which: Sequence[str], topic: str | None = None) -> list[Patch]:
    """The patches that words name, in order; without words, all of the topic (None: of the series).

    which: steps ("3"), ranges ("2..5", "4..", "..3") and patch files. Failed names a wrong word.
    """
    patches, count = series.patches, len(series.patches)
    if topic is not None:
        series.choose(topic)
    wanted = set()
    for word in which:
        if steps := step_range(word, 1, count):
            wanted |= set(steps)
            continue
        same = [p for p in patches if p.path.resolve() == pathlib.Path(word).resolve()
                or p.name == word or p.name == word.removeprefix("patches/")]
        if not same:
            raise Failed(f"{word}: neither a step, a range k..m, nor a patch of the series")
        wanted.add(same[0].step)
    return [p for p in patches if (not which or p.step in wanted)
            and (topic is None or p.topic == topic)]
