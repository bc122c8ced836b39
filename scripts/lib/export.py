# SPDX-License-Identifier: GPL-2.0
"""Commits as patch files: the same bytes whatever the user's configuration says."""

import dataclasses
import os
import pathlib
import re
import shutil
from collections.abc import Sequence

from . import diff_form, plumbing, replay, scratch, series as series_file
from .command import Failed, run
from .plumbing import git

_CONFIG = {
    **diff_form.PATCHES, "core.quotePath": "true", "core.attributesFile": "/dev/null", "format.headers": "",
    "format.mboxrd": "false", "format.pretty": "medium", "i18n.logOutputEncoding": "UTF-8",
}
_OPTIONS = [*diff_form.PREFIXES, "--zero-commit", "--no-signature",
            "--no-numbered", "--no-encode-email-headers", "--no-base", "--no-from", "--no-to",
            "--no-cc", "--no-add-header", "--no-attach", "--no-thread", "--no-cover-letter",
            "--no-notes", "--no-ext-diff", "--no-textconv", "--no-signoff",
            "--subject-prefix=PATCH", "--suffix=.patch", "--start-number=1",
            "--filename-max-length=64", "-O/dev/null"]


def _without_signoff(message: str) -> str:
    """A message without Signed-off-by lines and the gaps that they leave."""
    lines = message.split("\n")
    kept = [x for x in lines if not x.startswith("Signed-off-by: ")]
    text = "\n".join(kept).rstrip("\n")
    return re.sub(r"\n{3,}", "\n\n", text) if len(kept) < len(lines) else text


def unsigned(text: str) -> str:
    """A patch without Signed-off-by lines: the submitter adds them."""
    head, found, body = text.partition("\n\n")
    message, cut, rest = body.partition("\n---\n")
    if not found or not cut or body.startswith("---\n"):
        return text
    message = _without_signoff(message)
    return f"{head}\n\n{message}\n---\n{rest}" if message else f"{head}\n\n---\n{rest}"


def patches(directory: pathlib.Path | str, start: str, tip: str = "HEAD") -> list[tuple[str, str]]:
    """The commits start..tip as [(slug.patch, text)], oldest first.

    directory: a worktree, for its .gitattributes. Merges are left out by git.
    """
    with scratch.directory("export") as holder:
        git(directory, *diff_form.words(_CONFIG), "format-patch", "-q", *_OPTIONS, "-o", holder,
            f"{start}..{tip}", env={"LC_ALL": "C", "GIT_DIFF_OPTS": ""})
        return [(path.name.split("-", 1)[1], unsigned(series_file.read_text(path)))
                for path in sorted(holder.iterdir())]


@dataclasses.dataclass(frozen=True)
class Commit:
    """name: 40 digits; tree, author, date: of git; message: without Signed-off-by;
    empty: whether it changes nothing; merge: whether it has more than one parent."""

    name: str
    tree: str
    author: str
    date: str
    message: str
    empty: bool
    merge: bool

    @property
    def subject(self) -> str:
        """The first line of its message."""
        return self.message.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.name[:12]} ({self.subject})"


def commits(directory: pathlib.Path | str, start: str, tip: str = "HEAD") -> list[Commit]:
    """The commits start..tip of a repository, oldest first."""
    text = git(directory, "log", "--reverse", "--topo-order", "--no-mailmap", "--date=raw", "-z",
               "--format=%H%n%P%n%T%n%an <%ae>%n%ad%n%B", f"{start}..{tip}")
    found, before = [], git(directory, "rev-parse", f"{start}^{{tree}}")
    for entry in text.split("\0"):
        if not entry:
            continue
        name, parents, tree, who, date, message = entry.split("\n", 5)
        message = _without_signoff(message).lstrip("\n")
        found.append(Commit(name, tree, who, date, message, tree == before, " " in parents))
        before = tree
    return found


def unfit(commit: Commit) -> str:
    """Why a commit cannot become a patch that git am takes back unchanged, or ""."""
    subject, _, body = commit.message.partition("\n")
    if match := re.match(r"(fixup|squash|amend)! ", subject):
        return f"it is a {match.group(1)}! commit: git rebase -i --autosquash BASE folds it in"
    if commit.empty:
        return "it changes nothing"
    if not subject.strip():
        return "it has no message"
    if re.match(r"\[|re:|:", subject, re.I):
        return f"git am cuts off the beginning of its subject: {subject!r}"
    for line in body.split("\n"):
        if re.match(r"---(?:\s*$|\s\S)|diff -|Index: ", line):
            return f"git am takes this line of its message for the beginning of the diff: {line!r}"
        if re.match(r"From .*\d:\d\d.*\d{4}", line):
            return f"git am takes this line of its message for the beginning of another mail: {line!r}"
    return ""


