# SPDX-License-Identifier: GPL-2.0
"""Verdicts in other caches and clones; the bytes of the guest's archives."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from harness import cpio, guest  # noqa: E402
from lib.command import CannotJudge  # noqa: E402
from lib.store import Store, hash_file  # noqa: E402

CACHE = "linux-dmabuf-series"


class TravelTest(unittest.TestCase):
    """A series of four steps that was judged once; the last two do not build."""

    @classmethod
    def setUpClass(cls):
        cls.kept = made = Fixture()
        cls.addClassCleanup(made.close)
        (made.linux / "Kconfig").touch()
        makefile = (made.linux / "Makefile").read_text()
        (made.linux / "Makefile").write_text(makefile.replace(
            "allnoconfig:\n",
            "allnoconfig:\n\t@[ ! -s $(srctree)/Kconfig ] || { echo $(srctree)/Kconfig:1: no; "
            "exit 2; }\n"))
        git(made.linux, "add", "-A")
        git(made.linux, "commit", "-q", "-m", "Linux 7.3")
        git(made.linux, "tag", "-f", "v7.3")
        made.mend()
        made.patch("break it", "boot.sh", "ok 1 always", "not ok 1 always")
        made.patch("not built", "main.c", "return 0;", "return none;")
        made.patch("break Kconfig", "Kconfig", "", "no\n")
        cls.code, cls.text = made.run()
        cls.cache = made.directory / "cache" / CACHE

    def again(self, where, *words, top=None):
        """ci/run with another XDG_CACHE_HOME: its output."""
        fixture = self.kept
        env = {**fixture.environment, "XDG_CACHE_HOME": str(where)}
        done = subprocess.run([(top or fixture.top) / "ci/run", "--no-static", *words], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, env=env,
                              check=False)
        self.assertEqual(done.returncode, self.code, done.stdout)
        return done.stdout

    def assertKept(self, text):
        """Nothing was built or booted, and the table is that of the first run."""
        self.assertEqual(text.count("(kept)"), 8, text)  # 5 builds, 3 boots
        self.assertNotIn("Traceback", text)
        table = [[line for line in said.splitlines() if line.startswith(("   ", "fail:", "proof"))
                  and " log: " not in line] for said in (self.text, text)]
        self.assertEqual(*table)

    @slow
    def test_verdicts_alone_in_another_cache_and_clone(self):
        place = self.kept.directory / "a longer path".replace(" ", "-") / "cache"
        shutil.copytree(self.cache / "verdicts", place / CACHE / "verdicts")
        clone = self.kept.directory / "another/clone"
        shutil.copytree(self.kept.top, clone, ignore=shutil.ignore_patterns("out"))
        text = self.again(place, top=clone)
        self.assertKept(text)
        self.assertRegex(text, rf"log: {place}/{CACHE}/logs/boot-\S+\.console \(missing\)")
        self.assertFalse((place / CACHE / "initramfs").exists(), "archives were made")
        self.assertEqual(list((place / CACHE / "lanes").glob("*/source/*.c")), [])
        page = (clone / "out/index.html").read_text()
        self.assertIn("the log is missing", page)
        shutil.copytree(self.cache / "logs", place / CACHE / "logs")
        text = self.again(place, top=clone)
        self.assertNotIn("(missing)", text)
        self.assertNotIn("the log is missing", (clone / "out/index.html").read_text())

    @slow
    def test_a_cache_that_was_moved(self):
        copy = self.kept.directory / "copy"
        shutil.copytree(self.cache.parent, copy, symlinks=True)
        place = self.kept.directory / "moved"
        copy.rename(place)
        self.assertKept(self.again(place))
        # the worktrees are the moved cache's own, and what it builds is built in it
        said = self.again(place, "--again")
        self.assertNotIn("(kept)", said)
        self.assertRegex(said, r"step 3 fake: build fail \d+ s: main\.c:")
        tree = place / CACHE / "lanes/fake/source"
        self.assertTrue((tree / git(tree, "rev-parse", "--git-common-dir").strip()).samefile(
            place / CACHE / "linux.git"))

    @slow
    def test_objects_of_a_moved_cache_stay(self):
        """A worktree that is made anew there does not cost those that git has not found yet."""
        place = self.kept.directory / "far"
        shutil.copytree(self.cache.parent, place, symlinks=True)
        for gitdir in (place / CACHE / "linux.git/worktrees").glob("*/gitdir"):
            gitdir.write_text(f"/nonexistent/{gitdir.parent.name}/.git\n")
        tree = place / CACHE / "lanes/fake/source"
        text = (tree / ".git").read_text()
        (tree / ".git").write_text(text.replace(str(self.cache.parent), "/nonexistent"))
        for path in (place / CACHE).glob("*/.git"):
            shutil.rmtree(path.parent)
        left = tree / "objects/left"
        left.touch()
        self.assertNotIn("(kept)", self.again(place, "--again"))
        self.assertTrue(left.exists())

    def test_records_name_no_place(self):
        self.assertRegex(self.text, r"step 4 fake: build fail \d+ s: lane fake: configuration failed: ")
        for path in (self.cache / "verdicts").rglob("*"):
            if path.is_file():
                self.assertNotIn(str(self.kept.directory), path.read_text(), path)


class ArchiveTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.top = pathlib.Path(self.temporary.name)

    def guest(self, cache, top=TOP):
        paths = mock.Mock(top=top, cache=cache, store=cache / "verdicts",
                          lane=lambda name: cache / "lanes" / name)
        lane = mock.Mock(arch="x86", cross="", foreign={}, busybox="bin/true")
        lane.name = "x86_64"
        source = mock.Mock(object=lambda commit, path: f"{commit} {path}")
        return guest.Guest(lane, source, paths, "a compiler")

    def tree(self, name, umask):
        old = os.umask(umask)
        try:
            place = self.top / name
            (place / "b/c").mkdir(parents=True)
            for number in range(3):
                (place / f"b/{2 - number}").write_text(f"{number}\n")
            (place / "run").write_text("#!/bin/sh\n")
            (place / "run").chmod(0o777 & ~umask)
            (place / "b/link").symlink_to("../run")
        finally:
            os.umask(old)
        return place

    def test_archives_do_not_depend_on_umask_and_times(self):
        one, other = self.tree("one", 0o022), self.tree("a/longer/path", 0o077)
        os.utime(other / "run", (1, 1))
        (other / "b/3").mkdir()
        (other / "b/3").rmdir()
        packed = cpio.pack(one)
        self.assertEqual(packed, cpio.pack(other))
        self.assertEqual(len(packed) % 512, 0)
        listed = subprocess.run(["cpio", "-itv", "--quiet"], input=packed, capture_output=True, check=True)
        lines = [line.split() for line in listed.stdout.decode().splitlines()]
        self.assertEqual([(w[0], *w[2:4], *w[8:]) for w in lines], [
            ("drwxr-xr-x", "root", "root", "b"),
            *(("-rw-r--r--", "root", "root", f"b/{n}") for n in range(3)),
            ("drwxr-xr-x", "root", "root", "b/c"), ("lrwxrwxrwx", "root", "root", "b/link", "->", "../run"),
            ("-rwxr-xr-x", "root", "root", "run")])
        subprocess.run(["cpio", "-i", "--quiet"], input=packed, check=True, cwd=self.tree("x", 0o022) / "b/c")
        self.assertEqual((self.top / "x/b/c/b/link").read_text(), "#!/bin/sh\n")

    def test_programs_are_the_same_wherever_they_are_built(self):
        source = ('#include <assert.h>\nint main(int argc, char **argv)\n{\n\t(void)argv;\n'
                  '\tassert(argc > 0);\n\treturn 0;\n}\n')
        found = []
        for name, umask in (("one", 0o022), ("an/other/longer", 0o077)):
            old = os.umask(umask)
            try:
                top = self.top / name
                shutil.copytree(TOP / "ci/guest", top / "ci/guest")
                (top / "ci/guest/programs/say.c").write_text(source)
                made = self.guest(top / "cache", top)
                with mock.patch.dict(os.environ, TMPDIR=str(top)):
                    found.append(made.made(made.program("say")).read_bytes())
            finally:
                os.umask(old)
        self.assertEqual(*found)
        self.assertNotIn(str(self.top).encode(), found[0])

    def test_objects_of_a_module_are_the_same_wherever_they_are_built(self):
        # what UBSAN says names the file, and no option of gcc changes that
        found = []
        for name in ("one", "an/other/longer"):
            source, place = self.top / name / "source", self.top / name / "modules/m"
            for path in (source / "include", place, self.top / name / "bin"):
                path.mkdir(parents=True)
            (source / "include/m.h").write_text(
                "static int table[5];\nstatic inline int get(int i) { return table[i]; }\n")
            (place / "m.c").write_text('#include "m.h"\nint f(int i) { return get(i); }\n')
            shutil.copy(TOP / "scripts/lib/kernel/compiler", self.top / name / "bin/gcc")
            env = {**os.environ, "SERIES_SOURCE": str(source), "DIAGNOSTICS": "",
                   "SERIES_SOURCE_AS": "../../source",
                   "PATH": f"{self.top / name}/bin:{os.environ['PATH']}"}
            subprocess.run(["gcc", "-O2", "-fsanitize=bounds", f"-I{source}/include", "-c",
                            "-o", "m.o", "m.c"], check=True, cwd=place, env=env)
            found.append((place / "m.o").read_bytes())
        self.assertEqual(*found)
        self.assertIn(b"../../source/include/m.h", found[0])

    def test_the_store_tells_what_an_archive_is_without_making_it(self):
        first = self.guest(self.top / "first")
        known = first.hash(first.scripts(["vfio"]))
        shutil.copytree(self.top / "first/verdicts", self.top / "second/verdicts")
        second = self.guest(self.top / "second")
        archive = second.scripts(["vfio"])
        self.assertEqual(second.hash(archive), known)
        self.assertFalse(archive.path.exists())
        self.assertEqual(hash_file(second.made(archive)), known)

    def test_an_archive_that_is_not_the_one_of_the_verdicts(self):
        made = self.guest(self.top / "cache")
        archive = made.scripts(["vfio"])
        Store(self.top / "cache/verdicts").put("archive", archive.inputs, {"hash": "0" * 64}, "x")
        with self.assertRaisesRegex(CannotJudge, "tests is not the one of the kept verdicts .*repeat the"):
            made.made(archive)
        anew = self.guest(self.top / "cache")
        self.assertEqual(anew.hash(archive), hash_file(anew.made(archive)))

    def test_the_archives_of_a_boot_are_computed_once(self):
        made = self.guest(self.top / "cache")
        with mock.patch.object(guest, "hash_file", wraps=guest.hash_file) as hashing:
            parts, tests = made.archives("a", "b", ["kunit"])
            count = hashing.call_count
            parts.append("the caller's own")
            self.assertEqual(made.archives("a", "b", ["kunit"]), (parts[:-1], tests))
            self.assertEqual(hashing.call_count, count)


if __name__ == "__main__":
    unittest.main()
