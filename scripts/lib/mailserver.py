# SPDX-License-Identifier: GPL-2.0
"""The mail server that the user's sendemail.* settings of git name, and how a mail gets there."""

import dataclasses
import email.utils
import os
import shlex
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence

from . import environment
from .command import CannotJudge

# Seconds for one answer of the server, and for one mail given to a command.
ANSWER = 120
HAND_OVER = 300


class MailRefused(CannotJudge):
    """The server refused the mail at hand, and said so."""


class Unclear(CannotJudge):
    """The mail at hand was handed over, but the server did not say whether it accepted the mail."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """sender: the envelope's address; command: words that take a mail as sendmail does, or ();
    else server, port (0: the usual one), encryption ("", "tls", "ssl"), user, password,
    domain (for HELO) and certificates (a file or directory, or "")."""

    sender: str
    command: tuple[str, ...] = ()
    server: str = ""
    port: int = 0
    encryption: str = ""
    user: str = ""
    password: str = ""
    domain: str = ""
    certificates: str = ""

    def __str__(self) -> str:
        return shlex.join(self.command) if self.command else f"{self.server}:{self.port or 'smtp'}"


def section(config: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """sendemail.* as one dictionary, its names in lower case.

    config: {name as git lists it: values}. The section of the identity that
    b4.sendemail-identity or sendemail.identity names goes over the plain one.
    """
    identity = [*config.get("sendemail.identity", ()), *config.get("b4.sendemail-identity", ())]
    named = f"sendemail.{identity[-1]}." if identity and identity[-1] else ""
    plain, special = {}, {}
    for name, values in config.items():
        if name.startswith("sendemail.") and name.count(".") == 1:
            plain[name.partition(".")[2]] = values[-1]
        elif named and name.startswith(named):
            special[name.removeprefix(named)] = values[-1]
    if named and not special:
        raise CannotJudge(f"git's configuration has no section [sendemail \"{identity[-1]}\"], "
                          "which b4.sendemail-identity or sendemail.identity names")
    return plain | special


def settings(config: Mapping[str, Sequence[str]], address: str) -> Settings:
    """How the user sends mail; CannotJudge where git's configuration does not tell.

    address: of the submitter, for the envelope where sendemail.* names no other.
    """
    found = section(config)
    sender = found.get("envelopesender", "")
    if sender in ("", "auto"):
        sender = found.get("from", "") or address
    sender = email.utils.parseaddr(sender)[1] or address
    if command := found.get("sendmailcmd", ""):
        # a command line for the shell, as git send-email runs it
        return Settings(sender, ("sh", "-c", f'{command} "$@"', "sendmailCmd"))
    server = found.get("smtpserver", "")
    if not server:
        raise CannotJudge("git does not know your mail server; configure one of:\n"
                          "  git config --global sendemail.smtpServer HOST\n"
                          "  git config --global sendemail.sendmailCmd COMMAND\n"
                          "or the name of a section [sendemail \"NAME\"] that has it:\n"
                          "  git config --global sendemail.identity NAME")
    if "/" in server:
        return Settings(sender, tuple(shlex.split(os.path.expanduser(server))))
    port, encryption = found.get("smtpserverport", "0"), found.get("smtpencryption", "").lower()
    if not port.isdigit():
        raise CannotJudge(f"sendemail.smtpServerPort is {port!r}, not a number")
    if encryption not in ("", "none", "tls", "starttls", "ssl", "smtps"):
        raise CannotJudge(f"sendemail.smtpEncryption is {encryption!r}; scripts/send supports tls and ssl")
    kind = {"tls": "tls", "starttls": "tls", "ssl": "ssl", "smtps": "ssl"}.get(encryption, "")
    return Settings(sender, (), server, int(port), kind, found.get("smtpuser", ""),
                    found.get("smtppass", ""), found.get("smtpdomain", ""),
                    found.get("smtpsslcertpath", ""))


def _password(chosen: Settings) -> str:
    """The password: sendemail.smtpPass, else what git's credential helpers say."""
    if chosen.password:
        return chosen.password
    host = chosen.server + (f":{chosen.port}" if chosen.port else "")
    # In our own process group, for it may ask on the terminal.
    done = subprocess.run(
        ["git", "credential", "fill"], text=True, capture_output=True, check=False, timeout=HAND_OVER,
        input=f"protocol=smtp\nhost={host}\nusername={chosen.user}\n\n",
        env=environment.users() | ({} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}))
    for line in done.stdout.splitlines():
        if line.startswith("password="):
            return line.partition("=")[2]
    raise CannotJudge(f"no password for {chosen.user} at {host}: neither sendemail.smtpPass nor a "
                      f"credential helper of git has it\n{done.stderr.strip()}".rstrip())


