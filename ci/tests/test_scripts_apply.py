# SPDX-License-Identifier: GPL-2.0
"""scripts/apply: on the cache's worktree, on a tree of the user's, and what it refuses."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import belongings
from marks import slow
from scripts_fixture import TOP, Fixture


class Apply(Fixture):

    def setUp(self):
        super().setUp()
        self.work = self.develop()
        self.user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, self.user)

    def spoil(self):
        """Make "part 2" of the series a patch that does not apply."""
        path = next((self.repo / "patches/toy").glob("*-part-2.patch"))
        path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
        return path

    def test_cache_worktree(self):
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))
        self.assertEqual(self.git(self.cache / "tree", "symbolic-ref", "HEAD"), "refs/heads/series")
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))

    @slow
    def test_users_tree(self):
        self.script("apply", self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))
        self.assertNotIn("Signed-off-by", self.git(self.user, "log", "v7.3.."))

    @slow
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

    def test_what_readme_says_without_us(self):
        """Each of README's lines for git alone; with a blank in $R, and CRLF in a file."""
        (self.work / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
        self.commit(self.work, "toy: a file of another world")
        (self.work / "crlf.txt").write_bytes(b"one\r\n2\r\n")
        self.commit(self.work, "toy: a change of it")
        self.script("refresh", "--tree", self.work)
        clone = self.top / "a clone"
        self.repo.rename(clone)
        readme = (TOP / "README.md").read_text().partition("## Applying the patches")[2].partition("\n## ")[0]
        lines = re.findall(r"(?m)^    (.*\$R.*)$", readme)
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.git(self.user, "reset", "-q", "--hard", "v7.3")
            self.command("sh", "-e", "-c", line, cwd=self.user, R=clone)
            self.assertEqual(self.tree(self.user), self.tree(self.work), line)

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

    @slow
    def test_hand_edit_that_does_not_apply_loses_nothing(self):
        """The tree stays where it was, and refresh keeps the edit aside."""
        self.script("apply")
        tip = self.git(self.cache / "tree", "rev-parse", "HEAD")
        before = self.patches()
        text = self.spoil().read_text()
        done = self.script("apply", expect=1)
        self.assertIn(f"{self.cache}/tree is as it was", done.stderr)
        self.assertEqual(self.git(self.cache / "tree", "rev-parse", "HEAD", "series"), f"{tip}\n{tip}")
        done = self.script("refresh")
        self.assertEqual(self.patches(), before)
        kept = done.stderr.partition("kept aside: ")[2].strip()
        self.assertEqual(pathlib.Path(kept).read_text(), text)

    def test_new_worktree_that_fails_is_not_there(self):
        self.spoil()
        for _ in range(2):
            done = self.script("apply", "--worktree", self.top / "new", expect=1)
            self.assertIn("does not apply", done.stderr)
        self.assertFalse((self.top / "new").exists())

    def test_new_worktree_that_a_kill_interrupts_can_be_made_again(self):
        self.tool("git", 'case "$*" in\n*" worktree add "*new*) "$real" "$@"; kill -s KILL "$PPID" ;;\n'
                  '*) exec "$real" "$@" ;;\nesac\n')
        self.script("apply", "--worktree", self.top / "new", expect=-9)
        self.tool("git", 'exec "$real" "$@"\n')
        self.assertFalse((self.top / "new").exists())
        self.script("apply", "--worktree", self.top / "new")
        self.assertEqual(self.tree(self.top / "new"), self.tree(self.work))
        self.assertEqual(list(self.top.glob(".new*")), [])

    def test_new_worktree_whose_place_is_taken_meanwhile(self):
        new = self.top / "new"
        self.tool("git", f'case "$*" in\n*" worktree add "*) mkdir {new} ;;\nesac\nexec "$real" "$@"\n')
        self.assertIn("meanwhile", self.script("apply", "--worktree", new, expect=1).stderr)
        self.assertEqual([list(new.iterdir()), list(self.top.glob(".new*"))], [[], []])

    def test_applied_already(self):
        self.script("apply", self.user)
        tip = self.git(self.user, "rev-parse", "HEAD")
        done = self.script("apply", self.user, expect=1)
        self.assertIn("applied already", done.stderr)
        self.assertEqual(self.git(self.user, "rev-parse", "HEAD"), tip)

    def test_applied_already_below_patches_that_cover_it(self):
        self.change(self.work, "return 10;", "return 11;", "toy: again")
        self.script("refresh", "--tree", self.work)
        self.script("apply", self.user)
        done = self.script("apply", self.user, expect=1)
        self.assertIn("applied already", done.stderr)

    def test_users_hook_refuses(self):
        """In the user's tree their hooks count; in the cache none does."""
        before = self.state(self.user)
        for name, words in (("applypatch-msg", "no ticket number"), ("pre-applypatch", "not today")):
            hook = self.hook(f'grep -q "part 2" .git/rebase-apply/final-commit 2>/dev/null || exit 0\n'
                             f"echo {words}; exit 1\n", name)
            done = self.script("apply", self.user, expect=1)
            self.assertIn(f"0002-toy-return-more-part-2.patch (step 2) does not apply:\n"
                          f"  the hook {hook} refuses it:\n    {words}", done.stderr)
            self.assertEqual(self.state(self.user), before)
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))

    def hook(self, text, name):
        """Make it the user's hook of that name, the only one."""
        shutil.rmtree(self.top / "hooks", ignore_errors=True)
        self.write(self.top / "hooks" / name, f"#!/bin/sh\n{text}")
        (self.top / "hooks" / name).chmod(0o755)
        self.git(self.top, "config", "--global", "core.hooksPath", self.top / "hooks")
        return self.top / "hooks" / name

    def state(self, tree):
        """All that there is in a user's tree: files, HEAD, index, and what git has at work."""
        files = {str(p.relative_to(tree)): os.readlink(p) if p.is_symlink() else p.read_bytes()
                 for p in tree.rglob("*") if (p.is_symlink() or p.is_file()) and ".git" not in p.parts}
        directories = {str(p.relative_to(tree)) for p in tree.rglob("*")
                       if p.is_dir() and ".git" not in p.parts}
        return (files, directories, self.git(tree, "ls-files", "-s", "-v"), self.git(tree, "status"),
                self.git(tree, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD"),
                self.git(tree, "for-each-ref"), self.git(tree, "rev-parse", "ORIG_HEAD", expect=None),
                sorted(p.name for p in (tree / ".git").iterdir()))

    def with_an_ignored_file(self):
        """One more patch, first, whose new file .gitignore hides, in a new directory."""
        self.git(self.work, "reset", "-q", "--hard", "base")
        self.write(self.work / "drivers/new/blob \u00e4.o", "x\n")
        self.git(self.work, "add", "-f", "-A")
        self.commit(self.work, "toy: an ignored file")
        for n in (1, 2, 3):
            self.change(self.work, f"return {n};", f"return {n * 10};", f"toy: return more, part {n}")
        self.script("refresh", "--tree", self.work)
        self.git(self.user, "commit", "-q", "--allow-empty", "-m", "x")
        self.git(self.user, "reset", "-q", "--hard", "HEAD~1")  # so that there is an ORIG_HEAD

    def reach(self, name, subject):
        """scripts/apply on the user's tree, started, and stopped in that hook at a patch."""
        for old in ("reached", "release"):
            (self.top / old).unlink(missing_ok=True)
        self.hook(f'! grep -q "{subject}" .git/rebase-apply/final-commit || '
                  f"{{ touch {self.top}/reached; "
                  f"until [ -e {self.top}/release ]; do sleep 0.1; done; }}\n", name)
        process = subprocess.Popen([self.repo / "scripts/apply", self.user], env=self.env, text=True,
                                   stderr=subprocess.PIPE)
        for _ in range(1000):
            if (self.top / "reached").exists():
                return process
            time.sleep(0.02)
        self.fail(f"{name} was not reached: {process.communicate()[1]}")

    def unhook(self):
        self.git(self.top, "config", "--global", "--unset", "core.hooksPath")

    @slow
    def test_signals_leave_the_users_tree_as_it_was(self):
        self.with_an_ignored_file()
        before = self.state(self.user)
        for number, name, subject in ((signal.SIGINT, "pre-applypatch", "part 2"),
                                      (signal.SIGTERM, "applypatch-msg", "part 1"),
                                      (signal.SIGHUP, "post-applypatch", "part 3")):
            process = self.reach(name, subject)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 125, said)
            self.assertIn(f"interrupted by {signal.Signals(number).name}", said)
            self.assertEqual(self.state(self.user), before, name)
        self.unhook()
        self.script("apply", self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_signals_at_any_moment(self):
        before = self.state(self.user)
        for delay in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
            process = subprocess.Popen([self.repo / "scripts/apply", self.user], env=self.env,
                                       text=True, stderr=subprocess.PIPE)
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
            if process.returncode == 0:
                self.assertEqual(self.tree(self.user), self.tree(self.work))
                return
            self.assertEqual(self.state(self.user), before, said)

    @slow
    def test_killed_on_the_users_tree(self):
        """The next run brings the tree back, then applies."""
        self.with_an_ignored_file()
        before = self.state(self.user)
        self.killed_at("pre-applypatch", "part 2")
        spoiled = self.spoil()
        text = spoiled.read_text()
        done = self.script("apply", self.user, expect=1)
        self.assertIn("an earlier scripts/apply was killed here; it is as it was before", done.stderr)
        kept = pathlib.Path(done.stderr.partition("are kept in ")[2].partition("\n")[0])
        self.assertIn("return 20;", (kept / "drivers/toy/toy.c").read_text())
        shutil.rmtree(kept)
        self.assertEqual(self.state(self.user), before)
        spoiled.write_text(text.replace("-\treturn 7777;", "-\treturn 2;"))
        self.killed_at("applypatch-msg", "part 3")
        self.script("apply", self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def killed_at(self, name, subject):
        process = self.reach(name, subject)
        self.assertTrue((self.user / ".git/series-apply").exists())
        process.kill()
        (self.top / "release").write_text("")  # the hook outlives git, and holds the tree's lock
        process.communicate()
        (self.user / ".git/index.lock").write_text("")
        self.unhook()

    def test_killed_and_worked_in_since(self):
        """What the user did since is not undone; the commands that are named do it."""
        before = self.state(self.user)
        self.killed_at("pre-applypatch", "part 2")
        (self.user / ".git/index.lock").unlink()
        (self.user / "COPYING").write_text("mine\n")
        done = self.script("apply", self.user, expect=125)
        self.assertIn("COPYING was changed, which the series does not touch", done.stderr)
        self.assertEqual((self.user / "COPYING").read_text(), "mine\n")
        lines = done.stderr.partition("without any change made since:\n")[2].partition("to keep")[0]
        self.command("sh", "-e", "-c", lines)
        after = self.state(self.user)
        self.assertEqual([*after[:6], after[7]], [*before[:6], sorted({*before[7], "ORIG_HEAD"})])

    def test_patches_that_change_meanwhile(self):
        """What git am gets is what was read: the tree's snapshot and kept steps are of that."""
        first = sorted((self.repo / "patches/toy").glob("*.patch"))[0]
        self.tool("git", f'case "$*" in\n*" am "*) sed -i s/toy.c/toy.h/ {first} ;;\nesac\n'
                  'exec "$real" "$@"\n')
        self.script("apply", self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.work))
        self.assertIn("toy.h", first.read_text())

    def test_two_at_once_on_the_users_tree(self):
        both = [subprocess.Popen([self.repo / "scripts/apply", self.user], env=self.env, text=True,
                                 stderr=subprocess.PIPE) for _ in range(2)]
        said = [process.communicate(timeout=60)[1] for process in both]
        self.assertEqual(sorted(p.returncode for p in both), [0, 1], said)
        self.assertIn("applied already", "".join(said))
        self.assertEqual(self.tree(self.user), self.tree(self.work))

    def test_disk_that_fills_up_under_the_users_tree(self):
        before = self.state(self.user)
        self.tool("git", 'case " $* " in *" am "*)\n\tfor last; do :; done\n'
                  '\t$real -C "$2" am -q "${last%0003*}"0001* \n'
                  "\techo \"fatal: could not write to 'x': No space left on device\" >&2; exit 128;;\n"
                  'esac\nexec $real "$@"\n')
        done = self.script("apply", self.user, expect=125)
        self.assertIn(f"the disk is full: {self.user}", done.stderr)
        self.assertEqual(self.state(self.user), before)

    def test_git_that_is_killed_is_no_patch_that_does_not_apply(self):
        self.tool("git", 'case " $* " in *" am "*) kill -9 $$;; esac\nexec $real "$@"\n')
        self.assertIn("git am ended with -9", self.script("apply", self.user, expect=125).stderr)

    def test_another_git_at_work(self):
        (self.user / ".git/index.lock").write_text("")
        self.assertIn("another git is at work", self.script("apply", self.user, expect=1).stderr)
        self.assertTrue((self.user / ".git/index.lock").exists())

    @slow
    def test_a_file_that_is_in_the_way(self):
        """Untracked and ignored files of the user's are never overwritten."""
        self.with_an_ignored_file()
        for tree in (self.user, self.cache / "tree"):
            if tree != self.user:
                self.script("apply", "--step", "0")
            name = tree / "drivers/new/blob \u00e4.o"
            self.write(name, "mine\n")
            words = [tree] if tree == self.user else []
            self.assertNotEqual(self.script("apply", *words, expect=None).returncode, 0)
            self.assertEqual(name.read_text(), "mine\n")

    def test_own_commits_when_the_worktree_is_gone(self):
        self.script("apply")
        self.change(self.cache / "tree", "return 5;", "return 55;", "toy: mine")
        shutil.rmtree(self.cache / "tree")
        self.assertIn("toy: mine", self.script("apply", expect=1).stderr)

    def test_own_commits_on_a_branch_that_is_not_checked_out(self):
        self.script("apply")
        self.change(self.cache / "tree", "return 5;", "return 55;", "toy: mine")
        self.git(self.cache / "tree", "switch", "-q", "-c", "other", "base")
        self.assertIn("toy: mine", self.script("apply", expect=1).stderr)

    def test_broken_configuration_is_named(self):
        (self.top / ".gitconfig").write_text("[user\n")
        for words in ((), (self.user,)):
            self.assertIn("bad config line 1", self.script("apply", *words, expect=125).stderr)

    def test_wrong_version(self):
        self.change(self.user, "PATCHLEVEL = 3", "PATCHLEVEL = 4", "Linux 7.4", name="Makefile")
        done = self.script("apply", self.user, expect=125)
        self.assertIn("is 7.4, but the series applies to v7.3", done.stderr)
        self.script("apply", "--any-version", self.user)

    @slow
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

    def begun(self, *words):
        """Begin a git operation in the user's tree that stops in the middle; nothing is left changed."""
        self.git(self.user, *words, expect=None, GIT_SEQUENCE_EDITOR="sed -i s/^pick/edit/")
        self.git(self.user, "checkout", "-q", "-f", "HEAD", "--", ".")

    @slow
    def test_each_operation_in_progress_is_named_and_left_alone(self):
        """Also where the tree has no uncommitted change, so that nothing else would refuse it."""
        self.change(self.user, "return 5;", "return 50;", "toy: five")
        self.git(self.user, "checkout", "-q", "-b", "other", "HEAD~1")
        self.change(self.user, "return 5;", "return 55;", "toy: five, otherwise")
        self.change(self.user, "return 55;", "return 555;", "toy: five, once more")
        mail = self.top / "mail"
        mail.write_text(self.git(self.user, "format-patch", "--stdout", "main~1..main"))
        for begin, word in (
                ((["am", mail],), "am --abort"),
                ((["rebase", "-i", "HEAD~2"],), "rebase --abort"),
                ((["rebase", "--apply", "main"],), "rebase --abort"),
                ((["merge", "--no-ff", "--no-commit", "main"],), "merge --abort"),
                ((["cherry-pick", "HEAD~1"],), "cherry-pick --abort"),
                ((["revert", "--no-edit", "HEAD~1"],), "revert --abort"),
                # the user has committed what stopped it, and does not go on
                ((["revert", "--no-edit", "HEAD~1", "HEAD"],
                  ["commit", "-q", "--allow-empty", "-m", "one of two"]), "revert --abort"),
                ((["cherry-pick", "HEAD~1", "HEAD"],
                  ["commit", "-q", "--allow-empty", "-m", "one of two"]), "cherry-pick --abort"),
                ((["bisect", "start", "HEAD", "HEAD~2"],), "bisect reset")):
            with self.subTest(begin[0][0]):
                self.git(self.user, "checkout", "-q", "-B", "trial", "other")
                if begin[0][0] == "am":
                    self.git(self.user, "checkout", "-q", "HEAD~1")
                for words in begin:
                    self.begun(*words)
                before = belongings.of(self.user), belongings.state(self.user)
                done = self.script("apply", self.user, expect=1)
                self.assertIn(f"an unfinished git {word.split()[0]} is there", done.stderr)
                self.assertIn(f"git -C {self.user} {word}", done.stderr)
                self.assertEqual((belongings.of(self.user), belongings.state(self.user)), before)
                self.git(self.user, *word.split())

    def test_two_operations_in_progress_are_both_named(self):
        self.change(self.user, "return 5;", "return 50;", "toy: five")
        self.change(self.user, "return 6;", "return 60;", "toy: six")
        self.git(self.user, "bisect", "start", "HEAD", "HEAD~2")
        self.begun("revert", "--no-commit", "HEAD")
        done = self.script("apply", self.user, expect=1)
        self.assertIn("an unfinished git revert and git bisect is there", done.stderr)

    @slow
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

    @slow
    def test_commits_that_are_no_patches_are_kept(self):
        """An empty commit, and a merge that holds work of its own."""
        self.script("apply")
        tree = self.cache / "tree"
        self.git(tree, "commit", "-q", "--allow-empty", "-m", "toy: a note")
        done = self.script("apply", expect=1)
        self.assertIn("does not hold:\n  toy: a note\nwrite", done.stderr)
        self.assertIn("branch -f series refs/heads/base\n  scripts/apply\n", done.stderr)
        self.git(tree, "reset", "-q", "--hard", "HEAD^")
        self.git(tree, "switch", "-q", "--detach", "base")
        self.git(tree, "merge", "-q", "--no-ff", "--no-commit", "series")
        (tree / "COPYING").write_text("mine\n")
        self.git(tree, "commit", "-q", "-a", "-m", "toy: a merge")
        self.git(tree, "switch", "-q", "-C", "series")
        done = self.script("apply", expect=1)
        self.assertIn("toy: a merge", done.stderr)
        self.assertEqual((tree / "COPYING").read_text(), "mine\n")

    def test_work_in_the_cache_without_an_index_is_kept(self):
        self.script("apply")
        tree = self.cache / "tree"
        (tree / "COPYING").write_text("mine\n")
        pathlib.Path(self.git(tree, "rev-parse", "--absolute-git-dir"), "index").unlink()
        self.assertIn("uncommitted", self.script("apply", expect=1).stderr)
        self.assertEqual((tree / "COPYING").read_text(), "mine\n")

    @slow
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

    @slow
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

    def test_waves(self):
        series = self.repo / "series"
        text = series.read_text()
        for number, needs in ((1, "nothing"), (2, "nothing"), (3, "w1")):
            text = text.replace(f"toy/000{number}", f"# wave: w{number}\n# needs: {needs}\ntoy/000{number}")
        series.write_text(text)
        for wave, numbers in (("w2", "2"), ("w3", "13")):
            self.git(self.user, "reset", "-q", "--hard", "v7.3")
            self.script("apply", "--topic", "toy", "--wave", wave, self.user)
            self.assertEqual(self.git(self.user, "log", "--reverse", "--format=%s", "v7.3..").splitlines(),
                             [f"toy: return more, part {number}" for number in numbers])
        self.assertIn("no wave 'w4'", self.script(
            "apply", "--topic", "toy", "--wave", "w4", self.user, expect=1).stderr)
        self.assertIn("--wave needs --topic", self.script("apply", "--wave", "w1", expect=1).stderr)

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

    def test_killed_while_git_am_held_a_lock(self):
        self.script("apply", "--worktree", self.top / "first")
        own = self.cache / "linux.git/worktrees/steps"
        for name in ("index", "HEAD", "ORIG_HEAD"):
            with self.subTest(name):
                (own / f"{name}.lock").write_text("")
                self.script("apply", "--worktree", self.top / name)
                self.assertEqual(self.tree(self.top / name), self.tree(self.work))

    def test_killed_while_git_added_a_worktree(self):
        self.script("apply", "--worktree", self.top / "first")
        own = self.cache / "linux.git/worktrees/steps"
        for left in ("commondir", "HEAD"):
            with self.subTest(left):
                shutil.rmtree(self.cache / "steps")
                (own / "locked").write_text("initializing\n")
                (own / left).write_text("")
                self.script("apply", "--worktree", self.top / left)
                self.assertEqual(self.tree(self.top / left), self.tree(self.work))

    def test_killed_while_git_added_another_worktree(self):
        self.script("apply", "--worktree", self.top / "first")
        other = self.cache / "linux.git/worktrees/other"
        shutil.copytree(self.cache / "linux.git/worktrees/steps", other)
        (other / "gitdir").write_text(f"{self.top}/other/.git\n")
        (other / "locked").write_text("initializing\n")
        (other / "commondir").write_text("")
        os.utime(other, (0, 0))
        self.script("apply", "--worktree", self.top / "second")
        self.assertEqual(self.tree(self.top / "second"), self.tree(self.work))

    @slow
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
