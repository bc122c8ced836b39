# SPDX-License-Identifier: GPL-2.0
"""The progress of a run: one line that changes on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Hashable
from typing import TextIO


class Progress:
    """total: how many cells (steps x lanes) the run judges; what: the word for them."""

    def __init__(self, total: int, stream: TextIO = sys.stdout, what: str = "cells") -> None:
        self.total = total
        self.what = what
        self.done = 0
        self.stream = stream
        self.start = time.monotonic()
        self.lock = threading.Lock()
        self.doing: dict[Hashable, str] = {}

    def note(self, text: str) -> None:
        """A line that stays."""
        with self.lock:
            self._clear()
            print(f"[{self._elapsed()}] {text}", file=self.stream, flush=True)
            self._draw()

    def begin(self, key: Hashable, text: str) -> None:
        """Something long starts: shown on a terminal until end(key)."""
        with self.lock:
            self.doing[key] = text
            self._draw()

    def end(self, key: Hashable, cell: bool = False) -> None:
        """It has ended; cell: it was the last part of a cell."""
        with self.lock:
            self.doing.pop(key, None)
            self.done += cell
            self._draw()

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _clear(self) -> None:
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")

    def _draw(self) -> None:
        if not self.stream.isatty():
            return
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            left = f", about {int(seconds) // 60}:{int(seconds) % 60:02d} left"
        self._clear()
        line = (f"[{self._elapsed()}] {self.done}/{self.total} {self.what}{left}: "
                f"{'; '.join(self.doing.values())}")
        self.stream.write(line[:150])
        self.stream.flush()
