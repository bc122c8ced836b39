# SPDX-License-Identifier: GPL-2.0
"""A run of scripts/send: the rest of a version, or a version that it makes."""

import pathlib
import re
import sys

from . import b4, cache, delivery, mailserver, posting, series as series_file, submission
from . import submitter
from .command import Failed, say
from .plumbing import git
from .request import Request


def ask(chosen: Request, question: str) -> None:
    """Failed unless the answer is yes."""
    if chosen.yes:
        return
    print(f"{question} [yes/no] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failed("nothing was sent")


def go_on(branch: submission.Branch, version: posting.Posting, server: mailserver.Settings,
          chosen: Request) -> None:
    """Send the rest of a posting."""
    rest = version.mails("", posting.UNCLEAR)
    posting.listing(rest)
    ask(chosen, f"Send these {len(rest)} mails by {server}?")
    delivery.deliver(version, server, chosen, branch.name)
    finish(branch, version, len(rest))


def finish(branch: submission.Branch, version: posting.Posting, count: int) -> None:
    """All of a posting is out, `count` mails by this run: tag it, and say so."""
    branch.tag(version)
    print(f"{count} mails sent; kept in {version.directory}")
    version.end()


def sent_already(branch: submission.Branch, letter: str) -> bool:
    """Finish the postings all of which a killed run had sent; whether the last of them is what
    the branch and the cover letter are now."""
    late = [p for p in posting.all_of(branch.name)
            if not p.ended and not p.mails("", posting.UNCLEAR)]
    for version in late:
        say(f"a run that was killed had sent all of version {version.revision}")
        finish(branch, version, len(version.mails(posting.OUT)))
    if not late or late[-1].letter != letter:
        return False
    now, then = (git(branch.tree, "rev-parse", f"{commit}^{{tree}}") for commit in ("HEAD", late[-1].commit))
    return now == then


def anew(branch: submission.Branch, series: series_file.Series, server: mailserver.Settings | None,
         config: dict[str, list[str]], chosen: Request) -> None:
    """Make the mails, and send them if there is a server."""
    patches = [p for p in series.choose(chosen.topic) if chosen.topic in (None, p.topic)]
    made = cache.directory() / "mails"
    directory = pathlib.Path(chosen.output or made).resolve()
    if chosen.output and directory.exists() and any(directory.iterdir()):
        raise Failed(f"--output {chosen.output}: not empty")
    revision, letter = submission.prepare(branch, series, chosen, patches)
    if server and not (chosen.revision or chosen.reflect) and sent_already(branch, letter):
        return
    mails = b4.write(branch, made, config, chosen.not_to)
    if odd := [a for mail in mails for a in mail.recipients() if not re.fullmatch(r"[!-~]+", a)]:
        raise Failed(f"not an address that mail servers take: {odd[0]}")
    b4.verify(branch, patches, mails)
    posting.listing(mails)
    if len({p.topic for p in patches}) > 1:
        print("This is the whole series; for one maintainer's tree: --topic NAME --cover FILE\n")
    if server is None:
        if chosen.output:
            posting.copy_whole(made, directory)
        print(f"{len(mails)} mails in {directory}; nothing was sent (scripts/send --send does)")
        return
    ask(chosen, f"Send these {len(mails)} mails by {server}, "
        + (f"to {server.sender} alone?" if chosen.reflect else "to all who are named above?"))
    if chosen.reflect:
        delivery.reflect(mails, server)
        return
    version = posting.begin(branch.name, revision, made, branch.without_cover(len(patches)), letter)
    delivery.deliver(version, server, chosen, branch.name)
    finish(branch, version, len(mails))


def run(name: str, series: series_file.Series, server: mailserver.Settings | None,
        config: dict[str, list[str]], chosen: Request) -> None:
    """Do what the options say, under the lock; Failed where what has been sent speaks against it.

    name: of the series or topic; server: None for a dry run; config: the user's of git.
    """
    branch = submission.Branch(name, submitter.person(config))
    started = [p for p in posting.all_of(name) if delivery.left_over(p, name, chosen.topic)]
    if chosen.rest:
        if not started:
            raise Failed(f"nothing of {name} is left to send")
        assert server is not None  # --continue is no dry run
        go_on(branch, started[-1], server, chosen)
        return
    if chosen.send and not chosen.reflect and any(
            p.revision == chosen.revision and p.mails(posting.OUT, posting.UNCLEAR)
            for p in posting.all_of(name)):
        raise Failed(f"version {chosen.revision} of {name} is out, in part at least, and its "
                     f"record stays; another one: --revision {posting.next_revision(name)}")
    if started and chosen.send and not chosen.revision and not chosen.reflect:
        raise Failed(delivery.left_over(started[-1], name, chosen.topic))
    anew(branch, series, server, config, chosen)
