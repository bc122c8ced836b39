# SPDX-License-Identifier: GPL-2.0
"""What is asked of a run of scripts/send."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of scripts/send by their names; rest: --continue. None where one is not given."""

    send: bool
    rest: bool
    topic: str | None
    wave: str | None
    cover: str | None
    to: Sequence[str]
    cc: Sequence[str]
    not_to: Sequence[str]
    no_maintainers: bool
    prefix: Sequence[str]
    revision: int | None
    output: str | None
    reflect: bool
    yes: bool
