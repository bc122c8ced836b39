# SPDX-License-Identifier: GPL-2.0
"""The modules of the commands in ci/; they use the library in scripts/lib."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
