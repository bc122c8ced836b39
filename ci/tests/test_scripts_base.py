# SPDX-License-Identifier: GPL-2.0
"""scripts/base: where the base comes from, and imports that go wrong."""

import os
import signal
import subprocess
import sys
import time
import unittest

from marks import slow
from scripts_fixture import TOP, Fixture


class Base(Fixture):

    base = False

    def commit_of(self, revision="v7.3"):
        return self.git(self.linux, "-c", "safe.directory=*", "rev-parse", f"{revision}^{{commit}}",
                        GIT_CONFIG_GLOBAL="/dev/null")

    def refs(self):
        return self.git(self.cache / "linux.git", "for-each-ref", "refs/heads", expect=None)

    def test_from_a_tree_of_ones_own(self):
        done = self.script("base", LINUX=self.linux)
        self.assertEqual(done.stdout.strip(), self.commit_of())
        # from then on it needs nothing
        self.linux.rename(self.top / "away")
        self.assertEqual(self.script("base").stdout, done.stdout)
        self.assertEqual(self.script("base", "--print").stdout, done.stdout)
        self.assertEqual(self.script("base", "--path").stdout.strip(), str(self.cache / "linux.git"))
        self.assertFalse((self.cache / "import").exists())

    def test_from_a_tree_that_hides_its_tags(self):
        self.git(self.linux, "config", "transfer.hideRefs", "refs/tags")
        self.assertEqual(self.script("base", LINUX=self.linux).stdout.strip(), self.commit_of())

    def test_from_a_tree_whose_path_a_url_would_quote(self):
        odd = self.top / "a%20b"
        self.linux.rename(odd)
        self.assertRegex(self.script("base", LINUX=odd).stdout, "^[0-9a-f]{40}\n$")

    def test_from_the_network(self):
        done = self.script("base", LINUX_URL=f"file://{self.linux}")
        self.assertEqual(done.stdout.strip(), self.commit_of())
        count = self.git(self.cache / "linux.git", "rev-list", "--count", "base")
        self.assertEqual(count, "1")

    def hardened(self):
        """git configurations that refuse or mislead: [(environment, text of ~/.gitconfig)]."""
        explicit = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.bareRepository",
                    "GIT_CONFIG_VALUE_0": "explicit"}
        return [({}, "[safe]\n\tbareRepository = explicit\n"), (explicit, ""),
                ({"GIT_DEFAULT_HASH": "sha256"}, "[init]\n\tdefaultObjectFormat = sha256\n"),
                ({"GIT_OBJECT_DIRECTORY": "/nonexistent", "GIT_COMMON_DIR": "/nonexistent",
                  "GIT_DIR": "/nonexistent"}, ""),
                ({}, "[broken\n")]

    @slow
    def test_users_git_is_no_input(self):
        for number, (variables, text) in enumerate(self.hardened()):
            (self.top / ".gitconfig").write_text(text)
            self.env["XDG_CACHE_HOME"] = str(self.top / f"cache-{number}")
            done = self.script("base", LINUX=self.linux, **variables)
            self.assertEqual(done.stdout.strip(), self.commit_of(), variables)
            self.assertEqual(self.script("base", "--print", **variables).stdout, done.stdout)
            if "broken" not in text:
                self.script("apply", **variables)

    def test_repository_of_another_hash_without_a_base(self):
        """What an import under GIT_DEFAULT_HASH=sha256 once left is made anew."""
        self.git(self.top, "init", "-q", "--bare", "--object-format=sha256", self.cache / "linux.git")
        self.script("base", LINUX=self.linux)

    @slow
    @unittest.skipIf(os.getuid(), "only root can give files away")
    def test_owned_by_somebody_else(self):
        self.command("chown", "-R", "12345", self.linux)
        self.script("base", LINUX=self.linux)
        self.command("chown", "-R", "12345", self.cache)
        self.script("base", "--print")
        self.script("apply")
        self.script("apply")

    @slow
    def test_a_base_that_git_cannot_read_is_not_called_missing(self):
        self.script("base", LINUX=self.linux)
        (self.cache / "linux.git/config").write_text("[broken\n")
        for words in (("apply",), ("base", "--print"), ("base",)):
            done = self.script(*words, expect=125)
            self.assertIn("bad config line 1", done.stderr)
            self.assertNotIn("not in the cache", done.stderr)

    def test_partial_clone_is_named(self):
        self.git(self.linux, "config", "uploadpack.allowFilter", "true")
        partial = self.top / "partial"
        self.git(self.top, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{self.linux}",
                 partial)
        self.git(partial, "checkout", "-q", "v7.3", "--", "Makefile")
        self.linux.rename(self.top / "away")
        self.assertIn("is a partial clone", self.script("base", expect=125, LINUX=partial).stderr)

    def test_one_number_for_the_room(self):
        sys.path.insert(0, str(TOP / "scripts"))
        from lib import disk  # pylint: disable=import-outside-toplevel
        readme = (TOP / "README.md").read_text()
        for bytes_ in (disk.BASE, disk.COLD):
            self.assertTrue(f" {bytes_ >> 30} GiB " in readme, f"README: {bytes_ >> 30} GiB")

    @slow
    def test_print_imports_nothing(self):
        done = self.script("base", "--print", expect=125, LINUX=self.linux)
        self.assertIn("run: scripts/base", done.stderr)

    def test_tree_without_the_tag(self):
        self.git(self.linux, "tag", "-d", "v7.3")
        done = self.script("base", expect=125, LINUX=self.linux)
        self.assertIn(f"LINUX={self.linux}: it has no tag v7.3", done.stderr)

    def test_no_tree(self):
        done = self.script("base", expect=125, LINUX="/nonexistent")
        self.assertIn("LINUX=/nonexistent", done.stderr)
        self.assertIn("name a git tree of yours", done.stderr)
        self.assertNotIn("fetch", done.stderr)

    def test_tag_of_another_version(self):
        self.change(self.linux, "PATCHLEVEL = 3", "PATCHLEVEL = 4", "Linux 7.4", name="Makefile")
        self.git(self.linux, "tag", "-f", "v7.3")
        for where in ({"LINUX": self.linux}, {"LINUX_URL": f"file://{self.linux}"}):
            done = self.script("base", expect=125, **where)
            self.assertIn("is 7.4, but the series applies to v7.3", done.stderr)
        self.assertEqual(self.refs(), "")

    def test_release_candidate_is_not_the_base(self):
        self.change(self.linux, "EXTRAVERSION =", "EXTRAVERSION = -rc7", "rc", name="Makefile")
        self.git(self.linux, "tag", "-f", "v7.3")
        self.assertIn("is 7.3-rc7", self.script("base", expect=125, LINUX=self.linux).stderr)

    def test_nothing_has_it(self):
        done = self.script("base", expect=125)
        self.assertIn("no source has v7.3", done.stderr)
        self.assertTrue(done.stderr.startswith("kernel.org: left out"), done.stderr)  # before Debian is tried
        self.assertIn("\n  kernel.org: left out", done.stderr)
        self.assertIn("Debian: left out", done.stderr)
        self.assertIn("LINUX=DIR scripts/base", done.stderr)

    def test_no_network(self):
        done = self.script("base", expect=125, LINUX_URL="http://127.0.0.1:9/linux.git")
        self.assertIn("127.0.0.1", done.stderr)

    def test_another_tree_replaces_it(self):
        self.script("base", LINUX=self.linux)
        self.change(self.linux, "SUBLEVEL = 0", "SUBLEVEL = 1", "Linux 7.3.1", name="Makefile")
        self.git(self.linux, "tag", "-f", "v7.3")
        done = self.script("base", LINUX=self.linux)
        self.assertEqual(done.stdout.strip(), self.commit_of())

    def test_full_disk(self):
        """A statvfs that says there is 1 GiB, put before the script's own module."""
        (self.top / "sitecustomize.py").write_text(
            "import shutil\nshutil.disk_usage = lambda p: shutil._ntuple_diskusage(2**40, 0, 2**30)\n")
        done = self.script("base", expect=125, LINUX=self.linux, PYTHONPATH=self.top)
        self.assertIn("has 1.0 GiB free", done.stderr)
        self.assertEqual(self.refs(), "")

    def test_disk_that_fills_up_on_the_way(self):
        (self.top / "bin").mkdir()
        fake = self.top / "bin/git"
        fake.write_text("#!/bin/sh\ncase \" $* \" in *' fetch '*)\n"
                        "echo 'fatal: write error: No space left on device' >&2; exit 128;; esac\n"
                        f"PATH={os.environ['PATH']} exec git \"$@\"\n")
        fake.chmod(0o755)
        done = self.script("base", expect=125, LINUX=self.linux,
                           PATH=f"{self.top}/bin:{os.environ['PATH']}")
        self.assertIn("the disk is full", done.stderr)
        self.assertIn("scripts/base", done.stderr)
        self.script("base", LINUX=self.linux)

    def test_killed_at_any_moment(self):
        """A half import is never taken for a whole one, and is cleared."""
        for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
            process = subprocess.Popen([self.repo / "scripts/base"], start_new_session=True,
                                       env={**self.env, "LINUX": str(self.linux)},
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if self.refs():
                self.assertEqual(self.script("base", "--print").stdout.strip(), self.commit_of())
        done = self.script("base", LINUX=self.linux)
        self.assertEqual(done.stdout.strip(), self.commit_of())
        self.assertFalse((self.cache / "import").exists())

    def test_two_at_once(self):
        both = [subprocess.Popen([self.repo / "scripts/base"], text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL,
                                 env={**self.env, "LINUX": str(self.linux)}) for _ in range(2)]
        for process in both:
            self.assertEqual(process.communicate(timeout=60)[0].strip(), self.commit_of())

    def test_cache_that_cannot_be_made(self):
        (self.top / "file").write_text("")
        done = self.script("base", expect=125, XDG_CACHE_HOME=self.top / "file")
        self.assertIn("XDG_CACHE_HOME", done.stderr)

    def test_series_without_a_base(self):
        (self.repo / "series").write_text("# topic: toy\n")
        self.assertIn("# base:", self.script("base", expect=1).stderr)


class Debian(Fixture):
    """The package: a fake apt-get that hands out a .deb made here."""

    base = False

    def setUp(self):
        super().setUp()
        self.bin = self.top / "bin"
        self.bin.mkdir()
        self.deb = self.top / "linux-source-7.3_7.3.9-1_all.deb"
        root = self.top / "package"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text(
            "Package: linux-source-7.3\nVersion: 7.3.9-1\nArchitecture: all\n"
            "Maintainer: nobody <nobody@localhost>\nDescription: toy\n")
        (root / "usr/src").mkdir(parents=True)
        source = self.top / "linux-source-7.3"
        self.git(self.top, "clone", "-q", self.linux, source)
        self.command("rm", "-rf", source / ".git")
        self.command("tar", "-cJf", root / "usr/src/linux-source-7.3.tar.xz", "linux-source-7.3")
        self.command("dpkg-deb", "--root-owner-group", "-b", root, self.deb)
        self.tool("apt-get", "case \" $* \" in\n"
                  f"*' download '*) cp {self.deb} . ;;\n*' update '*) : ;;\nesac\n")
        self.tool("apt-cache", "echo Package: linux-source-7.3\n")
        self.env["PATH"] = f"{self.bin}:{self.env['PATH']}"
        del self.env["LINUX_DEBIAN"]

    def tool(self, name, text):
        (self.bin / name).write_text("#!/bin/sh\n" + text)
        (self.bin / name).chmod(0o755)

    @slow
    def test_commit_is_the_packages_alone(self):
        first = self.script("base").stdout
        linux = self.cache / "linux.git"
        self.assertEqual(self.git(linux, "log", "-1", "--format=%an %ae %at %s", "base"),
                         "base base@localhost 1767225600 Linux v7.3 (7.3.9-1)")
        self.assertEqual(self.tree(linux, "base"), self.tree(self.linux))
        (self.top / ".gitconfig").write_text("[core]\n\tautocrlf = true\n\tfileMode = false\n")
        again = self.script("base", XDG_CACHE_HOME=self.top / "second").stdout
        self.assertEqual(again, first)

    def test_no_suite_has_the_package(self):
        self.tool("apt-cache", "exit 100\n")
        done = self.script("base", expect=125)
        self.assertIn("unstable: has no package linux-source-7.3", done.stderr)

    def test_no_network(self):
        self.tool("apt-get", "echo 'E: Could not resolve' >&2; exit 100\n")
        done = self.script("base", expect=125)
        self.assertIn("stable-backports: E: Could not resolve", done.stderr)

    def test_disk_that_fills_up(self):
        self.tool("tar", "echo 'tar: x: Cannot write: No space left on device' >&2; exit 2\n")
        self.assertIn("the disk is full", self.script("base", expect=125).stderr)
        self.assertFalse((self.cache / "import").exists())
        (self.bin / "tar").unlink()
        self.script("base")

    @slow
    def test_killed_while_importing(self):
        """Killed in apt-get, tar and git add: nothing half is left to use."""
        for tool, word in (("apt-get", "download"), ("tar", "linux-source-7.3.tar.xz"),
                           ("git", "add")):
            old = (self.bin / tool).read_text() if (self.bin / tool).exists() else None
            self.tool(tool, f"case \" $* \" in *{word}*) touch {self.top}/reached; exec sleep 60;; esac\n"
                      f"PATH={os.environ['PATH']} exec {tool} \"$@\"\n"
                      if old is None else
                      f"case \" $* \" in *{word}*) touch {self.top}/reached; exec sleep 60;; esac\n"
                      + old.removeprefix("#!/bin/sh\n"))
            process = subprocess.Popen([self.repo / "scripts/base"], env=self.env,
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for _ in range(200):
                if (self.top / "reached").exists():
                    break
                time.sleep(0.05)
            process.kill()
            process.wait()
            self.assertTrue((self.top / "reached").exists(), tool)
            (self.top / "reached").unlink()
            (self.bin / tool).unlink()
            if old is not None:
                (self.bin / tool).write_text(old)
                (self.bin / tool).chmod(0o755)
            self.script("base", "--print", expect=125)
        self.script("base")
        self.assertFalse((self.cache / "import").exists())


class Mirrors(Fixture):
    """Mirror URIs out of a machine's own apt configuration."""

    base = False

    def mirrors(self):
        code = ("import pathlib, sys; sys.path.insert(0, sys.argv[1]); from lib import debian; "
                "print(*debian.mirrors(pathlib.Path(sys.argv[2])))")
        return self.command("python3", "-c", code, self.repo / "scripts",
                            self.top / "apt").stdout.split()

    def test_deb822(self):
        self.assertEqual(self.mirrors(), [])
        self.write(self.top / "apt/sources.list.d/debian.sources",
                   "# comment\nTypes: deb\nURIs: http://m.example/debian/\nSuites: x x-updates\n"
                   "Components: main contrib\nSigned-By: /k\n\n"
                   "Types: deb\nURIs: http://m.example/debian-security\nSuites: x-security\n"
                   "Components: main\n\n"
                   "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\n"
                   "Components: main\n")
        self.assertEqual(self.mirrors(), ["http://m.example/debian"])

    def test_one_line_style(self):
        self.write(self.top / "apt/sources.list",
                   "# deb http://no.example/debian x main\n"
                   "deb [signed-by=/k arch=amd64] http://m.example/debian/ x main contrib\n"
                   "deb-src http://src.example/debian x main\n"
                   "deb http://m.example/debian-security x-security main\n")
        self.assertEqual(self.mirrors(), ["http://m.example/debian"])
