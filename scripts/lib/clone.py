# SPDX-License-Identifier: GPL-2.0
"""The clone of the series that these commands are part of."""

import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]
