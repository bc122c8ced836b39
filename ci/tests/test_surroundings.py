# SPDX-License-Identifier: GPL-2.0
"""What surrounds ci/run changes no verdict: variables, git's configuration, hooks, paths."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from lib import environment  # noqa: E402

HOSTILE = {
    "KCFLAGS": "-O9 --no-such-option", "LLVM": "1", "KCONFIG_CONFIG": "/nonexistent/config",
    "MAKEFLAGS": "-n", "CFLAGS": "-broken", "ARCH": "sparc", "CROSS_COMPILE": "nope-", "O": "/nonexistent",
    "KBUILD_OUTPUT": "/nonexistent", "V": "1", "W": "1", "CC": "nope-gcc", "LC_ALL": "C",
    "LANG": "de_DE.UTF-8",
    "GIT_AUTHOR_DATE": "garbage", "GIT_COMMITTER_DATE": "garbage", "GIT_EXTERNAL_DIFF": "false",
    "GIT_PAGER": "false", "GIT_EDITOR": "false", "POSIXLY_CORRECT": "1", "PYTHONWARNINGS": "error",
    "GREP_OPTIONS": "-v", "CDPATH": "/", "TZ": "Asia/Kathmandu",
}
GITCONFIG = """\
[core]
	autocrlf = true
	hooksPath = {hooks}
	attributesFile = {hooks}/attributes
[am]
	threeWay = true
[commit]
	gpgSign = true
[user]
	signingKey = nope
[gpg]
	program = false
[apply]
	whitespace = error-all
[diff]
	noprefix = true
[safe]
	bareRepository = explicit
