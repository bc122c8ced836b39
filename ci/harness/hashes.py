# SPDX-License-Identifier: GPL-2.0
"""What the things that a guest is made of hash to, by what they are made from: in the store, so
that none need be made again to know it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from lib.command import CannotJudge
from lib.store import Store

_KIND = "archive"


class Hashes:
    """store: of the verdicts; where: the lane's name, for the store's last record of a name."""

    def __init__(self, store: Store, where: str) -> None:
        self.store, self.where = store, where
        self.lock = threading.RLock()
        self._known: dict[str, str] = {}

    def of(self, inputs: Mapping[str, Any], make: Callable[[], str]) -> str:
        """The hash of what these inputs give; make() makes it and tells where the store does not.

        inputs: "kind" and whatever it is made from, by name, JSON values.
        """
        with self.lock:
            key = self.store.key(inputs)
            if key not in self._known:
                record = self.store.get(_KIND, dict(inputs))
                if record:
                    self._known[key] = record["hash"]
                else:
                    self.check(inputs, make())
            return self._known[key]

    def check(self, inputs: Mapping[str, Any], found: str) -> None:
        """Note the hash of what has been made; CannotJudge where it was known to be another: the
        verdicts that are kept are of another guest."""
        with self.lock:
            key = self.store.key(inputs)
            record = self.store.get(_KIND, dict(inputs))
            known = record["hash"] if record else found
            if record is None or known != found:
                self.store.put(_KIND, dict(inputs), {"hash": found}, f"{self.where}/{inputs['kind']}")
            self._known[key] = found
        if known != found:
            raise CannotJudge(
                f"the guest's {inputs['kind']} is not the one of the kept verdicts ({known[:12]}, now "
                f"{found[:12]}), though made from the same: the packages that it is made with have changed; "
                "repeat the command, which judges its boots anew")
