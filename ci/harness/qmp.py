# SPDX-License-Identifier: GPL-2.0
"""The monitor of a running emulator: QEMU's machine protocol over a unix socket."""

import json
import os
import pathlib
import socket
import time
from typing import Any

_SOCKET = "qmp"
# More arguments of an emulator whose working directory is the scratch directory of its boot.
# Relative, as the path of a unix socket has at most 107 bytes.
SERVER = ("-qmp", f"unix:{_SOCKET},server=on,wait=off")


class Silent(Exception):
    """The emulator does not answer; the text says what was asked."""


class ErrorAnswer(Exception):
    """The emulator answered with an error, which is the text."""


class Monitor:
    """A connection to the emulator that runs in a directory; a context manager.

    limit: when, by time.monotonic(), it gives up waiting. Silent where there is no answer.
    """

    def __init__(self, directory: pathlib.Path, limit: float) -> None:
        self.limit = limit
        self.data = b""
        self.socket = socket.socket(socket.AF_UNIX)
        where = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._wait()
            self.socket.connect(f"/proc/self/fd/{where}/{_SOCKET}")
            self._message()
            self.execute("qmp_capabilities")
        except OSError as error:
            self.socket.close()
            raise Silent(f"its monitor: {error.strerror or error}") from None
        except BaseException:
            self.socket.close()
            raise
        finally:
            os.close(where)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """What a command returns; ErrorAnswer, or Silent."""
        try:
            self._wait()
            asked = json.dumps({"execute": command, "arguments": arguments})
            self.socket.sendall(f"{asked}\n".encode())
            while True:
                said = self._message()
                if "error" in said:
                    raise ErrorAnswer(f"{command}: {said['error'].get('desc', 'an error')}")
                if "return" in said:  # else it is an event
                    return said["return"]
        except OSError as error:
            raise Silent(f"{command}: {error.strerror or error}") from None

    def human(self, line: str, cpu: int = 0) -> str:
        """The output of a line of the human monitor, on a CPU."""
        return str(self.execute("human-monitor-command", **{"command-line": line, "cpu-index": cpu}))

    def _wait(self) -> None:
        """Let the next call on the socket end in time; TimeoutError where it is late already."""
        left = self.limit - time.monotonic()
        if left <= 0:
            raise TimeoutError(0, "no answer in time")
        self.socket.settimeout(left)

    def _message(self) -> dict[str, Any]:
        """The next line that the emulator sends."""
        while b"\n" not in self.data:
            self._wait()
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionResetError(0, "it closed the connection")
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        try:
            said = json.loads(line)
        except ValueError:
            raise ConnectionError(0, "what it sent is no message") from None
        return said if isinstance(said, dict) else {}
