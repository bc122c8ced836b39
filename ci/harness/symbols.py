# SPDX-License-Identifier: GPL-2.0
"""The names of a kernel's functions, kept beside its image: an image has no symbols."""

import bisect
import gzip
import pathlib

from lib.store import write_atomically

_NAME = "symbols.gz"
# What nm calls text.
_TEXT = "tTwW"


def keep(system_map: pathlib.Path, directory: pathlib.Path) -> None:
    """Keep the functions of a System.map in the directory of the image, where there is one."""
    if not system_map.exists():
        return
    lines = [line for line in system_map.read_text(errors="replace").splitlines()
             if line.split(" ")[1:2] and line.split(" ")[1] in _TEXT]
    # no time in it: equal kernels give equal bytes
    write_atomically(directory / _NAME, gzip.compress("\n".join(lines).encode(), 6, mtime=0))


def text_size(directory: pathlib.Path) -> int:
    """The bytes of a kernel's code, from its first function to the start of the last one; 0 where
    its functions were not kept. What the linker aligns the end to is not counted."""
    try:
        lines = gzip.decompress((directory / _NAME).read_bytes()).splitlines()
    except (OSError, EOFError, ValueError):
        return 0
    found = {name: int(address, 16) for address, _, name in (line.split(b" ", 2) for line in lines
                                                             if line.endswith((b" _stext", b" _etext")))}
    if len(found) < 2:
        return 0
    below = (int(line.split(b" ", 1)[0], 16) for line in reversed(lines))
    return next(address for address in below if address < found[b"_etext"]) - found[b"_stext"]


class Symbols:
    """The functions of the image in a directory; none where none were kept."""

    def __init__(self, directory: pathlib.Path) -> None:
        try:
            text = gzip.decompress((directory / _NAME).read_bytes()).decode()
        except (OSError, EOFError, ValueError):
            text = ""
        found = sorted((int(line.split(" ")[0], 16), line.split(" ")[2]) for line in text.splitlines())
        self.addresses = [address for address, _ in found]
        self.names = [name for _, name in found]

    def name(self, address: int) -> str:
        """An address as function+0xoffset, or as a number where it is in no function."""
        number = bisect.bisect_right(self.addresses, address) - 1
        # past the last function are data and modules
        if number < 0 or number + 1 == len(self.names):
            return f"{address:#x}"
        return f"{self.names[number]}+{address - self.addresses[number]:#x}"
