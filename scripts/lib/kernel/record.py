# SPDX-License-Identifier: GPL-2.0
"""What is known of a build, as the store keeps it."""

from typing import NotRequired, TypedDict

Counts = dict[str, int]


class Said(TypedDict, total=False):
    """How often which lines are said, without positions; empty where nothing was built.

    w1: by the compiler; tools: by modpost, objtool and the linker; sparse: by directory, of
    those that it has read.
    """

    w1: Counts
    tools: Counts
    sparse: dict[str, Counts]


class Objects(TypedDict):
    """ok: whether it builds; reason: why not, or ""; lost: whether the machine is to blame;
    configured: whether the configuration could be made; sources: those in touched directories
    that have an object."""

    ok: bool
    reason: str
    lost: bool
    configured: bool
    diagnostics: Said
    sources: list[str]


class Build(Objects):
    """seconds, cpu: what it took. image, dtb: sha256, of a lane that has one; text: the
    bytes of its code, 0 for unknown; modules: {file name:
    sha256} of the kernel's own that the lane names; in what a run passes on, the test modules, too,
    as far as they were built; modules_failed: why others of these were not, sentences;
    log: the name of a file in cache.logs()."""

    seconds: float
    cpu: float
    image: NotRequired[str]
    text: NotRequired[int]
    dtb: NotRequired[str]
    modules: NotRequired[dict[str, str]]
    modules_failed: NotRequired[list[str]]
    log: NotRequired[str]
