# SPDX-License-Identifier: GPL-2.0
"""What the display of a machine shows, when the guest asks.

The machine has a virtio port named "screen". The guest writes a line

    shown NAME WIDTH HEIGHT DEPTH CARD

when its display shows card.Card(CARD, WIDTH, HEIGHT, DEPTH), and changes nothing until it has read a
line: "same"; or how the picture differs from the card; or, behind "unknown: ", why that cannot be
told. NAME has letters, digits, - and _. We answer within SECONDS; the guest waits twice as long.
The picture is the emulator's own, from its monitor. What we have seen is in the report.
"""

import os
import pathlib
import re
import socket
import threading
import time

from . import qmp
from .card import DEPTHS, Card
from .picture import Image, NoPicture, Seen, difference, png, ppm

# Raise when the cards, or what is told of them, change: kept verdicts are of another version.
VERSION = 1
SECONDS = 15.0
_SOCKET, _FILE = "screen", "screen.ppm"
# More arguments of an emulator whose working directory is the scratch directory of its boot, and
# that has a bus for the ports of virtio.
SERVER = ("-chardev", f"socket,id=screen,path={_SOCKET},server=on,wait=off",
          "-device", "virtserialport,chardev=screen,name=screen")
# More of a boot are not taken: they would fill the disk.
_MOST = 200
_LINE = 200  # bytes
_ASKED = re.compile(r"shown ([\w-]{1,60}) (\d{1,4}) (\d{1,4}) (\d{1,2}) (\d{1,3})$", re.ASCII)


class Screen:
    """Answers for one machine until it ends. directory: the emulator's working directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = pathlib.Path(directory)
        self._pictures: list[Seen] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> list[Seen]:
        """What was seen, in order; to be called when the emulator has ended."""
        self._over.set()
        self._thread.join(2 * SECONDS)
        return list(self._pictures)

    def _serve(self) -> None:
        """Answer line by line; a connection that breaks is the end of the machine."""
        try:
            if port := self._connected():
                with port, port.makefile("rb") as lines:
                    while (line := lines.readline(_LINE)).endswith(b"\n"):
                        port.sendall(f"{self.answer(line.decode(errors='replace').strip())}\n".encode())
        except OSError:
            pass

    def _connected(self) -> socket.socket | None:
        """The port, as soon as the emulator has made it; None where it ends before."""
        port = socket.socket(socket.AF_UNIX)
        # the path of a unix socket has at most 107 bytes
        where = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            while not self._over.is_set():
                try:
                    port.connect(f"/proc/self/fd/{where}/{_SOCKET}")
                    return port
                except (FileNotFoundError, ConnectionRefusedError):
                    self._over.wait(0.05)
        except BaseException:
            port.close()
            raise
        finally:
            os.close(where)
        port.close()
        return None

    def answer(self, line: str) -> str:
        """The answer to a line of the guest."""
        match = _ASKED.match(line)
        if not match:
            return f"unknown: no request: {line}"
        name, (width, height, depth, number) = match.group(1), map(int, match.groups()[1:])
        if depth not in DEPTHS or width % 8 or width < 240 or height < 80 or number > 255:
            return f"unknown: there is no such card: {line}"
        if len(self._pictures) >= _MOST:
            return f"unknown: there are {_MOST} pictures of this boot already"
        expected = Card(number, width, height, depth).image()
        try:
            seen = self._dump()
        except (qmp.Silent, qmp.ErrorAnswer, NoPicture, OSError) as error:
            said = f"unknown: {' '.join(str(error).split())}"
            self._pictures.append(Seen(name, said, b"", png(expected)))
            return said
        wrong = difference(seen, expected)
        self._pictures.append(Seen(name, wrong, png(seen), png(expected)))
        return wrong or "same"

    def _dump(self) -> Image:
        """What the display shows now."""
        path = self._directory / _FILE
        path.unlink(missing_ok=True)
        with qmp.Monitor(self._directory, time.monotonic() + SECONDS) as monitor:
            monitor.execute("screendump", filename=_FILE)
        return ppm(path.read_bytes())
