# SPDX-License-Identifier: GPL-2.0
"""The way of a version's mails to the mail server, and what of them is left when that fails."""

from collections.abc import Sequence

from . import command, mailserver, posting, process, recipients
from .command import CannotJudge, say, shell
from .request import Request
from .waves import Wave


def named(mails: Sequence[posting.Mail]) -> str:
    return "\n".join(f"  {mail.subject}" for mail in mails)


def left_over(version: posting.Posting, wave: Wave) -> str:
    """Which mails of a posting are out, and how to go on; "" when all are or none is."""
    out, unclear, left = (version.mails(state) for state in (posting.OUT, posting.UNCLEAR, ""))
    if not (out or unclear) or not (left or unclear):
        return ""
    again = shell(["scripts/send", *wave.options, "--continue"])
    return "\n".join([
        f"version {version.revision} of {wave.posting} is partly sent; out:", named(out) or "  none",
        *(["perhaps out:", named(unclear)] if unclear else []),
        *(["not out:", named(left)] if left else []),
        f"to send the rest, with the Message-Ids that these mails have: {again}",
        f"or all of them again as another version: --send --revision {version.revision + 1}"])


def deliver(version: posting.Posting, server: mailserver.Settings, chosen: Request,
            wave: Wave) -> None:
    """Send the mails of a posting that are not out; if that fails, CannotJudge says which are."""
    unwanted = {recipients.bare(person) for person in chosen.not_to}
    try:
        with mailserver.Server(server) as connection:
            for mail in version.mails("", posting.UNCLEAR):
                people = [a for a in mail.recipients() if recipients.bare(a) not in unwanted]
                say(f"  {mail.subject}")
                version.note(mail, posting.UNCLEAR)
                try:
                    connection.deliver(people, mail.content)
                except mailserver.MailRefused:
                    version.note(mail, "")
                    raise
                with process.whole():
                    version.note(mail, posting.OUT)
                    if not version.mails("", posting.UNCLEAR):
                        command.ignore_signals()  # what is left to do is bounded
    except BaseException as error:
        text = left_over(version, wave)
        if not version.mails(posting.OUT, posting.UNCLEAR):
            version.forget()
        if isinstance(error, CannotJudge):
            raise CannotJudge(f"{error}\n{text or 'nothing was sent'}") from None
        say(text or "nothing was sent")
        raise


def reflect(mails: Sequence[posting.Mail], server: mailserver.Settings) -> None:
    """Send the mails to the sender alone."""
    with mailserver.Server(server) as connection:
        for mail in mails:
            say(f"  {mail.subject}")
            connection.deliver([server.sender], mail.content)
    print(f"{len(mails)} mails sent to {server.sender} alone")
