# SPDX-License-Identifier: GPL-2.0
"""What scripts/send writes below a cover letter: what it needs, what shows that it works, what has
changed, and what b4 and git read."""

import pathlib
import re
import textwrap
from collections.abc import Iterator, Sequence

from . import cover, diff_form, message, plumbing, posting, proofs, release, series as series_file, waves
from .clone import TOP
from .command import CannotJudge, Failed, run
from .plumbing import git
from .proofs import Proof

# Lines of a range-diff; a longer one is cut down to the list of the patches.
LONGEST = 400
# The diffs of b4's mails, of which whoever receives them computes patch-ids.
_DIFF = diff_form.words(diff_form.PATCHES)


def letter(series: series_file.Series, wave: waves.Wave) -> str:
    """The paragraphs below the text of the letter. The last is one line of prose: where there is one
    patch, b4 takes a line `word: text` of it for a trailer, and its first line's indentation away."""
    parts = [_applies(series, wave)]
    if (TOP / proofs.FILE).exists():
        parts.append("\n".join(_shown(series, wave)))
    return "\n\n".join(parts)


def _applies(series: series_file.Series, wave: waves.Wave) -> str:
    """Whom it is for, and what it applies to: the base, or the postings that it needs as well."""
    named = waves.direct(series, wave)
    text = f"This is for the tree {wave.tree}. It applies to {series.base}"
    if not named:
        return f"{text}."
    more = len(named) < len(waves.before(series, wave))
    lines = [_filled(f"{text} with these{', and what they need' * more}:"), ""]
    for other in named:
        lines.append(_filled(f"{_subject(series, other)} ({_patches(len(other.patches))}, for {other.tree})",
                             "  ", "    "))
        if sent := last_sent(other.posting):
            name = sent.mails(posting.OUT)[0].message_id
            lines.append(f"    https://lore.kernel.org/r/{name}")
    return "\n".join([*lines, "", "A prerequisite-patch-id below names each of their patches."])


def _filled(text: str, first: str = "", rest: str = "") -> str:
    """A paragraph of lines that a mail can have; first, rest: indentation of its lines."""
    return textwrap.fill(text, message.WIDTH, initial_indent=first, subsequent_indent=rest,
                         break_long_words=False, break_on_hyphens=False)


def _patches(count: int) -> str:
    return f"{count} patch{'es' * (count != 1)}"


def _subject(series: series_file.Series, wave: waves.Wave) -> str:
    """The subject of a wave's first mail; its title where it has no cover letter yet."""
    if len(wave.patches) == 1:
        return series_file.subject(wave.patches[0].text)
    try:
        return cover.read(None, wave, len(wave.patches) == len(series.patches))[0]
    except (Failed, CannotJudge):
        return wave.title


def _shown(series: series_file.Series, wave: waves.Wave) -> Iterator[str]:
    """Lines: the cases that show what each patch does."""
    steps = [p.step for p in wave.patches]
    yield "Cases that fail before a patch and pass with it, or come with it (+):"
    yield ""
    for proof in proofs.read(TOP, series):
        if proof.patch.step in steps:
            last = str(len(steps))
            number = f"  {steps.index(proof.patch.step) + 1:{len(last)}}/{last}  "
            # a + stays with its case
            yield _filled(_cases(proof), number, " " * len(number)).replace("+\0", "+ ")
    yield ""
    yield "A case is lane/boot/test/suite/case, in QEMU. Nothing was run on hardware."


def _cases(proof: Proof) -> str:
    """The first two cases of a patch, an added one behind "+\\0", and how many more there are, or
    why there are none."""
    found = [*proof.cases, *(f"+\0{case}" for case in proof.adds)]
    if not found:
        return f"none; {proof.nothing}"
    more = [f"and {len(found) - 2} more"] if len(found) > 2 else []
    return ", ".join([*found[:2], *more])


def last_sent(name: str, below: int | None = None) -> posting.Posting | None:
    """The last version that was sent under a name, below a revision where one is given."""
    found = [p for p in posting.all_of(name) if p.mails(posting.OUT)
             and (below is None or p.revision < below)]
    return found[-1] if found else None


def changes(tree: pathlib.Path, sent: posting.Posting | None, count: int) -> str:
    """The range-diff between a version that was sent and the last `count` commits of a worktree,
    with a line above; "" without such a version, or where its commits are gone."""
    if sent is None or not plumbing.succeeds(tree, "cat-file", "-e", f"{sent.commit}~{sent.patches}"):
        return ""
    words = [*_DIFF, "range-diff", "--no-color", f"{sent.commit}~{sent.patches}..{sent.commit}",
             f"HEAD~{count}..HEAD"]
    text = git(tree, *words)
    if text.count("\n") >= LONGEST:
        text = git(tree, *words, "--no-patch")
    return f"Range-diff against v{sent.revision}:\n{text}"


def unfinished(body: str, revision: int) -> str:
    """What a letter lacks, or ""; from version 2 on it has to say what has changed."""
    if revision > 1 and not re.search(rf"(?m)^Changes in v{revision}:", body):
        return f"has no line 'Changes in v{revision}:'"
    return "still has a TODO" if re.search(r"\bTODO\b", body) else ""


def prerequisites(tree: pathlib.Path) -> list[str]:
    """The lines that say where a worktree's HEAD comes from: the base, where others have it, and
    the patches on it, oldest first."""
    base = git(release.linux(), "rev-parse", release.BASE)
    lines = [f"base-commit: {base}"] if release.public() else []
    log = run(["git", "-C", tree, *_DIFF, "log", "-p", "--reverse", "--format=commit %H",
               f"{base}..HEAD"]).stdout
    found = run(["git", "-C", tree, "patch-id", "--stable"], data=log).stdout
    return lines + [f"prerequisite-patch-id: {line.split()[0]}" for line in found.splitlines()]


def missing(series: series_file.Series, wave: waves.Wave) -> Sequence[str]:
    """The titles of the waves that one needs and of which nothing has been sent from here."""
    return [w.title for w in waves.before(series, wave) if not last_sent(w.posting)]
