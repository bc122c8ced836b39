# SPDX-License-Identifier: GPL-2.0
"""A version of a topic or wave that is being sent: its mails, and which of them are out.

CACHE/outbox/NAME-vN/ holds the mails, *.eml, and `record`: what is known of each. The mails
keep their Message-Ids, so that the rest can be sent later and is still one thread.
"""

import dataclasses
import email.message
import email.parser
import email.policy
import email.utils
import json
import pathlib
import re
import shutil
from collections.abc import Sequence

from . import cache, process, release
from .plumbing import git

OUT, UNCLEAR = "out", "unclear"


@dataclasses.dataclass(frozen=True)
class Mail:
    """One mail as b4 wrote it; path: of the file."""

    path: pathlib.Path

    @property
    def content(self) -> bytes:
        """All of it, with line feeds."""
        return self.path.read_bytes()

    def _header(self) -> email.message.Message:
        # undecoded: a comma in an encoded name does not separate addresses
        return email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(self.content)

    def people(self, name: str) -> list[str]:
        """The entries of a header such as To, decoded: "Name <address>"."""
        pairs = email.utils.getaddresses([str(x) for x in self._header().get_all(name, [])])
        return [f"{_decoded(who)} <{address}>" if who else address
                for who, address in pairs if address]

    def recipients(self) -> list[str]:
        """Addresses of To and Cc, each once."""
        found = [str(x) for name in ("To", "Cc") for x in self._header().get_all(name, [])]
        return list(dict.fromkeys(a for _, a in email.utils.getaddresses(found) if a))

    @property
    def message_id(self) -> str:
        """Its Message-Id, without the brackets."""
        return str(self._header()["Message-Id"]).strip().strip("<>")

    @property
    def subject(self) -> str:
        """Its subject, decoded, in one line."""
        return " ".join(_decoded(str(self._header()["Subject"])).split())


def _decoded(text: str) -> str:
    """A header's value with its encoded words decoded."""
    return str(email.policy.default.header_factory("Subject", " ".join(text.split())))


def mails(directory: pathlib.Path) -> list[Mail]:
    """The mails of a directory in their order, the cover letter first."""
    return [Mail(path) for path in sorted(directory.glob("*.eml"))]


class Posting:
    """The mails of version `revision` of the topic or wave `name`."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        record = json.loads((directory / "record").read_text(encoding="utf-8"))
        self.revision: int = record["revision"]
        self.commit: str = record["commit"]
        self.letter: str = record["letter"]
        self.ended: bool = record.get("ended", True)  # it is tagged, and whoever sent it was told
        self._known: dict[str, str] = record["known"]

    def _write(self) -> None:
        cache.write_atomically(self.directory / "record", json.dumps(
            {"revision": self.revision, "commit": self.commit, "letter": self.letter,
             "ended": self.ended, "known": self._known}, indent=1))

    def mails(self, *states: str) -> list[Mail]:
        """The mails that are in one of the states: OUT, UNCLEAR or ""."""
        return [m for m in mails(self.directory) if self._known.get(m.path.name, "") in states]

    @property
    def patches(self) -> int:
        """How many patches it has: one mail has no cover letter."""
        return max(1, len(mails(self.directory)) - 1)

    def note(self, mail: Mail, state: str) -> None:
        """Record what is known of a mail, on disk when this returns."""
        self._known[mail.path.name] = state
        self._write()

    def end(self) -> None:
        """Record that nothing is left to do."""
        self.ended = True
        self._write()

    def forget(self) -> None:
        """Remove the posting, for nothing of it is out."""
        shutil.rmtree(self.directory)


def _outbox() -> pathlib.Path:
    return cache.directory() / "outbox"


def begin(name: str, revision: int, source: pathlib.Path, commit: str, letter: str) -> Posting:
    """A posting of the mails in `source`, which move to the outbox.

    commit: what a tag of this version points at; letter: the tag's message.
    """
    directory = _outbox() / f"{name}-v{revision}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(exist_ok=True)
    record = {"revision": revision, "commit": commit, "letter": letter, "ended": False, "known": {}}
    cache.write_atomically(source / "record", json.dumps(record))
    shutil.move(source, directory)
    return Posting(directory)


def all_of(name: str) -> list[Posting]:
    """The postings of a topic or wave, by version."""
    found = [Posting(path) for path in _outbox().glob("*-v*")
             if re.fullmatch(re.escape(name) + r"-v\d+", path.name) and (path / "record").exists()]
    return sorted(found, key=lambda posting: posting.revision)


def copy_whole(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy the mails to a directory of the user's, which is empty or not there: all of them, or
    none, so that an interrupted run can be repeated."""
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        shutil.copytree(source, beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    with process.whole():
        try:
            beside.rename(target)
        except OSError:  # a mount point
            shutil.copytree(beside, target, dirs_exist_ok=True)
            shutil.rmtree(beside)


def listing(shown: Sequence[Mail]) -> None:
    """Print what the mails are, and to whom."""
    for name in ("From", "To", "Cc"):
        people = shown[0].people(name)
        print(f"{name}: " + f",\n{' ' * len(name)}  ".join(people))
    print()
    for mail in shown:
        print(mail.subject)
    print()


def next_revision(name: str) -> int:
    """One more than the highest version that was sent under this name.

    By our own records, by our tags, and by those that b4 made in earlier days, which have
    the name or the change-id.
    """
    spelled = re.compile(rf"sent/(?:\d{{8}}-)?{re.escape(name)}(?:-[0-9a-f]{{12}})?-v(\d+)")
    tags = git(release.linux(), "tag", "--list", "sent/*").split()
    found = [int(match.group(1)) for match in map(spelled.fullmatch, tags) if match]
    found += [p.revision for p in all_of(name) if p.mails(OUT, UNCLEAR)]
    return 1 + max(found, default=0)
