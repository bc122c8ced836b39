# SPDX-License-Identifier: GPL-2.0
"""scripts/refresh: a branch becomes patches/ and series, byte by byte the same."""

import pathlib
import re
import shutil

from marks import slow
from scripts_fixture import TOP, Fixture


class Refresh(Fixture):

    def setUp(self):
        super().setUp()
        self.work = self.develop()

    def refresh(self, *words, **kwargs):
        return self.script("refresh", "--tree", self.work, *words, **kwargs)

    def names(self):
        return [x for x in (self.repo / "series").read_text().split("\n") if x and x[0] != "#"]

    def test_what_is_written(self):
        self.assertEqual(self.names(), [f"toy/000{n}-toy-return-more-part-{n}.patch" for n in (1, 2, 3)])
        text = self.patches()["patches/toy/0001-toy-return-more-part-1.patch"].decode()
        self.assertTrue(text.startswith("From " + "0" * 40 + " Mon Sep 17 00:00:00 2001\n"
                                        "From: A Developer <developer@toy.example>\nDate: "))
        self.assertIn("Subject: [PATCH] toy: return more, part 1\n", text)
        self.assertIn("Because it is a test.\n---\n drivers/toy/toy.c | 2 +-\n", text)
        self.assertNotIn("Signed-off-by", text)
        self.assertFalse(text.rstrip().endswith("2.39.5"))

    def test_again_changes_nothing(self):
        before = self.patches()
        self.assertIn("no change", self.refresh().stdout)
        self.assertEqual(self.patches(), before)

    @slow
    def test_round_trip(self):
        before = self.patches()
        self.script("refresh", "--check")
        self.script("apply", "--signoff")
        self.script("refresh")
        self.assertEqual(self.patches(), before)

    def test_users_configuration_changes_nothing(self):
        before = self.patches()
        (self.top / ".gitconfig").write_text(
            "[diff]\n\tnoprefix = true\n\talgorithm = patience\n\tcontext = 9\n\trenames = false\n"
            "\tmnemonicPrefix = true\n\torderFile = /dev/null\n"
            "[format]\n\tsignOff = true\n\tattach = true\n\tnumbered = true\n\tcoverLetter = true\n"
            "\tsubjectPrefix = RFC\n\tfrom = Somebody <s@toy.example>\n\tuseAutoBase = true\n"
            "\tsuffix = .txt\n\tthread = shallow\n\tto = x@toy.example\n\theaders = \"X-A: b\\n\"\n"
            "[core]\n\tabbrev = 30\n[color]\n\tui = always\n[am]\n\tthreeWay = true\n"
            "[i18n]\n\tlogOutputEncoding = ISO-8859-1\n[mailinfo]\n\tscissors = true\n")
        self.refresh("--all")
        self.assertEqual(self.patches(), before)
        self.script("refresh", "--check")

    def test_git_for_which_format_noprefix_has_no_false(self):
        """git >= 2.41: the setting drops a/ and b/ whatever its value; options win over it."""
        self.tool("git", "for word; do\n\tshift\n\tcase $word in\n"
                  "\tformat.noprefix=*) new=yes ;;\n"
                  "\tformat-patch) [ -z \"$new\" ] || set -- \"$@\" --no-prefix ;;\n\tesac\n"
                  "\tset -- \"$@\" \"$word\"\ndone\nexec $real \"$@\"\n")
        before = self.patches()
        self.refresh("--all")
        self.assertEqual(self.patches(), before)

    def test_signoff_on_the_branch_is_not_written(self):
        before = self.patches()
        self.git(self.work, "rebase", "-q", "--signoff", "base")
        self.assertIn("Signed-off-by", self.git(self.work, "log", "-1"))
        self.refresh("--all")
        self.assertEqual(self.patches(), before)

    def test_signoff_among_other_trailers(self):
        self.change(self.work, "return 4;", "return 40;", "toy: four",
                    body="Why.\n\nLink: https://toy.example/1\nSigned-off-by: A B <a@toy.example>")
        self.refresh()
        text = self.patches()["patches/toy/0004-toy-four.patch"].decode()
        self.assertIn("Why.\n\nLink: https://toy.example/1\n---\n", text)

    @slow
    def test_a_change_of_one_patch_changes_one_file(self):
        before = self.patches()
        (self.work / "COPYING").write_text("Still not a kernel.\n")
        self.git(self.work, "commit", "-q", "-a", "--fixup=:/part 1")
        self.git(self.work, "rebase", "-q", "-i", "--autosquash", "base", GIT_SEQUENCE_EDITOR=":")
        self.refresh()
        after = self.patches()
        self.assertEqual([n for n in after if after[n] != before.get(n)],
                         ["patches/toy/0001-toy-return-more-part-1.patch"])

    def test_insertion_renames_and_removes(self):
        tip = self.git(self.work, "rev-parse", "HEAD")
        self.git(self.work, "checkout", "-q", "HEAD~2")
        self.change(self.work, "return 8;", "return 80;", "toy: inserted")
        self.git(self.work, "cherry-pick", f"{tip}~2..{tip}")
        self.refresh()
        self.assertEqual(self.names()[1], "toy/0002-toy-inserted.patch")
        self.assertEqual({f"patches/{n}" for n in self.names()} | {"series"}, set(self.patches()))
        self.script("refresh", "--check")

    def test_a_merge_is_refused(self):
        before, tip = self.patches(), self.git(self.work, "rev-parse", "HEAD").strip()
        self.git(self.work, "checkout", "-q", "-b", "side", "HEAD~1")
        (self.work / "COPYING").write_text("mine\n")
        self.git(self.work, "commit", "-q", "-a", "-m", "toy: beside")
        self.git(self.work, "merge", "-q", "--no-edit", tip)
        merge = self.git(self.work, "rev-parse", "HEAD").strip()
        done = self.refresh(expect=1)
        self.assertIn(f"{merge[:12]} is a merge; a series cannot have one", done.stderr)
        self.assertEqual(self.patches(), before)

    def test_dropped_commit_removes_its_file(self):
        self.git(self.work, "reset", "-q", "--hard", "HEAD~1")
        done = self.refresh()
        self.assertIn("removed: patches/toy/0003-toy-return-more-part-3.patch", done.stdout)
        self.assertEqual(len(self.names()), 2)

    @slow
    def test_what_was_never_in_the_branch_is_not_removed(self):
        """A tree with part of the series, or with none of it, is not the series."""
        before = self.patches()
        for words, said in ((("--step", "1"), "holds 1 of 3 patches"), (("--step", "0"), "no commit")):
            self.script("apply", *words)
            for tree in ((), ("--tree", self.cache / "tree")):
                self.assertIn(said, self.script("refresh", *tree, expect=1).stderr)
            self.assertEqual(self.patches(), before)
        self.assertIn("nothing to write", self.script("refresh", "--remove", expect=1).stderr)
        # a tree that no command of ours knows
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        self.assertIn("no commit", self.script("refresh", "--tree", user, expect=1).stderr)
        self.git(user, "am", "-q", *[self.repo / n for n in list(before)[:2] if n != "series"])
        done = self.script("refresh", "--tree", user, expect=1)
        self.assertIn("never in its branch", done.stderr)
        self.assertEqual(self.patches(), before)
        self.script("apply", "--step", "1")
        self.assertIn("removed: patches/toy/0002", self.script("refresh", "--remove").stdout)
        self.assertEqual(len(self.names()), 1)

    def test_other_topic_is_not_removed(self):
        self.change(self.work, "return 7;", "return 70;", "other: begins")
        self.refresh("--start", "other=HEAD")
        before = self.patches()
        self.script("apply", "--topic", "other")
        self.assertIn("holds 1 of 4", self.script("refresh", expect=1).stderr)
        self.assertEqual(self.patches(), before)

    @slow
    def test_readmes_block_loses_nothing(self):
        """Pasted as a whole, with a first line that fails."""
        text = (TOP / "README.md").read_text().partition("## Changing the patches")[2].partition("\n## ")[0]
        lines = [x for x in re.findall("(?m)^    (.*)$", text) if "check " not in x and "ci/" not in x]
        self.assertGreater(len(lines), 5)
        self.commit_clone()
        (self.top / ".cache").symlink_to(self.top / "cache")
        del self.env["XDG_CACHE_HOME"]
        before = self.patches()
        for applied in (False, True):
            path = self.repo / "patches" / self.names()[1]
            path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
            edited = path.read_text()
            done = self.command("sh", "-c", "\n".join(lines), cwd=self.repo, expect=None, GIT_EDITOR="true")
            kept = re.findall("(?m)^kept aside: (.*)$", done.stderr)
            self.assertEqual([pathlib.Path(p).read_text() for p in kept], [edited] if applied else [])
            self.assertEqual(self.patches() if applied else path.read_text(), before if applied else edited)
            self.git(self.repo, "checkout", "-q", ".")
            self.script("apply")

    def commit_clone(self):
        """Make the fixture's clone a git repository in which patches/ is committed."""
        self.git(self.top, "init", "-q", self.repo)
        self.git(self.repo, "add", "-A")
        self.git(self.repo, "commit", "-q", "-m", "all")

    @slow
    def test_uncommitted_edits_are_kept_aside(self):
        self.commit_clone()
        path = self.repo / "patches" / self.names()[0]
        edited = path.read_text().replace("Because", "Perhaps because")
        path.write_text(edited)
        stray = path.with_name("0009-stray.patch")
        stray.write_text("mine\n")
        (path.parent / "notes").write_text("mine\n")
        done = self.refresh(expect=1)
        self.assertIn("not in series, nor in the branch:\n  patches/toy/0009-stray.patch", done.stderr)
        done = self.refresh("--remove")
        kept = [pathlib.Path(x) for x in re.findall("(?m)^kept aside: (.*)$", done.stderr)]
        self.assertEqual([p.read_text() for p in kept], [edited, "mine\n"])
        self.assertTrue(kept[0].is_relative_to(self.repo / ".git/series-kept"))
        self.assertTrue((path.parent / "notes").exists())
        # what git or this command wrote is not kept again
        self.change(self.work, "return 7;", "return 70;", "toy: more")
        self.refresh()
        self.git(self.work, "commit", "-q", "--amend", "-m", "toy: more of it\n\nWhy.")
        self.git(self.work, "rebase", "-q", "--signoff", "base")
        self.assertNotIn("kept aside", self.refresh("--all").stderr)

    @slow
    def test_commits_that_cannot_be_patches(self):
        """Each is named, with the reason, and nothing is written."""
        self.git(self.work, "tag", "good")
        before = self.patches()
        cases = (
            ("toy: x", "Why.\n\nFrom 0123456789 Mon Sep 17 00:00:00 2001\n", "another mail"),
            ("toy: x", "Why.\n\ndiff --git a/x b/x\n", "for the beginning of the diff"),
            ("toy: x", "Why.\n---\nBut.\n", "for the beginning of the diff"),
            ("toy: x", "Why.\n\n--- a/x\n", "for the beginning of the diff"),
            ("[toy] x", "Why.\n", "the beginning of its subject"),
            ("Re: toy: x", "Why.\n", "the beginning of its subject"),
            ("fixup! toy: x", "Why.\n", "git rebase -i --autosquash"),
            ("amend! toy: x", "Why.\n", "git rebase -i --autosquash"),
            ("toy: x", "From: Somebody Else <s@toy.example>\n\nWhy.\n", "does not survive"),
            ("toy: x", "Subject: another\n\nWhy.\n", "does not survive"),
            ("toy: x", "Why.  \n\n\n\nThis.\n", "does not survive"),
        )
        for number, (subject, body, why) in enumerate(cases):
            (self.work / "COPYING").write_text(f"{number}\n")
            self.git(self.work, "commit", "-q", "-a", "--cleanup=verbatim", "-F", "-",
                     data=f"{subject}\n\n{body}")
            done = self.refresh(expect=1)
            self.assertIn(why, done.stderr)
            self.assertIn(f"{self.git(self.work, 'rev-parse', '--short=12', 'HEAD')} ({subject})",
                          done.stderr)
            self.assertEqual(self.patches(), before)
            self.git(self.work, "reset", "-q", "--hard", "good")
        self.git(self.work, "commit", "-q", "--allow-empty", "-m", "toy: nothing")
        self.assertIn("it changes nothing", self.refresh(expect=1).stderr)
        self.assertEqual(self.patches(), before)

    @slow
    def test_messages_and_contents_that_survive(self):
        tree = self.work
        (tree / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
        (tree / "mixed.txt").write_bytes(b"one\ntwo\r\n-- \nFrom 0123 Mon Sep 17 00:00:00 2001\n")
        (tree / "binary").write_bytes(bytes(range(256)))
        (tree / "latin").write_bytes(b"\xe9t\xe9 \xe0\n")
        (tree / "no end").write_bytes(b"no newline")
        (tree / "n\u00e4me \"quoted\" \t").write_text("x\n")
        (tree / "link").symlink_to("COPYING")
        self.commit(tree, "toy: contents", body="From here on:\n-- >8 --\n# no comment\n\u00fc")
        for name in ("crlf.txt", "mixed.txt"):
            (tree / name).write_bytes((tree / name).read_bytes().replace(b"one", b"1"))
        (tree / "COPYING").rename(tree / "COPYING of ours")
        (tree / "binary").write_bytes(bytes(range(255)))
        (tree / "binary").chmod(0o755)
        (tree / "no end").unlink()
        self.commit(tree, "toy: contents again")
        self.assertIn("new: ", self.refresh().stdout)
        self.script("refresh", "--check")
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(tree))
        self.assertIn("no change", self.script("refresh").stdout)

    @slow
    def test_another_clones_series(self):
        other = self.top / "other"
        shutil.copytree(self.repo, other)
        self.script("apply")
        self.git(self.cache / "tree", "commit", "-q", "--amend", "-m", "toy: of the first\n\nWhy.")
        before = {p: p.read_bytes() for p in other.rglob("*.patch")}
        done = self.command(other / "scripts/refresh", expect=1)
        self.assertIn(f"holds the series of another clone, {self.repo}", done.stderr)
        self.assertEqual({p: p.read_bytes() for p in other.rglob("*.patch")}, before)
        self.script("refresh")
        self.script("refresh", "--check")

    @slow
    def test_killed_between_two_files(self):
        """The next command of any kind finishes it."""
        self.script("apply")
        before = self.patches()
        for n in (1, 2, 3):
            self.change(self.cache / "tree", f"return {n}0;", f"return {n}00;", f"toy: more, part {n}")
        module = self.repo / "scripts/lib/journal.py"
        text = module.read_text()
        module.write_text(text.replace("            _exchange(beside, target)\n",
                                       "            _exchange(beside, target)\n            os._exit(9)\n"))
        self.script("refresh", expect=9)
        module.write_text(text)
        self.assertNotIn(self.patches(), (before, {}))
        self.script("base", "--print")
        self.assertEqual(len(self.names()), 6)
        self.script("refresh", "--check")
        self.assertFalse((self.repo / ".refresh").exists())

    @slow
    def test_topics_and_comments_stay(self):
        self.change(self.work, "return 7;", "return 70;", "other: begins")
        self.refresh("--start", "other=HEAD")
        self.assertEqual(self.names()[-1], "other/0001-other-begins.patch")
        series = self.repo / "series"
        text = "# read by a person\n" + series.read_text().replace(
            "topic: other", "topic: other needs toy").replace("toy/0002", "# mind the gap\ntoy/0002")
        series.write_text(text)
        self.assertIn("no change", self.refresh().stdout)
        # a reworded subject at the border of two topics stays in its topic
        self.git(self.work, "commit", "-q", "--amend", "-m", "other: starts\n\nWhy.")
        self.refresh()
        self.assertEqual(series.read_text(), text.replace("begins", "starts"))
        # an unknown commit goes where the one before it went
        self.change(self.work, "return 6;", "return 60;", "toy: but at the end")
        self.refresh()
        self.assertEqual(self.names()[-1], "other/0002-toy-but-at-the-end.patch")

    def test_waves_stay(self):
        series = self.repo / "series"
        text = series.read_text().replace("toy/0001", "# the first\n# wave: one\n# needs: nothing\ntoy/0001")
        text = text.replace("toy/0003", "# wave: two\n# tree: others\n# mind the gap\ntoy/0003")
        series.write_text(text)
        self.assertIn("no change", self.refresh().stdout)
        self.script("refresh", "--check")
        # a new commit goes to the wave of the one before it, a reworded one stays in its own
        self.git(self.work, "commit", "-q", "--amend", "-m", "toy: return more, the last part\n\nWhy.")
        tip = self.git(self.work, "rev-parse", "HEAD")
        self.git(self.work, "checkout", "-q", "HEAD~1")
        self.change(self.work, "return 8;", "return 80;", "toy: inserted")
        self.git(self.work, "cherry-pick", tip)
        self.refresh()
        text = text.replace("toy/0003-toy-return-more-part-3", "toy/0004-toy-return-more-the-last-part")
        self.assertEqual(series.read_text(),
                         text.replace("# wave: two", "toy/0003-toy-inserted.patch\n# wave: two"))

    def test_a_patch_with_another_subject_and_date_stays_in_its_wave(self):
        series = self.repo / "series"
        text = series.read_text().replace("toy/0003", "# wave: two\n# needs: nothing\ntoy/0003")
        series.write_text(text)
        self.git(self.work, "commit", "-q", "--amend", "--date=2026-03-04T00:00:00Z",
                 "-m", "toy: return more, the last part\n\nWhy.")
        self.refresh()
        self.assertEqual(series.read_text(), text.replace("part-3", "the-last-part"))

    def test_a_wave_in_two_parts_is_refused(self):
        series = self.repo / "series"
        series.write_text(series.read_text().replace("toy/0001", "# wave: one\ntoy/0001")
                          .replace("toy/0003", "# wave: two\ntoy/0003"))
        before = self.patches()
        self.git(self.work, "reset", "-q", "--hard", "HEAD~3")
        for number in (1, 3, 2):
            self.change(self.work, f"return {number};", f"return {number}0;",
                        f"toy: return more, part {number}")
        done = self.refresh(expect=1)
        self.assertIn("wave one of topic toy would be in two parts, of which the second begins with "
                      "toy/0003-toy-return-more-part-2.patch: move the line", done.stderr)
        self.assertEqual(self.patches(), before)
        # the line moves to where the commit is
        lines = [x for x in series.read_text().split("\n") if "0002" not in x]
        series.write_text("\n".join([*lines[:-1], "toy/0002-toy-return-more-part-2.patch", ""]))
        self.refresh()
        self.assertEqual([x for x in series.read_text().split("\n") if x][-4:], [
            "toy/0001-toy-return-more-part-1.patch", "# wave: two", "toy/0002-toy-return-more-part-3.patch",
            "toy/0003-toy-return-more-part-2.patch"])

    def test_check_looks_at_the_waves(self):
        series = self.repo / "series"
        series.write_text(series.read_text().replace("# tree: toys\n", ""))
        self.assertIn("series: toy has no '# tree:' line", self.script("refresh", "--check", expect=1).stderr)
        series.write_text(series.read_text().replace("# list:", "# lists:"))
        self.assertIn("series:3: unknown key 'lists'", self.script("refresh", "--check", expect=1).stderr)

    def test_first_commit_without_a_topic(self):
        shutil.rmtree(self.repo / "patches")
        (self.repo / "series").write_text("# base: v7.3\n")
        self.assertIn("--start TOPIC=REV", self.refresh(expect=1).stderr)
        self.refresh("--start", "new=HEAD~2")
        self.assertEqual(self.names()[0], "new/0001-toy-return-more-part-1.patch")

    def test_another_stable_release_changes_nothing(self):
        before = self.patches()
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        (user / "drivers/toy/toy.c").write_text(
            "/* a stable\n * release\n */\n" + (user / "drivers/toy/toy.c").read_text())
        self.commit(user, "Linux 7.3.1")
        self.git(user, "tag", "v7.3.1")
        self.script("apply", user)
        done = self.script("refresh", "--tree", user, "--base", "v7.3.1")
        self.assertNotIn("# base", done.stderr)
        self.assertEqual(self.patches(), before)
        self.script("refresh", "--tree", user, "--base", "v7.3.1", "--all")
        self.assertNotEqual(self.patches(), before)

    def test_a_newer_release_is_named(self):
        self.change(self.linux, "PATCHLEVEL = 3", "PATCHLEVEL = 4", "Linux 7.4", name="Makefile")
        self.git(self.linux, "tag", "v7.4")
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        self.git(user, "checkout", "-q", "v7.3")
        self.script("apply", user)
        self.git(user, "rebase", "-q", "--onto", "v7.4", "v7.3")
        done = self.script("refresh", "--tree", user, "--base", "v7.4")
        self.assertRegex(done.stderr, "series still says '# base: v7.3', and [0-9a-f]{12} is 7.4;")

    def test_check_passes_over_index_lines(self):
        path = self.repo / "patches" / self.names()[0]
        text = path.read_text()
        path.write_text(text.replace("index ", "index 0123"))
        self.script("refresh", "--check")

    def test_check_shows_a_difference(self):
        path = self.repo / "patches" / self.names()[1]
        path.write_text(path.read_text().replace("Because it is a test.", "Because  "))
        done = self.script("refresh", "--check", expect=1)
        self.assertIn("-Because  \n+Because\n", done.stdout)
        self.assertIn("scripts/refresh --check", done.stderr)

    def test_check_finds_a_stray_file_and_a_wrong_number(self):
        stray = self.repo / "patches/toy/0009-stray.patch"
        stray.write_text("nothing\n")
        self.assertIn("0009-stray.patch", self.script("refresh", "--check", expect=1).stdout)
        stray.unlink()
        old = self.repo / "patches" / self.names()[2]
        old.rename(old.with_name("0007-toy-return-more-part-3.patch"))
        series = self.repo / "series"
        series.write_text(series.read_text().replace("0003", "0007"))
        self.assertIn("0007", self.script("refresh", "--check", expect=1).stdout)

    def test_check_names_the_patch_that_does_not_apply(self):
        path = self.repo / "patches" / self.names()[1]
        path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
        done = self.script("refresh", "--check", expect=1)
        self.assertIn("patches/" + self.names()[1], done.stderr)

    @slow
    def test_refusals(self):
        self.assertIn("uncommitted", self.dirty().stderr)
        self.git(self.work, "checkout", "-q", "-f")
        self.assertIn("not a git worktree",
                      self.script("refresh", "--tree", "/nonexistent", expect=125).stderr)
        self.assertIn("scripts/apply", self.script("refresh", expect=125).stderr)
        self.assertIn("not TOPIC=REV", self.refresh("--start", "x", expect=1).stderr)
        self.assertIn("not TOPIC=REV", self.refresh("--start", "..=HEAD", expect=1).stderr)
        self.assertIn("is no commit of the series", self.refresh("--start", "x=base", expect=1).stderr)
        done = self.refresh("--base", "HEAD", "--check", expect=1)
        self.assertIn("--check takes no other option", done.stderr)

    def dirty(self):
        (self.work / "COPYING").write_text("mine\n")
        return self.refresh(expect=1)

    def test_unrelated_tree(self):
        other = self.top / "other"
        self.git(self.top, "init", "-q", other)
        (other / "x").write_text("x")
        self.commit(other, "x")
        before = self.patches()
        self.assertIn("--base REV", self.script("refresh", "--tree", other, expect=1).stderr)
        self.assertEqual(self.patches(), before)

    def test_a_name_that_is_not_ascii(self):
        self.git(self.work, "commit", "-q", "--amend", "--author=Änne Ö <ae@toy.example>",
                 "-m", "toy: ünïcode – dash\n\nWhy: „so“.")
        self.refresh()
        self.script("refresh", "--check")
        text = self.patches()["patches/" + self.names()[2]].decode()
        self.assertIn("From: Änne Ö <ae@toy.example>\n", text)