def _said(code: int, words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}"


class Server:
    """A connection to the mail server, or to the command that stands for it."""

    def __init__(self, chosen: Settings) -> None:
        self.chosen = chosen
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> "Server":
        if not self.chosen.command:
            try:
                self._smtp = self._connected()
            except (OSError, smtplib.SMTPException) as error:
                why = _said(error.smtp_code, error.smtp_error) \
                    if isinstance(error, smtplib.SMTPResponseException) else error
                raise CannotJudge(f"mail server {self.chosen}: {why}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._smtp:
            try:
                self._smtp.quit()
            except (OSError, smtplib.SMTPException):
                self._smtp.close()

    def _connected(self) -> smtplib.SMTP:
        """A connection that is encrypted and logged in as the settings want it."""
        chosen, context = self.chosen, None
        if chosen.encryption:
            path = chosen.certificates
            own = os.path.isdir(path)
            context = ssl.create_default_context(cafile=None if own else path or None,
                                                 capath=path if own else None)
        name = chosen.domain or None
        if chosen.encryption == "ssl":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(chosen.server, chosen.port, name, timeout=ANSWER,
                                                   context=context)
        else:
            smtp = smtplib.SMTP(chosen.server, chosen.port, name, ANSWER)
        try:
            if chosen.encryption == "tls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if chosen.user:
                smtp.login(chosen.user, _password(chosen))
        except BaseException:
            smtp.close()
            raise
        return smtp

    def deliver(self, recipients: Sequence[str], message: bytes) -> None:
        """Hand over one mail, for all recipients or for none.

        message: with line feeds. MailRefused: nobody gets it; Unclear: somebody may.
        """
        if self.chosen.command:
            self._by_command(recipients, message)
            return
        message = message.replace(b"\n", b"\r\n")
        for part, unlike in ((self._envelope, MailRefused), (self._data, Unclear)):
            try:
                part(recipients, message)
            except (OSError, smtplib.SMTPException) as error:
                raise unlike(f"mail server {self.chosen}: {error or type(error).__name__}") from None

    def _by_command(self, recipients: Sequence[str], message: bytes) -> None:
        words = [*self.chosen.command, "-i", "-f", self.chosen.sender, *recipients]
        try:
            # In our own process group, for it may ask on the terminal.
            done = subprocess.run(words, input=message, capture_output=True, check=False,
                                  timeout=HAND_OVER, env=environment.users())
        except OSError as error:
            raise MailRefused(f"{words[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise Unclear(f"{self.chosen} took longer than {HAND_OVER} s") from None
        if done.returncode != 0:
            said = (done.stderr + done.stdout).decode(errors="replace").strip()
            raise MailRefused(f"{self.chosen} ended with {done.returncode}\n{said}".rstrip())

    def _envelope(self, recipients: Sequence[str], message: bytes) -> None:
        """Tell the server the sender and the recipients."""
        smtp = self._smtp
        assert smtp is not None
        options = [f"SIZE={len(message)}"] if smtp.has_extn("size") else []
        if smtp.has_extn("8bitmime") and not message.isascii():
            options.append("BODY=8BITMIME")
        code, words = smtp.mail(self.chosen.sender, options)
        if code != 250:
            smtp.rset()
            raise MailRefused(f"mail server {self.chosen} refuses the sender {self.chosen.sender}: "
                          f"{_said(code, words)}")
        bad = []
        for address in recipients:
            code, words = smtp.rcpt(address)
            if code not in (250, 251):
                bad.append(f"  {address}: {_said(code, words)}")
        if bad:
            smtp.rset()
            raise MailRefused(f"mail server {self.chosen} refuses these addresses:\n"
                          + "\n".join(bad) + "\nto leave one out: --not-to ADDR")

    def _data(self, _recipients: Sequence[str], message: bytes) -> None:
        assert self._smtp is not None
        try:
            code, words = self._smtp.data(message)
            said = _said(code, words)
        except smtplib.SMTPDataError as error:
            code, said = error.smtp_code, _said(error.smtp_code, error.smtp_error)
        if code != 250:
            raise MailRefused(f"mail server {self.chosen}: {said}")
