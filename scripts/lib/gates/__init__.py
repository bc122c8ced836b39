# SPDX-License-Identifier: GPL-2.0
"""The static gates: what is judged of a patch without booting it."""

from .checkpatch import Checkpatch
from .coccinelle import Coccinelle
from .compiled import Compiled
from .docs import Docs
from .fixes import Fixes
from .gate import Gate
from .gitignore import Gitignore
from .kernel_doc import KernelDoc
from .maintainers import Maintainers
from .message import Message
from .stable import Stable
from .uapi import Uapi

__all__ = ["BUILDING", "CHEAP", "COSTLY", "GATES", "Gate"]

GATES: dict[str, Gate] = {gate.name: gate for gate in (
    Message(), Checkpatch(), Maintainers(), KernelDoc(), Gitignore(), Fixes(), Stable(), Compiled("w1"),
    Compiled("sparse"), Docs(), Uapi(), Coccinelle())}

# A second a patch, and minutes.
CHEAP = [name for name, gate in GATES.items() if gate.round == 0]
COSTLY = [name for name in GATES if name not in CHEAP]
# Judged by ci/run in its own builds.
BUILDING = [name for name, gate in GATES.items() if isinstance(gate, Compiled)]
