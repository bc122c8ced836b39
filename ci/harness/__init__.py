# SPDX-License-Identifier: GPL-2.0
"""The parts of ci/run and ci/test: one noun a module. What scripts/ has is used, not repeated."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
