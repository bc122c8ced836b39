# SPDX-License-Identifier: GPL-2.0
"""A root directory of a Debian release, in which the tests of this clone run."""

import os
import pathlib
import shutil
from collections.abc import Sequence

from lib import debian, disk, process, release
from lib.clone import TOP
from lib.command import Broken, CannotJudge, run, say, shell
from lib.plumbing import git

MAKING, TESTING = 3600, 3600  # seconds
# Paths in the root.
CLONE, CACHE = "srv/series", "srv/cache"

# Mounts and processes of a namespace of their own: both end with its first process, which
# ends with unshare, which ends with us.
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--"]

# $1: the root, $2: the base's repository, then the command
ENTER = f"""
root=$1 base=$2
shift 2
mount --rbind "$root" "$root" &&
mount -t proc proc "$root/proc" &&
mount -t sysfs -o ro sysfs "$root/sys" &&
mount --rbind /dev "$root/dev" &&
mount --bind "$base" "$root/{CACHE}/linux-dmabuf-series/linux.git" &&
mount -o remount,bind,ro "$root/{CACHE}/linux-dmabuf-series/linux.git" || exit 125
exec chroot "$root" sh -c 'cd /{CLONE} || exit 125; exec "$@"' sh "$@"
"""


def _packages() -> list[str]:
    """The names in ci/packages."""
    lines = (TOP / "ci/packages").read_text(encoding="utf-8").splitlines()
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def _need_tools() -> None:
    """Install mmdebstrap where it is missing."""
    if not shutil.which("mmdebstrap"):
        words = ["apt-get", "install", "-qq", "--no-install-recommends", "mmdebstrap"]
        say(f"$ {shell(words)}")
        run(["apt-get", "update", "-qq"], timeout=300)
        run(words, timeout=600, env={"DEBIAN_FRONTEND": "noninteractive"})


def make(suite: str, root: pathlib.Path) -> None:
    """Make the root: it is there as a whole or not at all."""
    _need_tools()
    mirrors = debian.trusted_mirrors()
    new = root.with_name(f"{suite}.new")
    _remove(new)
    new.parent.mkdir(exist_ok=True)
    disk.room(new.parent, disk.ROOT, f"a root of {suite}", f"ci/debian {suite}")
    answers = []
    for number, mirror in enumerate(mirrors, 1):
        say(f"{suite}: making its root from mirror {number} of this machine's apt configuration")
        try:
            run([*ALONE, "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
                 f"--keyring={debian.KEYRING}", f"--include={','.join(_packages())}",
                 "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"2\"",
                 "--aptopt=Acquire::http::Timeout \"30\"", suite, new, mirror],
                timeout=MAKING, env={"DEBIAN_FRONTEND": "noninteractive"})
            _remove(root)
            new.rename(root)
            return
        except Broken as error:
            answers.append(f"mirror {number}: {str(error).splitlines()[-1]}")
        finally:
            _remove(new)
    raise CannotJudge(f"no root of {suite}: " + "; ".join(answers))


def _remove(root: pathlib.Path) -> None:
    """Remove a root, or a directory of one, that nobody else has mounted anything in."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        where = pathlib.Path(line.split()[4].replace("\\040", " "))
        if root.resolve() in (where, *where.parents):
            raise CannotJudge(f"{where} is mounted, and not by ci/debian; unmount it: umount {where}")
    if root.exists():
        run(["rm", "-rf", "--one-file-system", root], timeout=600)


def _copy(root: pathlib.Path) -> None:
    """Copy this clone into the root: its commits, and its files as they are now."""
    clone = root / CLONE
    _remove(clone)
    git(TOP, "clone", "-q", "--no-hardlinks", "--no-checkout", TOP, clone)
    git(clone, "reset", "-q")
    names = git(TOP, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    for name in filter(None, names):
        source = TOP / name
        if source.is_symlink() or source.exists():  # else it is removed, but not committed
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, clone / name, follow_symlinks=False)


def furnish(root: pathlib.Path) -> None:
    """Make anew what each run needs: the clone, an empty cache and /tmp, the host's name lookup."""
    for name in (CACHE, "tmp"):
        _remove(root / name)
    (root / CACHE / "linux-dmabuf-series/linux.git").mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    _copy(root)
    for name in ("etc/resolv.conf", "etc/hosts"):
        if (pathlib.Path("/") / name).exists():
            (root / name).unlink(missing_ok=True)
            shutil.copy(pathlib.Path("/") / name, root / name)


def enter(root: pathlib.Path, words: Sequence[str]) -> int | None:
    """Run a command in the root, with our standard output and error; its exit code, or None
    where it took too long."""
    theirs = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
              "XDG_CACHE_HOME": f"/{CACHE}", "LINUX_URL": "", "LINUX_DEBIAN": "no",
              **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}}
    return process.follow([*ALONE, "env", "-i", *[f"{k}={v}" for k, v in theirs.items()],
                           "sh", "-c", ENTER, "sh", root, release.linux(), *words], TESTING).rc
