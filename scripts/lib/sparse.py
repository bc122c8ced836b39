# SPDX-License-Identifier: GPL-2.0
"""A sparse that the kernel accepts: with any other, kbuild silently does not run sparse."""

import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable

from . import cache, debian, plumbing, release
from .command import Broken, CannotJudge, Missing, complete, full, output, run

# Is told what takes long.
Say = Callable[[str], None]

_PATIENCE = 600  # seconds before a download that failed is tried again


def accepted(program: pathlib.Path | str) -> bool:
    """Whether scripts/checker-valid.sh of the base accepts the program."""
    script = plumbing.content(release.linux(), release.BASE, "scripts/checker-valid.sh")
    if script is None:
        raise CannotJudge("the base has no scripts/checker-valid.sh")
    with tempfile.NamedTemporaryFile("w", prefix="accepts-sparse-", suffix=".sh") as stream:
        stream.write(script)
        stream.flush()
        done = complete(["sh", "-e", "-u", stream.name, program], timeout=60)
    return done.returncode == 0 and done.stdout.strip() == "1"


def find() -> pathlib.Path | None:
    """Path of a sparse that is here already and is accepted, or None."""
    built = sorted(cache.tools().glob("sparse-*/sparse"), reverse=True)
    for program in [shutil.which("sparse"), *built]:
        if program and accepted(program):
            return pathlib.Path(program)
    return None


def version(program: pathlib.Path | str) -> str:
    """What the program calls itself."""
    return output([program, "--version"])


def obtain(say: Say = lambda text: None) -> pathlib.Path:
    """Path of an accepted sparse, built from the Debian source package where it must be.

    Missing: there is none, and no way to build one here; CannotJudge: building one failed.
    """
    if program := find():
        return program
    here = shutil.which("sparse")
    why = f"{here} is refused by scripts/checker-valid.sh" if here else "no sparse in PATH"
    if os.environ.get("LINUX_DEBIAN") == "no":
        raise Missing(f"{why}; building one is left out (LINUX_DEBIAN=no)")
    if not shutil.which("make") or not shutil.which("gcc"):
        raise Missing(f"{why}, and no make and gcc to build one")
    failed = cache.tools() / "sparse.failed"
    if failed.exists() and 0 <= time.time() - failed.stat().st_mtime < _PATIENCE:
        raise CannotJudge(failed.read_text())
    with cache.lock("tools"):
        scratch = cache.tools() / "building"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            return debian.search(scratch / "apt", "sparse",
                                 lambda archive, suite: _build(archive, scratch, say),
                                 source=True, say=say)
        except Missing as error:
            raise Missing(f"{why}, and none could be built: {error}") from None
        except CannotJudge as error:
            if full(error):
                raise
            text = f"{why}, and none could be built: {str(error).splitlines()[0]}"
            cache.write_atomically(failed, text)
            raise CannotJudge(text) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def obtained(say: Say = lambda text: None) -> tuple[pathlib.Path | None, CannotJudge | None]:
    """(path, None) of an accepted sparse, or (None, why there is none): Missing or CannotJudge."""
    try:
        return obtain(say), None
    except CannotJudge as error:
        return None, error


def _build(archive: debian.Archive, scratch: pathlib.Path, say: Say) -> pathlib.Path | None:
    """Build the suite's source package; the program's path, None when it is not suitable."""
    downloads = archive.directory / "download"
    shutil.rmtree(downloads)
    downloads.mkdir()
    archive.get("source", "--download-only", "sparse", timeout=300)
    number = re.findall(r"(?m)^Version: (\S+)$", next(downloads.glob("*.dsc")).read_text())[0]
    tree = scratch / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    run(["tar", "-xf", next(downloads.glob("*.orig.tar.*")), "-C", tree, "--strip-components=1"])
    for changes in downloads.glob("*.debian.tar.*"):
        run(["tar", "-xf", changes, "-C", tree])
    series = tree / "debian/patches/series"
    for line in series.read_text().splitlines() if series.exists() else []:
        name = line.partition("#")[0].strip()
        if name:
            run(["patch", "-p1", "-s", "-i", series.parent / name], cwd=tree)
    say(f"building sparse {number}")
    try:
        # Debian's own patch asks for the gcc of its suite; any will do here.
        run(["make", f"-j{os.cpu_count()}", "CC=gcc", "HAVE_LLVM=no",
             f"SPARSE_VERSION={number}", "sparse"], cwd=tree, timeout=600)
    except Broken as error:
        say(f"sparse {number}: {str(error).splitlines()[-1]}")
        return None
    if not accepted(tree / "sparse"):
        return None
    ready = scratch / "ready"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    shutil.copy2(tree / "sparse", ready / "sparse")
    target = cache.tools() / f"sparse-{number}"
    shutil.rmtree(target, ignore_errors=True)
    ready.rename(target)
    return target / "sparse"
