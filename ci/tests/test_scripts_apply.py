# SPDX-License-Identifier: GPL-2.0
"""scripts/apply: on the cache's worktree, on a tree of the user's, and what it refuses."""

import os
import shutil
import signal
import subprocess
import time

from scripts_fixture import Fixture


class Apply(Fixture):

    def setUp(self):
        super().setUp()
        self.work = self.develop()
        self.user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, self.user)

    def spoil(self):
        """Make the second patch of the series one that does not apply."""
        path = next((self.repo / "patches/toy").glob("0002-*"))
        path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
        return path

    def test_cache_worktree(self):
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))
        self.assertEqual(self.git(self.cache / "tree", "symbolic-ref", "HEAD"), "refs/heads/series")
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))

    def test_users_tree(self):
        self.script("apply", self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))
        self.assertNotIn("Signed-off-by", self.git(self.user, "log", "v7.3.."))

    def test_path_relative_to_the_callers_directory(self):
        self.script("apply", "user")
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_new_worktree(self):
        self.script("apply", "--worktree", self.top / "new")
        self.assertEqual(self.tree(self.top / "new"), self.tree(self.work))
        done = self.script("apply", "--worktree", self.top / "new", expect=1)
        self.assertIn("exists", done.stderr)

    def test_signoff_is_the_submitters(self):
        self.script("apply", "--signoff", self.user)
        log = self.git(self.user, "log", "--format=%B", "v7.3..")
        self.assertEqual(log.count("Signed-off-by: A Submitter <submitter@toy.example>"), 3)
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_step(self):
        self.script("apply", "--step", "2", self.user)
        self.assertEqual(self.git(self.user, "rev-list", "--count", "v7.3.."), "2")
        done = self.script("apply", "--step", "9", expect=1)
        self.assertIn("there are 3 patches", done.stderr)

    def test_plain_git_am(self):
        lines = [x for x in (self.repo / "series").read_text().split("\n") if x and x[0] != "#"]
        self.git(self.user, "am", "-q", *[self.repo / "patches" / x for x in lines])
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_git_am_of_what_sed_lists(self):
        line = r"git am -q $(sed '/^#/d;s|^|%s/patches/|' %s/series)" % (self.repo, self.repo)
        self.command("sh", "-c", line, cwd=self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_git_quiltimport(self):
        self.git(self.user, "quiltimport", "--patches", self.repo / "patches",
                 "--series", self.repo / "series")
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_patch_that_does_not_apply(self):
        self.spoil()
        before = self.git(self.user, "rev-parse", "HEAD")
        done = self.script("apply", self.user, expect=1)
        self.assertIn("patches/toy/0002-toy-return-more-part-2.patch", done.stderr)
        self.assertIn("drivers/toy/toy.c: the hunk at line", done.stderr)
        self.assertIn(f"scripts/apply {self.user}", done.stderr)
        self.assertEqual(self.git(self.user, "rev-parse", "HEAD"), before)
        self.assertEqual(self.git(self.user, "status", "--porcelain"), "")
        self.assertFalse((self.user / ".git/rebase-apply").exists())

    def test_does_not_apply_in_cache(self):
        self.spoil()
        self.script("apply", expect=1)
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.linux))

    def test_applied_already(self):
        self.script("apply", self.user)
        tip = self.git(self.user, "rev-parse", "HEAD")
        done = self.script("apply", self.user, expect=1)
        self.assertIn("applied already", done.stderr)
        self.assertEqual(self.git(self.user, "rev-parse", "HEAD"), tip)

    def test_wrong_version(self):
        self.change(self.user, "PATCHLEVEL = 3", "PATCHLEVEL = 4", "Linux 7.4", name="Makefile")
        done = self.script("apply", self.user, expect=125)
        self.assertIn("is 7.4, but the series applies to v7.3", done.stderr)
        self.script("apply", "--any-version", self.user)

    def test_stable_release_will_do(self):
        self.change(self.user, "SUBLEVEL = 0", "SUBLEVEL = 9", "Linux 7.3.9", name="Makefile")
        self.script("apply", self.user)

    def test_not_a_kernel(self):
        self.git(self.top, "init", "-q", self.top / "other")
        self.assertIn("no kernel", self.script("apply", self.top / "other", expect=125).stderr)

    def test_not_a_git_tree(self):
        (self.top / "plain").mkdir()
        self.assertIn("not a git worktree", self.script("apply", "/nonexistent", expect=125).stderr)
        self.assertIn("not a git worktree", self.script("apply", "plain", expect=125).stderr)

    def test_uncommitted_changes(self):
        (self.user / "COPYING").write_text("mine\n")
        done = self.script("apply", self.user, expect=1)
        self.assertIn("uncommitted changes", done.stderr)
        self.assertEqual((self.user / "COPYING").read_text(), "mine\n")

    def test_unfinished_am(self):
        path = self.spoil()
        self.git(self.user, "am", "-q", path, expect=128)
        done = self.script("apply", self.user, expect=1)
        self.assertIn("unfinished git am", done.stderr)

    def test_nobody_commits(self):
        for name in [n for n in self.env if n.startswith("GIT_COMMITTER")]:
            del self.env[name]
        self.assertIn("who you are", self.script("apply", self.user, expect=125).stderr)
        self.assertIn("who you are", self.script("apply", expect=125).stderr)

    def test_work_in_the_cache_is_kept(self):
        self.script("apply")
        tree = self.cache / "tree"
        self.change(tree, "return 5;", "return 55;", "toy: mine")
        tip = self.git(tree, "rev-parse", "HEAD")
        done = self.script("apply", expect=1)
        self.assertIn("toy: mine", done.stderr)
        self.assertEqual(self.git(tree, "rev-parse", "HEAD"), tip)
        (tree / "COPYING").write_text("mine\n")
        self.assertIn("uncommitted", self.script("apply", expect=1).stderr)
        self.assertEqual((tree / "COPYING").read_text(), "mine\n")

    def test_refreshed_work_is_kept_in_patches(self):
        self.script("apply")
        self.change(self.cache / "tree", "return 5;", "return 55;", "toy: mine")
        self.script("refresh")
        tree = self.tree(self.cache / "tree")
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), tree)

    def test_changed_patches_replace_what_was_applied(self):
        self.script("apply")
        next((self.repo / "patches/toy").glob("0003-*")).unlink()
        series = self.repo / "series"
        series.write_text("\n".join(series.read_text().split("\n")[:-2]) + "\n")
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work, "HEAD^"))

    def test_topics(self):
        self.change(self.work, "return 7;", "return 70;", "toy: other topic")
        self.script("refresh", "--tree", self.work, "--start", "other=HEAD")
        self.script("apply", "--topic", "other", self.user)
        self.assertEqual(self.git(self.user, "rev-list", "--count", "v7.3.."), "1")
        series = self.repo / "series"
        series.write_text(series.read_text().replace("topic: other", "topic: other needs toy"))
        self.git(self.user, "reset", "-q", "--hard", "v7.3")
        self.script("apply", "--topic", "other", self.user)
        self.assertEqual(self.git(self.user, "rev-list", "--count", "v7.3.."), "4")
        done = self.script("apply", "--topic", "nothing", self.user, expect=1)
        self.assertIn("there are: toy, other", done.stderr)

    def test_wrong_use(self):
        self.assertIn("usage:", self.script("apply", "--no-such-option", expect=1).stderr)

    def test_no_base(self):
        shutil.rmtree(self.cache)
        self.assertIn("run: scripts/base", self.script("apply", expect=125).stderr)

    def test_series_names_a_missing_patch(self):
        (self.repo / "series").write_text("# base: v7.3\n# topic: toy\ntoy/0001-none.patch\n")
        done = self.script("apply", expect=1)
        self.assertIn("series:3: no such patch: patches/toy/0001-none.patch", done.stderr)

    def test_killed_while_a_reference_was_locked(self):
        self.script("apply")
        refs = self.cache / "linux.git/refs"
        (refs / "series/applied.lock").write_text("")
        self.script("apply")
        self.assertFalse((refs / "series/applied.lock").exists())

    def test_killed_at_any_moment(self):
        """SIGKILL while git am runs: the next run gets the same tree."""
        for delay in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35):
            process = subprocess.Popen([self.repo / "scripts/apply"], env=self.env,
                                       start_new_session=True, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.script("apply")
            self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work), delay)
