# SPDX-License-Identifier: GPL-2.0
"""The sources that the base comes from, and its import into the cache."""

import os
import pathlib
import shutil
from collections.abc import Callable
from urllib.parse import quote

from . import cache, debian, disk, plumbing, release
from .command import Broken, CannotJudge, full, output, run, say
from .plumbing import git
from .release import BASE
from .series import Series

URL = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git"
IDENTITY = plumbing.identity("base", release.SNAPSHOT, "2026-01-01T00:00:00Z")


def prepare(path: pathlib.Path) -> None:
    """Make the bare repository; harmless where it exists already.

    Lock files that a kill left are removed: any process that makes them holds our lock, or
    runs only after the first import.
    """
    (path / "shallow.lock").unlink(missing_ok=True)
    if not release.imported(path):
        for old in [*path.glob("*.lock"), *path.glob("refs/**/*.lock")]:
            old.unlink()
        kind = plumbing.result(path, "rev-parse", "--show-object-format") if path.is_dir() else None
        if kind and kind.returncode == 0 and kind.stdout.strip() != "sha1":
            shutil.rmtree(path)  # of git's default; the kernel's objects are SHA-1
    run(["git", "init", "-q", "--bare", "--template=", "--object-format=sha1", "-b", "base", path])
    for name, value in (("gc.auto", "0"), ("core.looseCompression", "1"),
                        ("core.checkStat", "default"), ("maintenance.auto", "false")):
        git(path, "config", name, value)


def verify(path: pathlib.Path | str, commit: str, series: Series, origin: str) -> str:
    """The commit; CannotJudge unless the commit's Makefile is of the base's version."""
    found = release.version(path, commit)
    if not release.is_base(found, series):
        raise CannotJudge(f"{origin} is {release.spelled(found)}, "
                          f"but the series applies to {series.base}")
    return commit


def room() -> None:
    """Full when the disk of the cache is too small for an import."""
    disk.room(cache.directory(), disk.BASE, "the base with a worktree", "scripts/base")


def fetch(path: pathlib.Path, url: str, series: Series, timeout: float, *options: str) -> str:
    """Fetch the tag shallowly into a reference of its own; its commit."""
    mine = "refs/import/tag"
    run(["git", "-C", path, "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20",
         "-c", "gc.auto=0", "fetch", "-q", "--no-tags", "--depth=1", *options, url,
         f"+refs/tags/{series.base}:{mine}"], timeout=timeout,
        env={"GIT_TERMINAL_PROMPT": "0"})
    return git(path, "rev-parse", f"{mine}^{{commit}}")


def from_tree(path: pathlib.Path, directory: str, series: Series) -> str:
    """The base from the user's git tree LINUX=DIR."""
    try:
        theirs = git(directory, "rev-parse", "-q", "--verify", f"{series.base}^{{commit}}")
    except Broken as error:
        why = error.stderr.strip() or f"it has no tag {series.base}"
        there = plumbing.succeeds(directory, "rev-parse", "--git-dir")
        raise CannotJudge(f"LINUX={directory}: {why}; " + (
            f"fetch it there (git -C {directory} fetch --tags), or unset LINUX" if there else
            "name a git tree of yours, or unset LINUX")) from None
    verify(directory, theirs, series, f"{series.base} in LINUX={directory}")
    if release.imported(path) == theirs:
        return theirs
    room()
    prepare(path)
    say(f"fetching {series.base} from {directory}")
    absolute = output(["git", "-C", directory, "rev-parse", "--absolute-git-dir"])
    try:
        return fetch(path, f"file://{quote(absolute)}", series, 3600, plumbing.upload_pack())
    except Broken as error:
        if not plumbing.result(directory, "config", "--get-regexp",
                               r"^(extensions\.partialclone|remote\..*\.promisor)$").stdout:
            raise
        raise CannotJudge(f"LINUX={directory} is a partial clone that lacks objects of {series.base}; "
                          f"name a whole one, or unset LINUX\n{error.stderr.strip()}") from None


