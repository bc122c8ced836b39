# SPDX-License-Identifier: GPL-2.0
"""A run of scripts/send: the rest of a version of a wave, or a version that it makes."""

import pathlib
import re
import sys

from . import b4, below, cache, delivery, mailserver, posting, release, series as series_file
from . import submission, submitter, waves
from .command import Failed, ignore_signals, say, shell
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
          chosen: Request, wave: waves.Wave) -> None:
    """Send the rest of a posting."""
    rest = version.mails("", posting.UNCLEAR)
    posting.listing(rest)
    ask(chosen, f"Send these {len(rest)} mails by {server}?")
    delivery.deliver(version, server, chosen, wave)
    finish(branch, version, len(rest))


def finish(branch: submission.Branch, version: posting.Posting, count: int) -> None:
    """All of a posting is out, `count` mails by this run: tag it, and say so."""
    branch.tag(version)
    print(f"{count} mail{'s' * (count != 1)} sent; kept in {version.directory}")
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


def _refuse(series: series_file.Series, wave: waves.Wave, made: submission.Made) -> None:
    """Failed where the wave is not ready for those who receive it."""
    if not release.public():
        raise Failed(f"the base in the cache is not the public {series.base}, but was made of files: "
                     "nobody else has it (LINUX=DIR scripts/base, with a git tree that has the tag; "
                     "or --reflect, to yourself)")
    if lack := below.unfinished(made.letter, made.revision):
        raise Failed(f"the cover letter of {wave.title} {lack}")


def anew(branch: submission.Branch, series: series_file.Series, server: mailserver.Settings | None,
         config: dict[str, list[str]], chosen: Request) -> None:
    """Make the mails, and send them if there is a server."""
    wave = waves.find(series, chosen.topic, chosen.wave)
    made = cache.directory() / "mails"
    directory = pathlib.Path(chosen.output or made).resolve()
    if chosen.output and directory.exists() and any(directory.iterdir()):
        raise Failed(f"--output {chosen.output}: not empty")
    filled = submission.prepare(branch, series, chosen, wave)
    if server and not (chosen.revision or chosen.reflect) and sent_already(branch, filled.letter):
        return
    if server and not chosen.reflect:
        _refuse(series, wave, filled)
    mails = b4.write(branch, made, config, chosen.not_to, filled)
    if odd := [a for mail in mails for a in mail.recipients() if not re.fullmatch(r"[!-~]+", a)]:
        raise Failed(f"not an address that mail servers take: {odd[0]}")
    b4.verify(branch, wave.patches, mails)
    posting.listing(mails)
    _remarks(series, wave, filled)
    if server is None:
        if chosen.output:
            posting.copy_whole(made, directory)
            ignore_signals()  # it is done
        said = f"{len(mails)} mail{'s' * (len(mails) != 1)} in {directory}"
        print(f"{said}; nothing was sent ({shell(['scripts/send', *wave.options, '--send'])} does)")
        return
    if not chosen.reflect:
        ask(chosen, f"Have you read the cover letter and the {len(wave.patches)} patches, and do you stand "
            "for them with your Signed-off-by?")
    ask(chosen, f"Send these {len(mails)} mails by {server}, "
        + (f"to {server.sender} alone?" if chosen.reflect else "to all who are named above?"))
    if chosen.reflect:
        delivery.reflect(mails, server)
        return
    version = posting.begin(branch.name, filled.revision, made,
                            branch.without_cover(len(wave.patches)), filled.letter)
    delivery.deliver(version, server, chosen, wave)
    finish(branch, version, len(mails))


def _remarks(series: series_file.Series, wave: waves.Wave, made: submission.Made) -> None:
    """Print where a wave goes and what --send would refuse or should wait for."""
    print(f"{wave.title} is for the tree {wave.tree}.")
    if titles := below.missing(series, wave):
        print(f"It needs what has not been sent from here: {', '.join(titles)}.")
    if not release.public():
        print(f"The base in the cache was made of files, so nobody else has its commit: --send needs "
              f"--reflect, or the public {series.base} (LINUX=DIR scripts/base).")
    if lack := below.unfinished(made.letter, made.revision):
        print(f"The cover letter {lack}: --send needs --reflect.")
    print()


def run(series: series_file.Series, server: mailserver.Settings | None,
        config: dict[str, list[str]], chosen: Request) -> None:
    """Do what the options say, under the lock; Failed where what has been sent speaks against it.

    server: None for a dry run; config: the user's of git.
    """
    wave = waves.find(series, chosen.topic, chosen.wave)
    name = wave.posting
    branch = submission.Branch(name, submitter.person(config))
    started = [p for p in posting.all_of(name) if delivery.left_over(p, wave)]
    if chosen.rest:
        if not started:
            raise Failed(f"nothing of {name} is left to send")
        assert server is not None  # --continue is no dry run
        go_on(branch, started[-1], server, chosen, wave)
        return
    if chosen.send and not chosen.reflect and any(
            p.revision == chosen.revision and p.mails(posting.OUT, posting.UNCLEAR)
            for p in posting.all_of(name)):
        raise Failed(f"version {chosen.revision} of {name} is out, in part at least, and its "
                     f"record stays; another one: --revision {posting.next_revision(name)}")
    if started and chosen.send and not chosen.revision and not chosen.reflect:
        raise Failed(delivery.left_over(started[-1], wave))
    anew(branch, series, server, config, chosen)
