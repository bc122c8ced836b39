# SPDX-License-Identifier: GPL-2.0
"""A lane's kernel: its configuration, its build, and what the tools say of each object."""
