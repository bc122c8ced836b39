# SPDX-License-Identifier: GPL-2.0
"""The branch that b4 makes the mails of: the patches, signed, above a cover letter."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import below, cache, checkout, cover, plumbing, posting, recipients, release, replay
from . import series as series_file, waves
from .command import Failed, output, run, say
from .plumbing import git
from .request import Request

MARKER = "--- b4-submit-tracking ---"


@dataclasses.dataclass(frozen=True)
class Made:
    """What a branch was filled with. revision; letter: the user's cover letter; lines: for b4 and
    git, where the branch comes from; changes: the range-diff against the last version sent, ""
    where there is none."""

    revision: int
    letter: str
    lines: Sequence[str]
    changes: str


class Branch:
    """The branch b4/NAME: the patches, signed, above a cover letter that b4 tracks."""

    def __init__(self, name: str, person: tuple[str, str]) -> None:
        self.name, self.tree = name, cache.directory() / "send-tree"
        self.identity = plumbing.identity(*person)

    def start(self) -> None:
        """Check the branch out, anew, at the base."""
        checkout.worktree("send-tree")
        git(self.tree, "checkout", "-q", "-f", "-B", f"b4/{self.name}", release.BASE, timeout=1800)

    def am(self, files: Sequence[series_file.Patch]) -> None:
        """Apply patches with the submitter's Signed-off-by."""
        if not files:
            return
        done = run(["git", "-C", self.tree, *replay.AM, "--signoff", *[p.path for p in files]],
                   check=False, env=self.identity)
        if done.returncode != 0:
            index, why = replay.refusal(self.tree, files, done)
            checkout.abandon(self.tree)
            raise Failed(f"patches/{files[index].name} does not apply:\n{why}\n"
                         f"to repeat: scripts/apply")

    def cover(self, text: str, tracking: Mapping[str, Any]) -> None:
        """An empty commit with the cover letter, as `b4 prep` makes it."""
        run(["git", "-C", self.tree, "-c", "core.commentChar=;", "commit", "-q", "--allow-empty",
             "--no-verify", "--cleanup=whitespace", "-F", "-"], env=self.identity,
            data=f"{text}\n\n{MARKER}\n"
                 "# This section is used internally by b4 prep for tracking purposes.\n"
                 f"{json.dumps({'series': tracking}, indent=2)}\n")
        git(self.tree, "config", f"branch.b4/{self.name}.b4-prep-cover-strategy", "commit")

    def without_cover(self, count: int) -> str:
        """The commit of the last `count` patches without the one of the cover letter below."""
        parent = git(self.tree, "rev-parse", f"HEAD~{count + 1}")
        for commit in git(self.tree, "rev-list", "--reverse", f"HEAD~{count}..HEAD").split():
            text = run(["git", "-C", self.tree, "cat-file", "commit", commit]).stdout
            parent = output(["git", "-C", self.tree, "hash-object", "-t", "commit", "-w", "--stdin"],
                            data=re.sub(r"(?m)^parent .*$", f"parent {parent}", text, count=1))
        return parent

    def tag(self, version: posting.Posting) -> None:
        """Tag what was sent; the record counts the versions where that fails."""
        name, where = f"sent/{self.name}-v{version.revision}", release.linux()
        if plumbing.succeeds(where, "rev-parse", "-q", "--verify", f"refs/tags/{name}"):
            say(f"the tag {name} is there from before, and stays")
            return
        done = run(["git", "-C", where, "tag", "-a", "--cleanup=whitespace", "-F", "-", name,
                    version.commit], data=version.letter, env=self.identity, check=False)
        if done.returncode != 0:
            say(f"no tag {name} could be made: {done.stderr.strip()}")


def refuse_content(patches: Sequence[series_file.Patch]) -> None:
    """Failed where a patch holds what a mail of b4 cannot carry."""
    found = []
    for patch in patches:
        data = patch.content
        why = []
        if re.search(rb"(?m)^(GIT binary patch$|Binary files .* differ$)", data) or b"\0" in data:
            why.append("binary content")
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                why.append(f"line {number} is not UTF-8")
                break
        if b"\r" in data:
            number = data[:data.index(b"\r")].count(b"\n") + 1
            why.append(f"line {number} has a carriage return, which mail servers and git am drop")
        found += [f"  patches/{patch.name}: {', '.join(why)}"] if why else []
    if found:
        raise Failed("mail cannot carry these patches; publish them as a git branch:\n"
                     + "\n".join(found))


def _people(branch: Branch, chosen: Request, wave: waves.Wave) -> list[str]:
    """The lines To: and Cc: of the cover letter."""
    to, cc = ([], []) if chosen.no_maintainers else recipients.of(branch.tree, wave)
    unwanted = {recipients.bare(person) for person in chosen.not_to}
    to, cc = ([x for x in people if recipients.bare(x) not in unwanted]
              for people in ([*to, *chosen.to], [*cc, *chosen.cc]))
    if not to and not cc:
        raise Failed("no recipient; give one: --to ADDRESS")
    return [f"To: {x}" for x in to] + [f"Cc: {x}" for x in cc]


def prepare(branch: Branch, series: series_file.Series, chosen: Request, wave: waves.Wave) -> Made:
    """Fill the branch with a wave, on what it needs."""
    subject, body = cover.read(chosen.cover, wave, len(wave.patches) == len(series.patches))
    refuse_content(wave.patches)
    branch.start()
    branch.am(waves.patches_of(waves.before(series, wave)))
    lines = below.prerequisites(branch.tree)
    trailers = "\n".join(_people(branch, chosen, wave))
    # The same wave has the same change-id in all its versions.
    mark = hashlib.sha256(f"{branch.name} {series.base}".encode()).hexdigest()[:12]
    revision = chosen.revision or posting.next_revision(branch.name)
    prefixes = [*wave.prefixes, *(word for word in chosen.prefix if word not in wave.prefixes)]
    branch.cover(f"{subject}\n\n{body}\n\n{below.letter(series, wave)}\n\n{trailers}", {
        "revision": revision, "change-id": f"20260101-{branch.name}-{mark}",
        "base-branch": f"b4/{branch.name}", "prefixes": prefixes})
    branch.am(wave.patches)
    last = below.last_sent(branch.name, revision)
    return Made(revision, f"{subject}\n\n{body}\n", lines,
                below.changes(branch.tree, last, len(wave.patches)))
