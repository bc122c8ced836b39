# SPDX-License-Identifier: GPL-2.0
"""A directory as a newc cpio archive, by names and bytes alone: equal trees give equal archives.

cpio(1) also writes how many links a directory has, which the file system decides, and modes,
which the umask decides. Not compressed: under emulation a guest takes longer to unpack than
to read.
"""

import os
import pathlib

_TRAILER = "TRAILER!!!"


def pack(directory: pathlib.Path) -> bytes:
    """The archive of all directories, files and symbolic links below a directory.

    They belong to root, are from 1970, and what its owner may execute is of mode 755, any
    other file of 644. ValueError for a device, pipe or socket.
    """
    top = pathlib.Path(directory)
    names = sorted(str(path.relative_to(top)) for path in top.rglob("*"))
    entries = [_entry(top / name, name, number) for number, name in enumerate(names, 1)]
    whole = b"".join([*entries, _record(_TRAILER, 0, 0, b"")])
    return whole + bytes(-len(whole) % 512)


def _entry(path: pathlib.Path, name: str, number: int) -> bytes:
    if path.is_symlink():
        return _record(name, number, 0o120777, os.fsencode(os.readlink(path)))
    if path.is_dir():
        return _record(name, number, 0o040755, b"")
    if not path.is_file():
        raise ValueError(f"{path}: neither a directory, a file nor a symbolic link")
    executable = path.stat().st_mode & 0o100
    return _record(name, number, 0o100755 if executable else 0o100644, path.read_bytes())


def _record(name: str, number: int, mode: int, data: bytes) -> bytes:
    """Header, name and data of one entry; the last two are padded to multiples of four bytes."""
    encoded = os.fsencode(name) + b"\0"
    # inode, mode, user, group, links, time, size, two devices of two numbers, length of the name, sum
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
