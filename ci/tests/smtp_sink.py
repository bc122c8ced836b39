# SPDX-License-Identifier: GPL-2.0
"""A mail server on loopback that keeps what it gets, and refuses what it is told to."""

import dataclasses
import email
import email.message
import re
import socketserver
import threading


@dataclasses.dataclass
class Received:
    """A mail: envelope sender, envelope recipients, content with line feeds."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> email.message.Message:
        return email.message_from_bytes(self.content)

    @property
    def subject(self) -> str:
        return " ".join(self.message["Subject"].split())


class Sink(socketserver.ThreadingTCPServer):
    """Serves from its making to close(), on self.port of 127.0.0.1.

    most: mails it takes before it answers 451; unwanted: addresses it answers 550 for;
    drops: it closes the connection after the content of a mail instead of an answer.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.port = self.server_address[1]
        self.mails: list[Received] = []
        self.most, self.unwanted, self.drops = 1000, set(), False
        self.options: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Session(socketserver.StreamRequestHandler):
    """One connection."""

    server: Sink

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        self.say("220 sink")
        sender, recipients = "", []
        while line := self.rfile.readline().decode().strip():
            verb, address = line[:4].upper(), re.search(r"<(.*?)>", line)
            if verb == "EHLO":
                self.say("250-sink\r\n250-SIZE\r\n250 8BITMIME")
            elif verb == "MAIL":
                sender, recipients = address.group(1), []
                self.server.options.append(line.partition(">")[2].strip())
                self.say("250 ok")
            elif verb == "RCPT" and address.group(1) in self.server.unwanted:
                self.say("550 no such user here")
            elif verb == "RCPT":
                recipients.append(address.group(1))
                self.say("250 ok")
            elif verb == "DATA":
                if not self.content(sender, recipients):
                    return
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def content(self, sender: str, recipients: list[str]) -> bool:
        """Take a mail's content; whether the connection stays."""
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            assert line.endswith(b"\r\n") and b"\r" not in line[:-2], line
            lines.append(line.removeprefix(b".")[:-2])
        if self.server.drops:
            return False
        if len(self.server.mails) >= self.server.most:
            self.say("451 not now")
        else:
            self.server.mails.append(Received(sender, recipients, b"\n".join(lines) + b"\n"))
            self.say("250 taken")
        return True
