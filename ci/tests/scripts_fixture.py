# SPDX-License-Identifier: GPL-2.0
"""A tiny kernel tree and a clone of this repository, in a temporary directory.

Nothing outside that directory is read or written: HOME, XDG_CACHE_HOME and the
git configuration are its own; no network is asked.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import textwrap
import unittest

import template

TOP = pathlib.Path(__file__).resolve().parents[2]

KERNEL = {
    "Makefile": "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION =\nNAME = Toy\n",
    ".gitattributes": "*.c   diff=cpp\n*.h   diff=cpp\n",
    ".gitignore": "*.o\n",
    "COPYING": "None of this is a kernel.\n",
    "drivers/toy/Makefile": "obj-y += toy.o\n",
    "drivers/toy/toy.c": "".join(f"int toy_{n}(void)\n{{\n\treturn {n};\n}}\n\n" for n in range(9)),
    "drivers/toy/toy.h": "int toy_0(void);\n",
    "MAINTAINERS": textwrap.dedent("""\
        TOY DRIVER
        M:\tToy Keeper <keeper@toy.example>
        L:\tlist@toy.example
        S:\tMaintained
        F:\tdrivers/toy/

        THE REST
        M:\tRest Keeper <rest@toy.example>
        L:\trest@list.example
        S:\tBuried alive in reporters
        F:\t*
        F:\t*/
        """),
    "scripts/get_maintainer.pl": textwrap.dedent("""\
        #!/bin/sh
        # a stub: what the real one prints for drivers/toy/
        for word; do
        \tcase $word in
        \t--nol) only=m ;;
        \t--nom) only=l ;;
        \t--sections) sections=yes ;;
        \tdrivers/toy/*) toy=yes ;;
        \tesac
        done
        if [ -n "$sections" ]; then
        \t[ -z "$toy" ] || printf 'TOY DRIVER\\nF:\\tdrivers/toy/\\n\\n'
        \tprintf 'THE REST\\nF:\\t*\\nF:\\t*/\\n'
        \texit
        fi
        [ "$only" = l ] || echo 'Toy Keeper <keeper@toy.example>'
        [ "$only" = m ] || echo 'list@toy.example'
        """),
}

SERIES = "# base: v7.3\n# topic: toy\n# tree: toys\n# list: list@toy.example\n"

IDENTITY = {
    "GIT_AUTHOR_NAME": "A Developer", "GIT_AUTHOR_EMAIL": "developer@toy.example",
    "GIT_COMMITTER_NAME": "A Submitter", "GIT_COMMITTER_EMAIL": "submitter@toy.example",
}


class Fixture(unittest.TestCase):
    """One temporary world a test: self.repo, self.linux, self.cache."""

    base = True  # whether the base is imported before the test
    _worlds = {}  # made once for each class that has a kernel of its own, then copied

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="scripts-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        self.repo, self.linux = self.top / "repo", self.top / "linux"
        self.cache = self.top / "cache/linux-dmabuf-series"
        self.clock = 0
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.top), "LC_ALL": "C.UTF-8",
            "XDG_CACHE_HOME": str(self.top / "cache"), "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync",
            "GIT_CONFIG_VALUE_0": "none", "SERIES_TEST_FSYNC": "no",
            "LINUX_URL": "", "LINUX_DEBIAN": "no", "PYTHONDONTWRITEBYTECODE": "1", **IDENTITY}
        shutil.copytree(template.project() / "scripts", self.repo / "scripts")
        (self.repo / "patches").mkdir()
        key = (self.base, *sorted(self.kernel().items()))
        if key in self._worlds:
            for name in ("linux", "cache"):
                if (self._worlds[key] / name).exists():
                    shutil.copytree(self._worlds[key] / name, self.top / name, symlinks=True)
            (self.repo / "series").write_text(SERIES)
            self.clock = 60  # as after the kernel's commit
            return
        (self.repo / "series").write_text(SERIES)
        self.git(self.top, "init", "-q", "-b", "main", self.linux)
        for name, text in self.kernel().items():
            self.write(self.linux / name, text)
            if text.startswith("#!"):
                (self.linux / name).chmod(0o755)
        self.commit(self.linux, "Linux 7.3")
        self.git(self.linux, "tag", "v7.3")
        if self.base:
            self.script("base", LINUX=self.linux)
        world = tempfile.TemporaryDirectory(prefix="scripts-test-world-")
        unittest.addModuleCleanup(self._forget, key, world)
        self._worlds[key] = pathlib.Path(world.name)
        for name in ("linux", "cache"):
            if (self.top / name).exists():
                shutil.copytree(self.top / name, self._worlds[key] / name, symlinks=True)

    @classmethod
    def _forget(cls, key, world):
        del cls._worlds[key]
        world.cleanup()

    def kernel(self):
        """{path: text} of the tiny kernel."""
        return dict(KERNEL)

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *words, expect=0, cwd=None, data=None, **env):
        """Run a command in the fixture's environment; CompletedProcess."""
        done = subprocess.run([str(w) for w in words], cwd=cwd or self.top, text=True, input=data,
                              env={**self.env, **{k: str(v) for k, v in env.items()}},
                              capture_output=True, timeout=400, check=False,
                              stdin=None if data is not None else subprocess.DEVNULL)
        if expect is not None:
            self.assertEqual(done.returncode, expect,
                             f"{words}\n{done.stdout}\n{done.stderr}")
        return done

    def git(self, where, *words, **kwargs):
        return self.command("git", "-C", where, *words, **kwargs).stdout.rstrip("\n")

    def script(self, name, *words, **kwargs):
        """Run scripts/NAME of the fixture's clone."""
        return self.command(self.repo / "scripts" / name, *words, **kwargs)

    def tool(self, name, text):
        """Put a shell script before the program of that name; $real is the program itself."""
        path = self.top / "bin" / name
        self.write(path, f"#!/bin/sh\nreal={shutil.which(name)}\n{text}")
        path.chmod(0o755)
        if not self.env["PATH"].startswith(f"{path.parent}:"):
            self.env["PATH"] = f"{path.parent}:{self.env['PATH']}"
        return path

    def commit(self, tree, subject, body="Because it is a test."):
        """Commit all there is, at a date of its own."""
        self.clock += 60
        date = f"@{1760000000 + self.clock} +0000"
        self.git(tree, "add", "-A")
        self.git(tree, "commit", "-q", "-m", f"{subject}\n\n{body}",
                 GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        return self.git(tree, "rev-parse", "HEAD")

    def tree(self, where, revision="HEAD"):
        return self.git(where, "rev-parse", f"{revision}^{{tree}}")

    def change(self, tree, old, new, subject, name="drivers/toy/toy.c", **kwargs):
        """One commit that replaces text in one file."""
        text = (tree / name).read_text()
        self.assertIn(old, text)
        (tree / name).write_text(text.replace(old, new, 1))
        return self.commit(tree, subject, **kwargs)

    def develop(self, count=3):
        """A kernel branch of that many commits, exported to patches/: its directory. Called on
        what setUp() left; made once for each kernel and count, then copied."""
        key = "developed", count, self.base, *sorted(self.kernel().items())
        place = template.made(key, lambda place: self._developed(place, count))
        if not (self.top / "work").exists():  # else it was made just now
            old = pathlib.Path((place / "top").read_text())
            shutil.rmtree(self.cache.parent)
            for name in ("cache", "work", "repo/patches"):
                shutil.copytree(place / name, self.top / name, symlinks=True, dirs_exist_ok=True)
            shutil.copy(place / "series", self.repo / "series")
            self._move(old)
            self.git(self.top / "work", "update-index", "-q", "--refresh")
            self.clock += 60 * count
        return self.top / "work"

    def _move(self, old):
        """Let what was copied from a world at another place name this one."""
        private = "cache/linux-dmabuf-series/linux.git/worktrees/work"
        names = [f"{hashlib.sha256(str(top / private).encode()).hexdigest()[:32]}.json"
                 for top in (old, self.top)]
        (self.cache / "applied" / names[0]).rename(self.cache / "applied" / names[1])
        for path in (self.top / private / "gitdir", self.top / "work/.git",
                     self.cache / "linux.git/FETCH_HEAD", self.cache / "applied" / names[1]):
            path.write_text(path.read_text().replace(str(old), str(self.top)))

    def _developed(self, place, count):
        """Develop, and keep what that made."""
        work = self._develop(count)
        self.assertEqual(work, self.top / "work")
        for name in ("cache", "work", "repo/patches"):
            shutil.copytree(self.top / name, place / name, symlinks=True)
        shutil.copy(self.repo / "series", place / "series")
        (place / "top").write_text(str(self.top))

    def _develop(self, count):
        work = self.top / "work"
        self.git(self.cache / "linux.git", "worktree", "add", "-q", "--detach", work, "base")
        for n in range(1, count + 1):
            self.change(work, f"return {n};", f"return {n * 10};", f"toy: return more, part {n}")
        self.script("refresh", "--tree", work)
        return work

    def patches(self):
        """{name: bytes} of patches/ and series."""
        files = [p for p in (self.repo / "patches").rglob("*") if p.is_file()]
        return {str(p.relative_to(self.repo)): p.read_bytes()
                for p in [*files, self.repo / "series"]}