def _replayed(directory: pathlib.Path | str, start: str, files: Sequence[pathlib.Path],
              holder: pathlib.Path) -> tuple[list[Commit], str]:
    """The commits that git am makes of patch files on a commit of another repository, and
    why it stopped before the end, or "". Nothing is written to that repository."""
    objects = pathlib.Path(directory, git(directory, "rev-parse", "--git-path", "objects")).resolve()
    kind = git(directory, "rev-parse", "--show-object-format")
    tree = holder / "tree"
    run(["git", "init", "-q", "--template=", f"--object-format={kind}", tree])
    (tree / ".git/objects/info").mkdir(exist_ok=True)
    (tree / ".git/objects/info/alternates").write_bytes(os.fsencode(objects) + b"\n")
    shallow = pathlib.Path(directory, git(directory, "rev-parse", "--git-path", "shallow"))
    if shallow.exists():
        shutil.copy2(shallow, tree / ".git/shallow")
    git(tree, "update-ref", "--no-deref", "HEAD", start)
    git(tree, "read-tree", start)
    done = plumbing.result(tree, *replay.AM, *files, env=replay.IDENTITY, timeout=1800)
    why = ""
    if done.returncode != 0:
        why = replay.refusal(tree, [series_file.Patch(0, "", p.name, p) for p in files], done)[1]
    return commits(tree, start), why


def verify(directory: pathlib.Path | str, start: str, texts: Sequence[str],
           wanted: Sequence[Commit]) -> None:
    """The round trip: Failed names the first commit that git am does not reproduce from its text."""
    with scratch.directory("round-trip") as holder:
        files = [holder / f"{number:04d}.patch" for number in range(1, len(texts) + 1)]
        for path, text in zip(files, texts, strict=True):
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
        found, why = _replayed(directory, start, files, holder)
    for commit, other in zip(wanted, [*found, *[None] * len(wanted)]):
        if other is None:
            raise Failed(f"{commit} does not survive git am:\n{why or '  it makes no commit of it'}")
        if difference := _difference(commit, other):
            raise Failed(f"{commit} does not survive git am: {difference}")
    if len(found) != len(wanted):
        raise Failed(f"git am makes {len(found)} commits of {len(wanted)} patches")


def _difference(commit: Commit, other: Commit) -> str:
    """What git am changed in a commit: a phrase, or ""."""
    if commit.message != other.message:
        for old, new in zip([*commit.message.split("\n"), ""], [*other.message.split("\n"), ""]):
            if old != new:
                return f"its message has {old!r}, and comes back with {new!r}"
        return "its message comes back longer or shorter"
    for what in ("author", "date", "tree"):
        if getattr(commit, what) != getattr(other, what):
            return f"its {what} is {getattr(commit, what)}, and comes back as {getattr(other, what)}"
    return ""


def _sections(text: str) -> list[str]:
    return re.split(r"(?m)^(?=diff --git )", text)


def _stable(section: str, positions: bool) -> str:
    """A file's diff without what another base release changes."""
    section = re.sub(r"(?m)^index .*$", "index", section)
    if positions:
        return re.sub(r"(?m)^@@ -\d+(,\d+)? \+\d+(,\d+)? @@.*$", r"@@ \1 \2 @@", section)
    return re.sub(r"(?m)^(@@ -\S+ \+\S+ @@).*$", r"\1", section)


def _preimage(section: str) -> str:
    match = re.search(r"(?m)^index ([0-9a-f]+)\.\.", section)
    return match.group(1) if match else ""


def same(old: str, new: str) -> bool:
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


def author(text: str) -> tuple[str, ...]:
    """(From:, Date:) of a patch: they survive a reworded subject and a rebase."""
    head = re.sub(r"\n[ \t]+", " ", text.partition("\n\n")[0])
    return tuple(re.findall(r"(?m)^(?:From|Date): (.*)$", head))
