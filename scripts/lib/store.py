# SPDX-License-Identifier: GPL-2.0
"""The verdict store: records that outlive a run, keyed by what went into them."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from .cache import write_atomically

__all__ = ["Store", "digest", "hash_file", "hash_tree", "write_atomically"]


def digest(*parts: Any) -> str:
    """A hex key of any number of JSON values, in order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_file(path: pathlib.Path | str) -> str:
    """sha256 of a file's bytes, hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_tree(*roots: pathlib.Path | str) -> str:
    """A hex key of names, modes and bytes of all files below the given paths."""
    total = hashlib.sha256()
    for root in roots:
        root = pathlib.Path(root)
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        for path in files:
            if "__pycache__" in path.parts:
                continue
            name = path.relative_to(root.parent)
            total.update(f"{name}\0{os.access(path, os.X_OK)}\0{hash_file(path)}\n".encode())
    return total.hexdigest()[:32]


class Store:
    """Records (JSON objects) under directory/kind/key.json.

    A record keeps under "inputs" the named inputs that its key was made of, so
    that why() can tell which of them changed since the last record of its name. Neither
    names a place: the directory may be copied to another machine.
    """

    def __init__(self, directory: pathlib.Path | str) -> None:
        self.directory = pathlib.Path(directory)

    def key(self, inputs: Mapping[str, Any]) -> str:
        """The key of a mapping of named inputs."""
        return digest(inputs)

    def get(self, kind: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record made from these inputs; None where there is none, or a broken file."""
        try:
            with open(self.directory / kind / f"{self.key(inputs)}.json") as stream:
                record = json.load(stream)
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) and "inputs" in record else None

    def put(self, kind: str, inputs: Mapping[str, Any], record: Mapping[str, Any], name: str) -> None:
        """Keep a record; name tells its place in the run, e.g. "3/arm64"."""
        write_atomically(self.directory / kind / f"{self.key(inputs)}.json",
                         json.dumps({**record, "inputs": inputs}, indent=1, sort_keys=True).encode())
        self.point(kind, inputs, name)

    def point(self, kind: str, inputs: Mapping[str, Any], name: str) -> None:
        """Let the record made from these inputs be the last of this name."""
        path, key = self.directory / "latest" / kind / digest(name), self.key(inputs)
        if not path.exists() or path.read_text() != key:
            write_atomically(path, key.encode())

    def latest(self, kind: str, name: str) -> dict[str, Any]:
        """The inputs of the last record of this name; empty where there is none."""
        try:
            key = (self.directory / "latest" / kind / digest(name)).read_text()
            with open(self.directory / kind / f"{key}.json", encoding="utf-8") as stream:
                inputs: dict[str, Any] = json.load(stream)["inputs"]
        except (OSError, ValueError, KeyError):
            return {}
        return inputs

    def why(self, kind: str, inputs: Mapping[str, Any], name: str) -> str:
        """Which inputs differ from the last record of this name: a sentence."""
        old = self.latest(kind, name)
        if not old:
            return "never judged before"
        changed = [k for k in sorted(set(old) | set(inputs)) if old.get(k) != inputs.get(k)]
        return "changed: " + ", ".join(changed) if changed else "nothing changed"
