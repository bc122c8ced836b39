# SPDX-License-Identifier: GPL-2.0
"""One boot as the store keeps it, and as the emulator gave it."""

from typing import NotRequired, TypedDict

from .picture import Seen


class Found(TypedDict):
    """A splat: see splat.Splat."""

    line: str
    excerpt: list[str]
    frames: list[str]


class Test(TypedDict):
    """What a test of the guest said. rc: as its script ended, None when it did not; seconds: in the
    guest; cases: {"test/suite/case": "pass" | "fail" | "skip"}; reasons: of skips and fails where the
    test gave one; measured: see measure.py."""

    rc: int | None
    seconds: float
    cases: dict[str, str]
    reasons: dict[str, str]
    measured: NotRequired[list[str]]


class Shown(TypedDict):
    """A picture of the display: see picture.Seen; seen, expected: names of logs, "" for none."""

    name: str
    wrong: str
    seen: str
    expected: str


class Raw(TypedDict):
    """ended: "done" when the emulator ended by itself and with 0, else why, and where the machine
    hung; console, results: text; judged: how many characters of the console are of before the
    machine was asked where it hangs, None where it was not; pictures: of the display, in order."""

    ended: str
    rc: int
    seconds: float
    cpu: float
    judged: int | None
    console: str
    results: str
    pictures: list[Seen]


class Attempt(TypedDict):
    """The first four as in Raw; console, results: names, see Paths.log(); due: the tests that were
    to run, in order; complete: whether the guest came to its end; scanned: the key of the patterns
    that the splats were found with; missing: lines that the console of each boot has, and that
    this one has not; pictures: of a boot with a screen."""

    ended: str
    rc: int
    seconds: float
    cpu: float
    judged: NotRequired[int | None]
    console: str
    results: str
    due: NotRequired[list[str]]
    complete: bool
    tests: dict[str, Test]
    splats: list[Found]
    missing: list[str]
    scanned: NotRequired[str]
    pictures: NotRequired[list[Shown]]
