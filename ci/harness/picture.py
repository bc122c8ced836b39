# SPDX-License-Identifier: GPL-2.0
"""Pictures: read what an emulator dumps, compare two, write PNG."""

import dataclasses
import re
import struct
import zlib

# "P6", width, height and the largest value, then the pixels
_PPM = re.compile(rb"P6\s(?:#[^\n]*\n)*(\d{1,5})\s+(\d{1,5})\s+255\s")


class NoPicture(Exception):
    """What should be a picture is none; the text says what it is."""


@dataclasses.dataclass(frozen=True)
class Image:
    """width, height: in pixels; pixels: three bytes each (red, green, blue), row by row from the top."""

    width: int
    height: int
    pixels: bytes


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a display showed when the guest asked. name: the guest's; wrong: how it is not the
    picture that is expected, or ""; seen, expected: PNG, b"" where there is none."""

    name: str
    wrong: str
    seen: bytes
    expected: bytes


def ppm(data: bytes) -> Image:
    """The image in a binary PPM file; NoPicture where it is none."""
    head = _PPM.match(data)
    if not head:
        raise NoPicture("no PPM file of 8 bits a colour")
    width, height = int(head.group(1)), int(head.group(2))
    pixels = data[head.end():]
    if len(pixels) != 3 * width * height:
        raise NoPicture(f"{len(pixels)} bytes of pixels, and not {width} x {height}")
    return Image(width, height, pixels)


def difference(seen: Image, expected: Image) -> str:
    """How a picture differs from another: "" where each pixel is the same."""
    if (seen.width, seen.height) != (expected.width, expected.height):
        return f"{seen.width} x {seen.height} pixels, and not {expected.width} x {expected.height}"
    if seen.pixels == expected.pixels:
        return ""
    wrong = [i for i in range(0, len(seen.pixels), 3)
             if seen.pixels[i:i + 3] != expected.pixels[i:i + 3]]
    y, x = divmod(wrong[0] // 3, seen.width)
    colours = [image.pixels[wrong[0]:wrong[0] + 3].hex() for image in (seen, expected)]
    return f"{len(wrong)} of {seen.width * seen.height} pixels differ, first {x},{y}: " \
           f"{colours[0]}, and not {colours[1]}"


def png(image: Image) -> bytes:
    """The PNG file of an image."""
    row = 3 * image.width
    # each row begins with the number of its filter, 0 for none
    rows = b"".join(b"\0" + image.pixels[i:i + row] for i in range(0, len(image.pixels), row))
    # 8 bits, red, green and blue
    head = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) \
        + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file: its length, what it is, its data, a checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
