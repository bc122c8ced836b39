# SPDX-License-Identifier: GPL-2.0
"""The waves of `series`: what is posted at once, for which tree, to which lists, on top of what.

A topic is one wave, or its lines `# wave: NAME` part it into several. Below the line of the topic
or wave stand

  # tree: NAME       the tree of the maintainer who takes it, once
  # list: ADDRESS... the mailing lists that it goes to
  # needs: NAME...   the waves that must be applied before it, NAME, TOPIC/NAME or TOPIC; or
                     "nothing"; without this line: all waves before it in its topic, and the
                     topics that its topic needs
  # prefix: WORD...  prefixes of the subjects of its mails, such as RFC

and what stands below the topic holds for each of its waves that says nothing else.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from .command import Failed, shell
from .series import Patch, Series, key_of

MOST = 15  # patches of a wave: Documentation/process/submitting-patches.rst


@dataclasses.dataclass(frozen=True)
class Wave:
    """topic; name: "" where the topic is one wave; tree: "" where none is named; lists: addresses;
    needs: the words of its `# needs:`, None where it has none; patches: in order; prefixes: words."""

    topic: str
    name: str
    tree: str
    lists: tuple[str, ...]
    needs: tuple[str, ...] | None
    patches: tuple[Patch, ...]
    prefixes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """TOPIC/NAME, or TOPIC: what it is called in `series` and in the cover letter."""
        return f"{self.topic}/{self.name}" if self.name else self.topic

    @property
    def posting(self) -> str:
        """The name of its branch, of its records and of its tags."""
        return f"{self.topic}-{self.name}" if self.name else self.topic

    @property
    def options(self) -> list[str]:
        """The options of scripts/send that choose it."""
        return ["--topic", self.topic, *(["--wave", self.name] if self.name else [])]


def _said(lines: Sequence[str]) -> dict[str, list[str]]:
    """The words of each key of a heading: {key: words of all its lines}."""
    found: dict[str, list[str]] = {}
    for key, value in map(key_of, lines):
        if key:
            found.setdefault(key, []).extend(value.split())
    return found


def _made(series: Series, topic: str, name: str, patches: Sequence[Patch]) -> Wave:
    common = _said(series.waves.get((topic, ""), []))
    said = common | (_said(series.waves.get((topic, name), [])) if name else {})
    needs = said.get("needs")
    return Wave(topic, name, " ".join(said.get("tree", [])), tuple(said.get("list", [])),
                None if needs is None else tuple(needs), tuple(patches), tuple(said.get("prefix", [])))


def waves(series: Series) -> list[Wave]:
    """All waves in the order of their first patches."""
    found: dict[tuple[str, str], list[Patch]] = {}
    for patch in series.patches:
        found.setdefault((patch.topic, patch.wave), []).append(patch)
    return [_made(series, topic, name, patches) for (topic, name), patches in found.items()]


def find(series: Series, topic: str | None, name: str | None, command: str = "scripts/send") -> Wave:
    """The wave that the options of a command name; Failed, with what would go where, without one."""
    there = waves(series)
    same = [w for w in there if w.topic == topic and name in (None, w.name)]
    if len(same) == 1:
        return same[0]
    if topic is None:
        why = "the series goes to several trees, a wave at a time"
    elif same:
        why = f"topic {topic} is posted in {len(same)} waves"
    elif topic in series.topics and name is not None:
        why = f"topic {topic} has no wave {name!r} with a patch"
    else:
        series.choose(topic)
        why = f"topic {topic} has no patch"
    theirs = [w for w in there if topic is None or w.topic == topic]
    raise Failed("\n".join([f"{why}; choose one:", *_table(series, theirs or there, command)]))


def _table(series: Series, shown: Sequence[Wave], command: str) -> Iterator[str]:
    """Lines: the options of each wave, its patches, tree and lists, and what must come before it."""
    rows = [(shell([command, *w.options]), f"{len(w.patches)}", w.tree or "no tree", w) for w in shown]
    wide = [max((len(str(row[n])) for row in rows), default=0) for n in range(3)]
    for words, count, tree, wave in rows:
        yield (f"  {words:{wide[0]}}  {count:>{wide[1]}}  {tree:{wide[2]}}  "
               f"{' '.join(wave.lists) or 'no list'}")
        needed = wave.needs or [w.title for w in before(series, wave)]
        if before(series, wave):
            yield f"  {'':{wide[0]}}  after {', '.join(needed)}"


def before(series: Series, wave: Wave) -> list[Wave]:
    """The waves that must be applied before one, with those that they need, in series order.

    Failed for a name of no wave.
    """
    there = waves(series)
    wanted: set[str] = set()
    queue = [wave]
    while queue:
        for other in direct(series, queue.pop()):
            if other.title not in wanted:
                wanted.add(other.title)
                queue.append(other)
    return [w for w in there if w.title in wanted]


def direct(series: Series, wave: Wave) -> list[Wave]:
    """The waves that one names itself, or that stand before it. Failed for a name of no wave."""
    there = waves(series)
    if wave.needs is None:
        topics = series.needs(wave.topic)
        at = [w.title for w in there].index(wave.title)
        return [w for n, w in enumerate(there) if w.topic in topics or (w.topic == wave.topic and n < at)]
    found: list[Wave] = []
    for word in wave.needs:
        if word == "nothing" and wave.needs == ("nothing",):
            continue
        meant = [w for w in there if word == w.title or (w.topic == wave.topic and word == w.name)] \
            or [w for w in there if word == w.topic != wave.topic]
        if not meant:
            raise Failed(f"series: {wave.title} needs {word!r}, which is no wave and no other topic")
        found += meant
    return found


def problems(series: Series) -> list[str]:
    """What is wrong with the waves, a sentence each."""
    there = waves(series)
    found = [line for wave in there for line in _about(wave, there)]
    found += [f"wave {name} of topic {topic} has no patch" for topic, name in series.waves
              if name and (topic, name) not in [(w.topic, w.name) for w in there]]
    steps = {wave.title: wave.patches[0].step for wave in there}
    for wave in there:
        try:
            needed = before(series, wave)
        except Failed as error:
            found.append(str(error).removeprefix("series: "))
            continue
        found += [f"{wave.title} needs {w.title}, which does not stand before it" for w in needed
                  if steps[w.title] >= steps[wave.title]]
    return found


def _about(wave: Wave, there: Sequence[Wave]) -> Iterator[str]:
    """What is wrong with one wave by itself, and with its name among the others."""
    if not wave.tree:
        yield f"{wave.title} has no '# tree:' line"
    elif " " in wave.tree:
        yield f"{wave.title} has more than one tree: {wave.tree}"
    if not wave.lists:
        yield f"{wave.title} has no '# list:' line"
    yield from (f"{wave.title}: {address!r} is no address of a list" for address in wave.lists
                if not re.fullmatch(r"[^\s@<>,]+@[^\s@<>,]+", address))
    if len(wave.patches) > MOST:
        yield f"{wave.title} has {len(wave.patches)} patches; a wave has at most {MOST}"
    if not wave.name and any(w.topic == wave.topic and w.name for w in there):
        yield f"{wave.patches[0].name} stands above the first '# wave:' line of its topic"
    if any(w.posting == wave.posting and w.title < wave.title for w in there):
        yield f"{wave.title} is posted as {wave.posting}, like another wave"


def check(series: Series) -> None:
    """Failed where something is wrong with the waves."""
    if found := problems(series):
        raise Failed("series: " + "\n  ".join(found))


def patches_of(some: Sequence[Wave]) -> list[Patch]:
    """The patches of several waves, in order."""
    return [patch for wave in some for patch in wave.patches]
