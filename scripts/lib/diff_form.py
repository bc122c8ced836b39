# SPDX-License-Identifier: GPL-2.0
"""The form of diffs: what makes git write the same text for everybody, as configuration and as options."""

# Of every git that is started.
PLAIN = {"diff.context": "3", "diff.external": "", "diff.interHunkContext": "0",
         "diff.orderFile": "/dev/null"}

# Of patches, as git format-patch and b4 write them.
PATCHES = {
    **PLAIN, "color.ui": "false", "core.abbrev": "12", "diff.algorithm": "histogram",
    "diff.indentHeuristic": "true", "diff.mnemonicPrefix": "false", "diff.relative": "false",
    "diff.renameLimit": "1000", "diff.renames": "true", "diff.statGraphWidth": "0",
    "diff.statNameWidth": "0", "diff.submodule": "short", "diff.suppressBlankEmpty": "false",
    "log.mailmap": "false",
}
# The prefixes are options where git is started here, since to git >= 2.41 format.noprefix is true
# whatever its value; for b4, which starts git itself, there is only configuration.
PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")
PREFIXES_OF_B4 = {"diff.srcPrefix": "a/", "diff.dstPrefix": "b/", "diff.noprefix": "false"}

# Options of git diff and git log that make a diff in the form of the patches, whatever the
# configuration of the repository says.
OPTIONS = ("--no-ext-diff", "--no-textconv", "--no-color", *PREFIXES, "--diff-algorithm=histogram")


def words(configuration: dict[str, str]) -> list[str]:
    """The configuration as options of git itself, before the name of its command."""
    return [word for name, value in configuration.items() for word in ("-c", f"{name}={value}")]
