# SPDX-License-Identifier: GPL-2.0
"""What becomes of each patch on another base: a later release, or a tree that somebody maintains."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from . import cache, checkout, diff_form, plumbing, release, replay, series as series_file
from .command import Broken, CannotJudge, complete, run, say
from .plumbing import git
from .series import Patch, Series

# What the last call found, in the cache's repository.
BASE, TIP = "refs/series/newer/base", "refs/series/newer/tip"
# The words, from the best to the worst.
APPLIES, MERGES, UPSTREAM, CONFLICTS = "applies", "three-way merge", "upstream", "conflicts"


@dataclasses.dataclass(frozen=True)
class Fate:
    """patch; word: APPLIES, as it is; MERGES, by git am --3way; UPSTREAM, there already and left out;
    or CONFLICTS, left out; why: how that is known, or ""."""

    patch: Patch
    word: str
    why: str = ""

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"{self.patch.step:4}  {self.word:15}  {self.patch.name}{why}"


def fetch(revision: str, directory: str) -> str:
    """The commit that a revision of the user's tree means, brought into the cache's repository without
    its history. CannotJudge where that cannot be."""
    if not directory:
        raise CannotJudge(f"BASE={revision} needs LINUX=DIR, a git tree of yours that has it")
    commit = plumbing.object_name(directory, f"{revision}^{{commit}}")
    if not commit:
        raise CannotJudge(f"LINUX={directory} has no {revision}; fetch it there "
                          f"(git -C {directory} fetch --tags)")
    linux = release.linux()
    if plumbing.object_name(linux, f"{commit}^{{tree}}"):
        git(linux, "update-ref", BASE, commit)
        return commit
    say(f"fetching {revision} from {directory}")
    where = git(directory, "rev-parse", "--absolute-git-dir")
    try:
        git(linux, "fetch", "-q", "--no-tags", "--depth=1",
            plumbing.upload_pack("uploadpack.allowAnySHA1InWant=true"), f"file://{quote(where)}",
            f"+{commit}:{BASE}", timeout=3600)
    except Broken as error:
        raise CannotJudge(f"LINUX={directory}: git cannot fetch {revision} from it, as from a "
                          f"partial clone:\n{error.stderr.strip()}") from None
    return commit


def patch_ids(directory: str, text: str) -> dict[str, str]:
    """{patch-id: commit} of what git log -p, or a mail, says; of a mail the commit is zeros."""
    said = complete(["git", "-C", directory, "patch-id", "--stable"], timeout=600, data=text).stdout
    return {line.split()[0]: line.split()[1] for line in said.splitlines()}


def taken(directory: str, found: Series, revision: str, patches: Sequence[Patch]) -> dict[str, str]:
    """{patch name: commit} of the patches that somebody committed between the series' base and a
    revision, by patch-id; none, and a remark, where the tree has no such history."""
    start = plumbing.object_name(directory, f"{found.base}^{{commit}}")
    if not start or not plumbing.succeeds(directory, "merge-base", start, revision):
        say(f"LINUX={directory} has no history from {found.base} to {revision}: what is upstream is told by "
            "the reverse patches alone")
        return {}
    files = sorted({name for patch in patches for name in series_file.paths(patch.text)})
    log = run(["git", "-C", directory, "log", "-p", "--no-follow", *diff_form.OPTIONS, "--full-diff",
               "--no-merges", "--format=%H", f"{start}..{revision}", "--", *files], timeout=3600).stdout
    # git patch-id wants the form of git log
    known = patch_ids(directory, "".join(
        f"commit {line}\n" if len(line) == 40 and set(line) <= set("0123456789abcdef") else f"{line}\n"
        for line in log.split("\n")))
    ids = {patch.name: next(iter(patch_ids(directory, patch.text)), "") for patch in patches}
    return {name: known[one] for name, one in ids.items() if one in known}


def fates(patches: Sequence[Patch], commit: str, upstream: Mapping[str, str],
          directory: str) -> Iterator[Fate]:
    """What becomes of each patch on a commit, behind those before it that apply or merge.

    upstream: see taken(). The caller holds lock("newer"); TIP is what it comes to.
    """
    files = sorted({name for patch in patches for name in series_file.paths(patch.text)})
    tree = checkout.sparse_worktree("newer", commit, files)
    for patch in patches:
        if patch.name in upstream:
            name = upstream[patch.name]
            subject = git(directory, "log", "-1", "--format=%s", name)
            yield Fate(patch, UPSTREAM, f'by its patch-id it is {name[:12]} ("{subject}")')
            continue
        fate = _fate(tree, patch)
        if fate.word == CONFLICTS:  # git am left the merge half done
            checkout.abandon(tree)
            tree = checkout.sparse_worktree("newer", git(tree, "rev-parse", "HEAD"), files)
        yield fate
    release.point(TIP, git(tree, "rev-parse", "HEAD"))


def _fate(tree: pathlib.Path, patch: Patch) -> Fate:
    """What becomes of one patch; where it conflicts, the tree is left as git am leaves it."""
    if _am(tree, patch, "--no-3way") is None:
        return Fate(patch, APPLIES)
    checkout.abandon(tree)
    done = plumbing.result(tree, "apply", "--check", "--cached", "--reverse", patch.path)
    if done.returncode == 0:
        return Fate(patch, UPSTREAM, "its reverse fits")
    before = git(tree, "rev-parse", "HEAD")
    why = _am(tree, patch, "--3way")
    if why is None:
        same = git(tree, "rev-parse", "HEAD") == before
        return Fate(patch, *((UPSTREAM, "a three-way merge leaves nothing of it") if same else (MERGES,)))
    unmerged = git(tree, "diff", "--name-only", "--diff-filter=U", "-z").split("\0")
    return Fate(patch, CONFLICTS, " ".join(name for name in unmerged if name) or " ".join(why.split()))


def _am(tree: pathlib.Path, patch: Patch, *options: str) -> str | None:
    """git am of one patch: None where it succeeds, else why not."""
    words = ["git", "-C", tree, *replay.AM, *options, patch.path]
    done = run(words, check=False, env=replay.IDENTITY, timeout=600)
    return None if done.returncode == 0 else replay.refusal(tree, [patch], done)[1]


def tell(found: Series, patches: Sequence[Patch], revision: str, directory: str) -> bool:
    """Print what becomes of each patch on a revision of the user's tree; whether all are good."""
    with cache.lock("newer"):
        commit = fetch(revision, directory)
        version = release.spelled(release.version(release.linux(), commit))
        upstream = taken(directory, found, revision, patches)
        counts = dict.fromkeys((APPLIES, MERGES, UPSTREAM, CONFLICTS), 0)
        for fate in fates(patches, commit, upstream, directory):
            counts[fate.word] += 1
            print(fate, flush=True)
    words = [f"{count} {word}" for word, count in counts.items() if count]
    print(f"{revision} ({version}): {', '.join(words)}")
    say(f"what applies and merges is in {release.linux()}; to get it in a tree of yours:\n"
        f"  git fetch {release.linux()} {TIP}")
    return not counts[CONFLICTS]
