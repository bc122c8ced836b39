# SPDX-License-Identifier: GPL-2.0
"""The test cards that the guest draws, as a display has to show them.

Card N, in a format with R, G and B levels of red, green and blue, looks as follows; the guest's
ci/guest/programs/card.h draws it from the same words.

- Rows above the middle: eight bars, each an eighth of the width, which is a multiple of eight.
  Bar k has the brightest red where bit 2 of k + N is set, green for bit 1, blue for bit 0.
- Rows from the middle on: at column x and row y, red has level (x + N) % R, green
  (y + 2 N) % G, blue (x + y) % B.
- Over the bars eight squares of 16 pixels, from column 16 on 24 apart, from row 16 on. Square i is
  white where bit i of N is set, else black.
- Over all a white frame of one pixel.
"""

import dataclasses

from .picture import Image

_SQUARE, _STRIDE, _FIRST = 16, 24, 16
# How many bits of red, green and blue a pixel has, by its depth.
_BITS = {16: (5, 6, 5), 32: (8, 8, 8)}
DEPTHS = tuple(_BITS)


@dataclasses.dataclass(frozen=True)
class Card:
    """number: from 0 to 255; width, height: in pixels; depth: bits of a pixel, of DEPTHS."""

    number: int
    width: int
    height: int
    depth: int

    def image(self) -> Image:
        """What a display shows that passes the bits of each level on as the upper ones of eight."""
        middle = self.height // 2
        rows = [self._bars()] * middle + [self._levels(y) for y in range(middle, self.height)]
        marked = self._marked(rows[0])
        rows[_FIRST:_FIRST + _SQUARE] = [marked] * _SQUARE
        white = self._white
        rows = [white + row[3:-3] + white for row in rows]
        rows[0] = rows[-1] = white * self.width
        return Image(self.width, self.height, b"".join(rows))

    @property
    def _tables(self) -> list[bytes]:
        """What each level of red, green and blue looks like."""
        return [bytes(level << (8 - bits) for level in range(1 << bits)) for bits in _BITS[self.depth]]

    @property
    def _white(self) -> bytes:
        return bytes(table[-1] for table in self._tables)

    def _bars(self) -> bytes:
        """A row of the bars."""
        bars = [bytes(white if (k + self.number) >> bit & 1 else 0
                      for white, bit in zip(self._white, (2, 1, 0), strict=True)) for k in range(8)]
        return b"".join(bar * (self.width // 8) for bar in bars)

    def _marked(self, row: bytes) -> bytes:
        """A row with the squares, which tell the number."""
        for i in range(8):
            start = 3 * (_FIRST + _STRIDE * i)
            square = (self._white if self.number >> i & 1 else bytes(3)) * _SQUARE
            row = row[:start] + square + row[start + len(square):]
        return row

    def _levels(self, y: int) -> bytes:
        """A row that counts through the levels."""
        red, green, blue = self._tables
        row = bytearray(3 * self.width)
        row[0::3] = _cycle(red, self.number, self.width)
        row[1::3] = _cycle(green[(y + 2 * self.number) % len(green):][:1], 0, self.width)
        row[2::3] = _cycle(blue, y, self.width)
        return bytes(row)


def _cycle(table: bytes, start: int, count: int) -> bytes:
    """So many entries of a table from one on, over and over."""
    start %= len(table)
    return (table * (count // len(table) + 2))[start:start + count]
