# SPDX-License-Identifier: GPL-2.0
"""Marks that tests carry."""

from typing import TypeVar

Thing = TypeVar("Thing")


def slow(thing: Thing) -> Thing:
    """Leave a test, or all tests of a class and of those derived from it, out of ci/test --quick.

    For what takes more than 1.5 seconds of CPU. Where no other test runs a command to its end, the
    cheapest that does is not marked.
    """
    setattr(thing, "slow", True)
    return thing
