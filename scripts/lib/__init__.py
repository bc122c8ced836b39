# SPDX-License-Identifier: GPL-2.0
"""The parts scripts/* are made of: one noun a module. ci/tests/test_structure.py says what may import
what."""