def from_network(path: pathlib.Path, series: Series) -> str:
    """The base as the tag from kernel.org."""
    url = os.environ.get("LINUX_URL", URL)
    if not url:
        raise CannotJudge("left out (LINUX_URL is empty)")
    try:
        run(["git", "ls-remote", "-q", "--exit-code", url, f"refs/tags/{series.base}"],
            timeout=20, env={"GIT_TERMINAL_PROMPT": "0"})
    except Broken as error:
        if error.rc == 2:
            raise CannotJudge(f"{url} has no tag {series.base}") from None
        why = error.stderr.strip().splitlines()
        raise CannotJudge(why[-1] if why else f"{url} did not answer within 20 s") from None
    room()
    prepare(path)
    say(f"fetching {series.base} from {url}")
    return verify(path, fetch(path, url, series, 3600), series, url)


def unpack(deb: pathlib.Path, scratch: pathlib.Path, series: Series) -> pathlib.Path:
    """The source tree of a linux-source package, unpacked below scratch."""
    name = f"linux-source-{'.'.join(series.version)}"
    archive = f"./usr/src/{name}.tar.xz"
    whole = scratch / "deb.tar"
    with open(whole, "wb") as stream:
        run(["dpkg-deb", "--fsys-tarfile", deb], stdout=stream)
    run(["tar", "-xf", whole, "-C", scratch, archive])
    whole.unlink()
    say(f"unpacking {deb.name}")
    run(["tar", "-xf", scratch / archive, "-C", scratch], timeout=1800)
    (scratch / archive).unlink()
    return scratch / name


def from_debian(path: pathlib.Path, series: Series, scratch: pathlib.Path) -> str:
    """The base from the Debian package, as a commit that the package alone determines."""
    if os.environ.get("LINUX_DEBIAN") == "no":
        raise CannotJudge("left out (LINUX_DEBIAN=no)")
    package = f"linux-source-{'.'.join(series.version)}"

    def download(archive: debian.Archive, _suite: str) -> pathlib.Path | None:
        room()
        for old in (archive.directory / "download").glob("*.deb"):
            old.unlink()
        archive.get("download", package, timeout=1800)
        return next((archive.directory / "download").glob("*.deb"), None)

    deb = debian.search(scratch / "apt", package, download, say=say)
    number = output(["dpkg-deb", "-f", deb, "Version"])
    tree = unpack(deb, scratch, series)
    prepare(path)
    say("importing it into git")
    env = {"GIT_DIR": str(path), "GIT_WORK_TREE": str(tree),
           "GIT_INDEX_FILE": str(scratch / "index")}
    run(["git", "add", "-A", "-f", "."], cwd=tree, env=env, timeout=1800)
    written = output(["git", "write-tree"], cwd=tree, env=env)
    commit = output(["git", "commit-tree", written, "-m", f"Linux {series.base} ({number})"],
                    env={**env, **IDENTITY})
    return verify(path, commit, series, f"{package} {number}")


def obtain(series: Series) -> str:
    """The commit of the base, imported where it must be; the reference comes last."""
    path, directory = cache.repository(), os.environ.get("LINUX")
    scratch = cache.directory() / "import"
    here = release.imported(path)
    if scratch.exists():
        say("clearing what an interrupted import left")
        shutil.rmtree(scratch)
    if here and not directory:
        try:
            return verify(path, here, series, f"the base in {path}")
        except CannotJudge as error:
            if release.version(path, here) is None:
                raise CannotJudge(f"{path} is damaged; remove it and repeat: scripts/base") from None
            say(f"{error}; importing anew")
    scratch.mkdir()
    try:
        if directory:
            commit = from_tree(path, directory, series)
        else:
            commit = first(path, series, scratch)
        if here != commit:
            git(path, "update-ref", BASE, commit)
        return commit
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def first(path: pathlib.Path, series: Series, scratch: pathlib.Path) -> str:
    """The base from kernel.org, else from Debian; CannotJudge says why neither has it."""
    sources: dict[str, Callable[[], str]] = {"kernel.org": lambda: from_network(path, series),
                                             "Debian": lambda: from_debian(path, series, scratch)}
    answers = []
    for name, source in sources.items():
        try:
            return source()
        except CannotJudge as error:
            if full(error):
                raise
            say(f"{name}: {error}")
            answers.append(f"  {name}: {error}")
    raise CannotJudge(f"no source has {series.base}:\n" + "\n".join(answers) +
                      "\ngive a git tree that has the tag: LINUX=DIR scripts/base")
