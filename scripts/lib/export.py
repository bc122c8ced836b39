# SPDX-License-Identifier: GPL-2.0
"""Commits as patch files: the same bytes whatever the user's configuration says."""

import re
import tempfile
import pathlib

from . import series as series_file
from .repository import git

_CONFIG = {
    "core.abbrev": "12", "core.quotePath": "true", "core.attributesFile": "/dev/null",
    "diff.algorithm": "histogram", "diff.context": "3", "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false", "diff.renames": "true", "diff.renameLimit": "1000",
    "diff.indentHeuristic": "true", "diff.suppressBlankEmpty": "false",
    "diff.submodule": "short", "diff.relative": "false", "diff.statGraphWidth": "0",
    "diff.statNameWidth": "0", "format.headers": "",
    "format.mboxrd": "false", "format.pretty": "medium", "log.mailmap": "false",
    "i18n.logOutputEncoding": "UTF-8", "color.ui": "false",
}
# The prefixes are options, since to git >= 2.41 format.noprefix is true whatever its value.
_OPTIONS = ["--src-prefix=a/", "--dst-prefix=b/", "--zero-commit", "--no-signature",
            "--no-numbered", "--no-encode-email-headers", "--no-base", "--no-from", "--no-to",
            "--no-cc", "--no-add-header", "--no-attach", "--no-thread", "--no-cover-letter",
            "--no-notes", "--no-ext-diff", "--no-textconv", "--no-signoff",
            "--subject-prefix=PATCH", "--suffix=.patch", "--start-number=1",
            "--filename-max-length=64", "-O/dev/null"]


def unsigned(text):
    """A patch without Signed-off-by: who submits it signs it, these files do not."""
    head, found, body = text.partition("\n\n")
    message, cut, rest = body.partition("\n---\n")
    if not found or not cut or body.startswith("---\n"):
        return text
    lines = [x for x in message.split("\n") if not re.match(r"Signed-off-by: ", x)]
    message = "\n".join(lines).rstrip("\n")
    return f"{head}\n\n{message}\n---\n{rest}" if message else f"{head}\n\n---\n{rest}"


def patches(directory, start, tip="HEAD"):
    """The commits start..tip as [(slug.patch, text)], oldest first.

    directory: a worktree, for its .gitattributes. Merges are left out by git.
    """
    config = [word for name, value in _CONFIG.items() for word in ("-c", f"{name}={value}")]
    with tempfile.TemporaryDirectory() as scratch:
        git(directory, *config, "format-patch", "-q", *_OPTIONS, "-o", scratch,
            f"{start}..{tip}", env={"LC_ALL": "C", "GIT_DIFF_OPTS": ""})
        return [(path.name.split("-", 1)[1],
                 unsigned(path.read_text(encoding="utf-8", errors="surrogateescape")))
                for path in sorted(pathlib.Path(scratch).iterdir())]


def _sections(text):
    return re.split(r"(?m)^(?=diff --git )", text)


def _stable(section, positions):
    """A file's diff without what another base release changes."""
    section = re.sub(r"(?m)^index .*$", "index", section)
    if positions:
        return re.sub(r"(?m)^@@ -\d+(,\d+)? \+\d+(,\d+)? @@.*$", r"@@ \1 \2 @@", section)
    return re.sub(r"(?m)^(@@ -\S+ \+\S+ @@).*$", r"\1", section)


def _preimage(section):
    match = re.search(r"(?m)^index ([0-9a-f]+)\.\.", section)
    return match.group(1) if match else ""


def same(old, new):
    """Whether two texts are the same patch.

    They may differ in the `index` lines and the function names of hunk headers;
    where a file's old content differs too (another X.Y.z, or another patch
    below), also in line numbers.
    """
    if old == new:
        return True
    left, right = _sections(old), _sections(new)
    if len(left) != len(right) or left[0] != right[0]:
        return False
    return all(_stable(a, moved) == _stable(b, moved)
               for a, b in zip(left[1:], right[1:])
               for moved in [_preimage(a) != _preimage(b)])


def author(text):
    """(From:, Date:) of a patch: they survive a reworded subject and a rebase."""
    head = re.sub(r"\n[ \t]+", " ", text.partition("\n\n")[0])
    return tuple(re.findall(r"(?m)^(?:From|Date): (.*)$", head))


subject = series_file.subject
