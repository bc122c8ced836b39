# SPDX-License-Identifier: GPL-2.0
"""BASE= scripts/apply: what becomes of each patch on another base."""

import re
import unittest

from marks import slow
from scripts_fixture import Fixture


class Newer(Fixture):
    """BASE=: a later kernel that has some of the series, and changed what other patches touch."""

    def setUp(self):
        super().setUp()
        self.work = self.develop(6)
        self.user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, self.user)

    def patch(self, number):
        return next((self.repo / "patches/toy").glob(f"000{number}-*"))

    def newer(self, *words, expect=0, **kwargs):
        """{step: the rest of its line}, and all that was said."""
        before = self.git(self.user, "for-each-ref"), self.git(self.user, "status", "--porcelain")
        done = self.script("apply", *words, expect=expect,
                           **{"BASE": "v7.4-rc2", "LINUX": self.user, **kwargs})
        after = self.git(self.user, "for-each-ref"), self.git(self.user, "status", "--porcelain")
        self.assertEqual(after, before)
        found = re.findall(r"(?m)^ +(\d+)  (.*)$", done.stdout)
        return {int(step): re.sub(" +", " ", rest) for step, rest in found}, done.stdout + done.stderr

    def develop_upstream(self):
        """Step 1 is there as another's commit, step 2 was made by another, and the lines of
        step 5, near those of step 4, were removed."""
        self.git(self.user, "am", "-q", self.patch(1))
        self.git(self.user, "commit", "-q", "--amend", "-m", "toy: somebody else's words")
        self.change(self.user, "return 2;", "return 20;", "toy: more", name="drivers/toy/toy.c")
        text = (self.user / "drivers/toy/toy.c").read_text()
        text = text.replace("int toy_5(void)\n{\n\treturn 5;\n}\n", "/* five is gone */\n")
        (self.user / "drivers/toy/toy.c").write_text(text)
        (self.user / "Makefile").write_text((self.user / "Makefile").read_text().replace(
            "PATCHLEVEL = 3", "PATCHLEVEL = 4").replace("EXTRAVERSION =", "EXTRAVERSION = -rc2"))
        self.commit(self.user, "Linux 7.4-rc2")
        self.git(self.user, "tag", "v7.4-rc2")

    @slow
    def test_what_becomes_of_each_patch(self):
        self.develop_upstream()
        found, said = self.newer(expect=1)
        self.assertRegex(found[1], r'^upstream toy/0001-\S+: by its patch-id it is [0-9a-f]{12} '
                         r'\("toy: somebody else\'s words"\)$')
        self.assertRegex(found[2], r"^upstream toy/0002-\S+: by its patch-id it is [0-9a-f]{12} "
                         r'\("toy: more"\)$')
        self.assertRegex(found[3], r"^applies toy/0003-\S+$")
        self.assertRegex(found[4], r"^three-way merge toy/0004-\S+$")
        self.assertRegex(found[5], r"^conflicts toy/0005-\S+: drivers/toy/toy\.c$")
        self.assertRegex(found[6], r"^(applies|three-way merge) toy/0006-\S+$")
        self.assertRegex(said, r"v7\.4-rc2 \(7\.4-rc2\): \d applies, \d three-way merge, 2 upstream, 1 con")
        # what applies can be had, and is what was said
        line = re.search(r"git fetch \S+ refs/series/newer/tip", said).group()
        self.command("sh", "-ec", line, cwd=self.user)
        text = self.git(self.user, "show", "FETCH_HEAD:drivers/toy/toy.c")
        self.assertEqual([n for n in range(1, 7) if f"return {n}0;" in text], [1, 2, 3, 4, 6])
        self.assertIn("five is gone", text)
        self.assertEqual(self.git(self.user, "log", "--format=%s", "v7.4-rc2..FETCH_HEAD").splitlines(),
                         [f"toy: return more, part {n}" for n in (6, 4, 3)])
        # and nothing of it stays in the way
        self.assertEqual(self.newer(expect=1)[0], found)
        self.script("apply")
        self.assertEqual(self.tree(self.cache / "tree"), self.tree(self.work))

    @slow
    def test_the_configuration_of_the_tree_changes_nothing(self):
        """Nor does a path that a URL would have to quote."""
        self.develop_upstream()
        found, _ = self.newer(expect=1)
        for name, value in (("color.ui", "always"), ("diff.noprefix", "true"), ("diff.context", "7"),
                            ("diff.mnemonicPrefix", "true"), ("diff.orderFile", "nowhere"),
                            ("diff.algorithm", "patience"), ("diff.interHunkContext", "9")):
            self.git(self.user, "config", name, value)
        self.git(self.user, "config", "transfer.hideRefs", "refs/tags")
        odd = self.top / "a%20b"
        self.user.rename(odd)
        self.user = odd
        self.assertEqual(self.newer(expect=1)[0], found)

    @slow
    def test_git_log_follows_no_file(self):
        """With log.follow it refuses the several files of a series."""
        self.develop_upstream()
        found, _ = self.newer(expect=1)
        self.git(self.user, "config", "log.follow", "true")
        self.assertEqual(self.newer(expect=1)[0], found)

    def test_upstream_without_history(self):
        """Of a shallow tree, and of a commit that does more, the reverse of the patch tells it."""
        self.change(self.user, "return 1;", "return 10;", "toy: two at once")
        self.change(self.user, "return 3;", "return 30;", "toy: three")
        self.git(self.user, "reset", "-q", "--soft", "v7.3")
        self.commit(self.user, "toy: both")
        self.git(self.user, "tag", "v7.4-rc2")
        found, _ = self.newer("--step", "3")
        self.assertRegex(found[1], "^upstream .*: its reverse fits$")
        self.assertRegex(found[3], "^upstream .*: its reverse fits$")
        shallow = self.top / "shallow"
        self.git(self.top, "clone", "-q", "--depth=1", "--branch", "v7.4-rc2", f"file://{self.user}", shallow)
        again, said = self.newer("--step", "3", LINUX=shallow)
        self.assertEqual(again, found)
        self.assertIn("has no history from v7.3 to v7.4-rc2: what is upstream is told by the reverse", said)

    @slow
    def test_a_file_that_was_renamed(self):
        self.git(self.user, "mv", "drivers/toy/toy.c", "drivers/toy/tool.c")
        self.commit(self.user, "toy: a better name")
        self.git(self.user, "tag", "v7.4-rc2")
        found, _ = self.newer("--step", "2")
        self.assertRegex(found[1], "^three-way merge ")
        self.assertRegex(found[2], "^three-way merge ")
        linux = self.cache / "linux.git"
        text = self.git(linux, "show", "refs/series/newer/tip:drivers/toy/tool.c")
        self.assertIn("return 20;", text)

    def test_the_base_itself(self):
        self.git(self.user, "tag", "v7.4-rc2")
        found, said = self.newer()
        self.assertEqual({rest.split()[0] for rest in found.values()}, {"applies"})
        self.assertIn("v7.4-rc2 (7.3): 6 applies\n", said)
        self.assertEqual(self.tree(self.cache / "linux.git", "refs/series/newer/tip"), self.tree(self.work))

    def test_wrong_use(self):
        done = self.script("apply", BASE="v7.4-rc2", expect=125)
        self.assertIn("BASE=v7.4-rc2 needs LINUX=DIR", done.stderr)
        done = self.script("apply", BASE="v7.9", LINUX=self.user, expect=125)
        self.assertIn(f"LINUX={self.user} has no v7.9; fetch it there", done.stderr)
        done = self.script("apply", self.user, BASE="v7.3", LINUX=self.user, expect=1)
        self.assertIn("changes no tree", done.stderr)


if __name__ == "__main__":
    unittest.main()