"""


class SurroundingsTest(unittest.TestCase):
    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        makefile = self.fixture.linux / "Makefile"
        # a kernel that listens, as kbuild does
        makefile.write_text(makefile.read_text().replace("gcc -Wall -c", "$(CC) -Wall $(KCFLAGS) -c")
                            .replace("srctree :=", "CC = gcc\nKCONFIG_CONFIG ?= $(O)/.config\nsrctree :=")
                            .replace("$(KCONFIG_ALLCONFIG) >$(O)/.config",
                                     "$(KCONFIG_ALLCONFIG) >$(KCONFIG_CONFIG)"))
        git(self.fixture.linux, "commit", "-q", "-a", "-m", "Linux 7.3")
        git(self.fixture.linux, "tag", "-f", "v7.3")
        self.fixture.mend()
        self.fixture.patch("comment", "main.c", "return 0;", "return 0; /* done */")
        self.hooks = self.fixture.directory / "hooks"
        self.hooks.mkdir()
        (self.hooks / "attributes").write_text("* text eol=crlf\n")
        for name in ("applypatch-msg", "pre-applypatch", "post-applypatch", "post-checkout",
                     "reference-transaction"):
            (self.hooks / name).write_text("#!/bin/sh\necho no; exit 1\n")
            (self.hooks / name).chmod(0o755)

    def table(self):
        return self.fixture.table()

    @slow
    def test_variables_and_the_configuration_of_git_change_nothing(self):
        clean = dict(self.fixture.environment)
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        table = self.table()
        self.fixture.environment |= HOSTILE
        (self.fixture.directory / ".gitconfig").write_text(GITCONFIG.format(hooks=self.hooks))
        code, text = self.fixture.run()
        self.assertEqual((code, text.count("(kept)")), (0, 6), text)
        # cold, too; and what is judged like that is kept for the clean one
        shutil.rmtree(self.fixture.directory / "cache")
        code, text = self.fixture.run()
        # two steps with one image share a boot
        self.assertEqual((code, text.count("(kept)")), (0, 1), text)
        self.assertEqual(self.table(), table)
        self.fixture.environment = clean
        code, text = self.fixture.run()
        self.assertEqual((code, text.count("(kept)")), (0, 6), text)

    @slow
    def test_a_series_that_only_a_three_way_merge_applies_is_broken(self):
        (self.fixture.directory / ".gitconfig").write_text(GITCONFIG.format(hooks=self.hooks))
        path = self.fixture.top / "patches" / self.fixture.patches[1]
        path.write_text(path.read_text().replace(" int main(void)", " int mean(void)"))
        code, text = self.fixture.run()
        self.assertEqual(code, 1, text)
        self.assertIn("does not apply", text)

    @slow
    def test_called_by_a_hook_of_the_user_s_repository_it_leaves_the_commit_alone(self):
        tree = self.fixture.directory / "mine"
        git(self.fixture.linux, "worktree", "add", "-q", "-b", "mine", tree, "v7.3")
        hook = self.fixture.linux / ".git/hooks/pre-commit"
        hook.parent.mkdir(exist_ok=True)
        variables = {k: v for k, v in self.fixture.environment.items() if k != "HOME"}
        hook.write_text("#!/bin/sh\n" + "".join(f"export {k}='{v}'\n" for k, v in variables.items()
                                                if k in ("PATH", "XDG_CACHE_HOME", "LINUX",
                                                         "SERIES_NEEDED_BYTES"))
                        + f"git branch -f base v7.3\nexec {self.fixture.top}/ci/run --no-static --step 1 "
                        f">{self.fixture.directory}/said 2>&1\n")
        hook.chmod(0o755)
        for where in (self.fixture.linux, tree):
            with self.subTest(where.name):
                (where / "README").write_text("more\n")
                git(where, "add", "README")
                (where / "main.c").write_text((where / "main.c").read_text() + "int important;\n")
                branch = git(where, "symbolic-ref", "HEAD")
                git(where, "commit", "-q", "-a", "-m", "important")
                said = (self.fixture.directory / "said").read_text()
                self.assertIn("verdict: pass", said)
                self.assertEqual(git(where, "show", "--format=%s", "--name-only", "HEAD").split(),
                                 ["important", "README", "main.c"])
                self.assertIn("+int important;", git(where, "show", "HEAD", "--", "main.c"))
                self.assertEqual((git(where, "status", "--short"), git(where, "symbolic-ref", "HEAD")),
                                 ("", branch))


class PathTest(unittest.TestCase):
    def test_paths_that_kbuild_or_the_emulator_cannot_take(self):
        for character in " \t\n,:;'\"\\&|$`#*?[]{}()<>!^":
            with self.subTest(character):
                self.assertIn("cannot work in a path with",
                              environment.buildable(pathlib.Path(f"/x/a{character}b/cache")))
        for name in ("a-b_c.d", "a+b", "a=b", "a@b", "a%b", "~a", "\u00fc", "x" * 200):
            self.assertEqual(environment.buildable(pathlib.Path("/x", name)), "")

    def test_symbolic_link(self):
        with tempfile.TemporaryDirectory(prefix="series-test-") as name:
            (pathlib.Path(name) / "my disk").mkdir()
            (pathlib.Path(name) / "link").symlink_to("my disk")
            self.assertIn("my disk/cache: kbuild and QEMU cannot work in a path with a blank",
                          environment.buildable(pathlib.Path(name, "link/cache")))

    @slow
    def test_ci_run_says_so_before_anything_else(self):
        fixture = Fixture()
        self.addCleanup(fixture.close)
        for name in ("a,b", "a b", "star*"):
            fixture.environment["XDG_CACHE_HOME"] = str(fixture.directory / name)
            code, text = fixture.run()
            self.assertEqual(code, 125, text)
            self.assertRegex(text, "^ci/run: .*: kbuild and QEMU cannot work in a path with .*; "
                                   "set XDG_CACHE_HOME to another path\n$")
            self.assertFalse((fixture.directory / name).exists())


class WrapperTest(unittest.TestCase):
    """The compiler wrappers find the compiler behind them, whatever their path, and never
    themselves."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        real = self.directory / "real"
        real.mkdir()
        (real / "gcc").write_text('#!/bin/sh\necho "real: $*"\necho "$PATH" >&2\nexit 3\n')
        (real / "gcc").chmod(0o755)

    def wrapped(self, name, path="{self}:{real}:/usr/bin:/bin", **variables):
        links = self.directory / name
        links.mkdir()
        shutil.copy(TOP / "scripts/lib/kernel/compiler", links / "gcc")
        path = path.format(self=links, real=self.directory / "real")
        return subprocess.run([links / "gcc", "-c", "x.c"], env={"PATH": path, **variables}, text=True,
                              capture_output=True, timeout=20, check=False)

    def test_names_that_mean_something_to_a_shell_or_a_pattern(self):
        for name in ("star*", "[b]", "a|b", "$x", "a b", "back\\slash", "^a$", "q?", "a.c", "a&b", "'q'"):
            with self.subTest(name):
                done = self.wrapped(name)
                self.assertEqual((done.returncode, done.stdout), (3, "real: -c x.c\n"), done.stderr)
                self.assertEqual(done.stderr, f"{self.directory}/real:/usr/bin:/bin\n")

    def test_each_entry_of_its_own_goes_and_others_stay(self):
        done = self.wrapped("bin", "/nope:{self}:{real}:{self}:/usr/bin:{self}x:{self}")
        self.assertEqual(done.stderr, "/nope:{0}/real:/usr/bin:{0}/binx\n".format(self.directory))

    def test_it_refuses_to_call_itself(self):
        (self.directory / "alias").symlink_to("bin")
        done = self.wrapped("bin", f"{self.directory}/alias:/usr/bin:/bin")
        self.assertEqual(done.returncode, 2)
        self.assertIn("gcc calls this wrapper again: PATH has it under another name", done.stderr)


if __name__ == "__main__":
    unittest.main()
