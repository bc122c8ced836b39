# SPDX-License-Identifier: GPL-2.0
"""scripts/send: the dry run, and real mails over SMTP on loopback back into git am."""

import os
import pathlib
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from marks import slow
from scripts_fixture import TOP, Fixture
from smtp_sink import Sink

sys.path.insert(0, str(TOP / "scripts"))
from lib import mailserver, posting  # pylint: disable=wrong-import-position

LETTER = ("toy: return more\n\nWhy all of this is done,\nin two lines.\n\nBase: v7.3\n\n"
          "Changes in v2: none.\nChanges in v3: none.\n")
SUBJECTS = ["[PATCH 0/3] toy: return more"] + [
    f"[PATCH {n}/3] toy: return more, part {n}" for n in (1, 2, 3)]

# What a user's git may say about diffs, formats, hooks and signatures.
OWN_WAYS = """\
[diff]
	context = 7
	interHunkContext = 9
	suppressBlankEmpty = true
	statGraphWidth = 1
	orderFile = /nonexistent/order
	noprefix = true
	mnemonicPrefix = true
	external = /bin/false
	algorithm = patience
	renames = false
	relative = true
[format]
	subjectPrefix = SOMETHING
	noprefix = true
	signOff = true
	pretty = oneline
	attach = true
	useAutoBase = true
[tag]
	gpgSign = true
	forceSignAnnotated = true
[commit]
	gpgSign = true
	cleanup = strip
[core]
	hooksPath = {hooks}
	abbrev = 5
	commentChar = W
[color]
	ui = always
[log]
	showSignature = true
[am]
	messageid = true
[user]
	signingKey = nobody
[b4]
	send-prefixes = NEVER
	send-endpoint-web = https://web.invalid/
	prep-cover-template = /nonexistent/template
"""


def bodies(mails):
    """What of mails does not depend on the time and the chance of Message-Ids."""
    return [re.sub(rb"(?m)^(Date|Message-Id|In-Reply-To|References|X-B4-Tracking):.*(\n .*)*\n", b"",
                   content) for content in mails]


class Send(Fixture):

    def setUp(self):
        super().setUp()
        if not shutil.which("b4"):
            self.fail("b4 is needed (Debian package b4)")
        self.work = self.develop()
        (self.repo / "COVER-LETTER.txt").write_text(LETTER)
        self.config("[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n")

    def config(self, text):
        with open(self.top / ".gitconfig", "a", encoding="utf-8") as stream:
            stream.write(text)

    def serve(self, section="sendemail"):
        """A mail server on loopback that the user's git knows."""
        sink = Sink()
        self.addCleanup(sink.close)
        self.config(f"[{section}]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = {sink.port}\n")
        return sink

    def send(self, *words, topic="toy", **kwargs):
        return self.script("send", *(["--topic", topic] if topic else []), *words, **kwargs)

    def patch(self, number):
        return next((self.repo / "patches/toy").glob(f"000{number}-*"))

    def tags(self):
        return self.git(self.cache / "linux.git", "tag", "--list").split()

    def test_dry_run(self):
        sink = self.serve()
        done = self.send("--output", self.top / "mails", "--cc", "third@toy.example")
        self.assertIn("To: Toy Keeper <keeper@toy.example>", done.stdout)
        self.assertIn("[PATCH 0/3] toy: return more", done.stdout)
        self.assertIn("[PATCH 3/3] toy: return more, part 3", done.stdout)
        self.assertIn("nothing was sent", done.stdout)
        files = sorted((self.top / "mails").iterdir())
        self.assertEqual(len(files), 4)
        cover = files[0].read_text()
        self.assertIn("third@toy.example", cover)
        self.assertIn("list@toy.example", cover)
        self.assertIn("Why all of this is done,\nin two lines.", cover)
        self.assertIn("Base: v7.3", cover)
        self.assertIn("drivers/toy/toy.c | 6 +++---", cover)
        patch = files[1].read_text()
        self.assertEqual(patch.count("Signed-off-by: A Submitter <submitter@toy.example>"), 1)
        self.assertIn("From: A Developer <developer@toy.example>", patch)
        self.assertEqual(sink.mails, [])
        self.assertNotIn("sent/toy-v1", self.tags())

    @slow
    def test_patches_that_change_meanwhile(self):
        """The mails have the patches as they were read together with the series."""
        self.tool("git", f'case "$*" in\n*checkout*b4/*) sed -i s/30/31/ {self.patch(3)} ;;\nesac\n'
                  'exec "$real" "$@"\n')
        self.send("--output", self.top / "mails")
        self.assertIn("+\treturn 31;", self.patch(3).read_text())
        self.assertIn("+\treturn 30;", sorted((self.top / "mails").iterdir())[3].read_text())

    @slow
    def test_an_interrupted_dry_run_can_be_repeated(self):
        self.tool("b4", '"$real" "$@"; kill -s INT "$PPID"; sleep 9\n')
        done = self.send("--output", self.top / "mails", expect=125)
        self.assertIn("interrupted by SIGINT; to go on, repeat: scripts/send --topic toy --output",
                      done.stderr)
        self.tool("b4", 'exec "$real" "$@"\n')
        self.send("--output", self.top / "mails")
        self.assertEqual(len(list((self.top / "mails").iterdir())), 4)

    def base_commit(self):
        return self.git(self.cache / "linux.git", "rev-parse", "base")

    def waves(self):
        """Part the topic into three waves: the second needs nothing, the third both."""
        text = (self.repo / "series").read_text()
        headings = "", "# list: two@toy.example\n# needs: nothing\n", "# tree: others\n"
        for number, lines in enumerate(headings, 1):
            text = text.replace(f"toy/000{number}", f"# wave: w{number}\n{lines}toy/000{number}")
        (self.repo / "series").write_text(text)
        (self.repo / "COVER-LETTER.txt").write_text(LETTER + "".join(
            f"\ntoy/w{number}\n======\n\ntoy: letter {number}\n\nOf wave {number}.\n" for number in (1, 3)))

    @slow
    def test_without_a_topic_it_says_what_goes_where(self):
        done = self.send(topic=None, expect=1)
        self.assertRegex(done.stderr, r"a wave at a time; choose one:\n"
                         r"  scripts/send --topic toy  3  toys  list@toy\.example\n")
        self.waves()
        for topic in (None, "toy"):
            done = self.send(topic=topic, expect=1)
            self.assertRegex(done.stderr, r"--topic toy --wave w2  1  toys +two@toy\.example\n"
                             r"  scripts/send --topic toy --wave w3  1  others  list@toy\.example\n"
                             r" +after toy/w1, toy/w2\n")
        self.assertIn("no wave 'w4'", self.send("--wave", "w4", expect=1).stderr)
        self.assertIn("there are: toy", self.send(topic="nothing", expect=1).stderr)
        self.assertFalse((self.cache / "send-tree").exists())
        (self.repo / "series").write_text((self.repo / "series").read_text().replace("# tree: toys\n", ""))
        self.assertIn("toy/w1 has no '# tree:' line", self.send("--wave", "w3", expect=1).stderr)

    def ids(self, *revisions):
        """The patch-ids of commits of the branch."""
        shown = [self.git(self.work, "show", revision) + "\n" for revision in revisions]
        return [self.git(self.work, "patch-id", "--stable", data=text).split()[0] for text in shown]

    def mail(self, wave, *words):
        """The one mail of a wave, and what the command printed."""
        place = self.top / f"mails-{wave}-{len(list(self.top.glob('mails-*')))}"
        done = self.send("--wave", wave, "--output", place, *words)
        path, = place.iterdir()
        return path.read_text(), done.stdout

    @slow
    def test_a_wave_with_what_it_needs(self):
        self.waves()
        text, said = self.mail("w3")
        self.assertIn("Subject: [PATCH] toy: return more, part 3", text)
        self.assertIn("Of wave 3.", text)
        self.assertNotIn("Of wave 1.", text)
        self.assertIn("This is for the tree others. It applies to v7.3 with these:\n\n"
                      "  toy: return more, part 1 (1 patch, for toys)\n"
                      "  toy: return more, part 2 (1 patch, for toys)\n", text)
        needs = "".join(f"prerequisite-patch-id: {name}\n" for name in self.ids("HEAD~2", "HEAD~1"))
        self.assertIn(f"\nbase-commit: {self.base_commit()}\n{needs}change-id: 20260101-toy-w3-", text)
        self.assertIn("toy/w3 is for the tree others.\n"
                      "It needs what has not been sent from here: toy/w1, toy/w2.\n", said)
        self.assertIn("has no section toy/w2", self.send("--wave", "w2", expect=1).stderr)

    @slow
    def test_a_wave_that_needs_nothing(self):
        self.waves()
        reason = f"{'a' * 58} drm: what b4 would take for a trailer"
        self.write(self.repo / "ci/proofs.toml", "".join(
            f'[[proof]]\npatch = "toy/toy-return-more-part-{number}"\nnothing = "{reason}"\n'
            for number in (1, 2, 3)))
        text, said = self.mail("w2", "--cover", self.repo / "COVER-LETTER.txt")
        self.assertIn(f"\n  1/1  none; {'a' * 58}\n       drm: what b4 would take for a trailer\n", text)
        self.assertNotIn("prerequisite-patch-id", text)
        self.assertIn("This is for the tree toys. It applies to v7.3.\n", text)
        self.assertRegex(said, r"Cc: [^\n]*(\n +[^\n]*)*two@toy\.example")
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        self.git(user, "am", "-q", data=text)
        self.assertIn("return 20;", (user / "drivers/toy/toy.c").read_text())
        self.assertIn("return 1;", (user / "drivers/toy/toy.c").read_text())

    @slow
    def test_a_wave_names_the_mails_of_what_it_needs(self):
        self.waves()
        sink = self.serve()
        self.send("--wave", "w1", "--send", "--yes")
        name = sink.mails[0].message["Message-Id"].strip("<>")
        text, said = self.mail("w3")
        self.assertIn("  toy: return more, part 1 (1 patch, for toys)\n"
                      f"    https://lore.kernel.org/r/{name}\n", text)
        self.assertIn("from here: toy/w2.\n", said)
        self.assertIn("sent/toy-w1-v1", self.tags())
        done = self.send("--wave", "w1", "--send", "--revision", "7", "--yes", expect=1)
        self.assertIn("has no line 'Changes in v7:'", done.stderr)

    @slow
    def test_what_goes_on_names_the_wave(self):
        self.waves()
        sink = self.serve()
        sink.unwanted = {"list@toy.example"}
        done = self.send("--wave", "w1", "--send", "--yes", expect=125)
        self.assertIn("nothing was sent", done.stderr)
        sink.unwanted, sink.drops = set(), True
        done = self.send("--wave", "w1", "--send", "--yes", expect=125)
        self.assertIn("scripts/send --topic toy --wave w1 --continue", done.stderr)

    def test_the_cases_that_show_it(self):
        long = "x/main/" + "n" * 60
        shown = ('cases = ["x/main/unit/a", "x/main/unit/b", "x/main/unit/c"]',
                 f'adds = ["x/main/new", "{long}"]', 'nothing = "a comment"')
        self.write(self.repo / "ci/proofs.toml", "".join(
            f'[[proof]]\npatch = "toy/toy-return-more-part-{number}"\n{line}\n'
            for number, line in enumerate(shown, 1)))
        self.send("--output", self.top / "mails")
        text = sorted((self.top / "mails").iterdir())[0].read_text()
        self.assertIn("\n  1/3  x/main/unit/a, x/main/unit/b, and 1 more\n"
                      f"  2/3  + x/main/new,\n       + {long}\n  3/3  none; a comment\n", text)

    @slow
    def test_what_has_changed(self):
        sink = self.serve()
        self.send("--send", "--yes")
        self.change(self.work, "return 30;", "return 33;", "toy: mend it")
        self.git(self.work, "reset", "-q", "--soft", "HEAD~2")
        self.git(self.work, "commit", "-q", "-m", "toy: return more, part 3\n\nBecause it is a test.")
        self.script("refresh", "--tree", self.work)
        self.send("--send", "--yes")
        text = sink.mails[4].content.decode()
        self.assertIn("Range-diff against v1:\n1:  ", text)
        self.assertRegex(text, r"\n3:  [0-9a-f]+ ! 3:  [0-9a-f]+ toy: return more, part 3\n")
        self.assertIn("++\treturn 33;", text)
        (self.repo / "COVER-LETTER.txt").write_text(LETTER.replace("Changes in v3: none.\n", ""))
        self.assertIn("no line 'Changes in v3:'", self.send().stdout)
        done = self.send("--send", "--yes", expect=1)
        self.assertIn("cover letter of toy has no line 'Changes in v3:'", done.stderr)
        (self.repo / "COVER-LETTER.txt").write_text(LETTER + "TODO: more\n")
        self.assertIn("still has a TODO", self.send("--send", "--yes", expect=1).stderr)
        self.send("--send", "--reflect", "--yes")
        self.assertEqual(len(sink.mails), 12)

    @slow
    def test_a_base_that_nobody_has(self):
        linux = self.cache / "linux.git"
        own = self.git(linux, "commit-tree", "-m", "Linux 7.3", "base^{tree}",
                       GIT_AUTHOR_EMAIL="base@localhost")
        self.git(linux, "update-ref", "refs/heads/base", own)
        sink = self.serve()
        done = self.send("--send", "--yes", expect=1)
        self.assertIn("nobody else has it", done.stderr)
        self.assertEqual(sink.mails, [])
        self.assertIn("--send needs --reflect", self.send().stdout)
        self.send("--send", "--reflect", "--yes")
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)
        self.assertNotIn(b"base-commit", b"".join(m.content for m in sink.mails))

    @slow
    def test_a_topic_has_a_letter_of_its_own(self):
        self.change(self.work, "return 7;", "return 70;", "toy: other topic")
        self.change(self.work, "return 6;", "return 60;", "toy: other topic, more")
        self.script("refresh", "--tree", self.work, "--start", "other=HEAD~1")
        self.assertIn("other has no '# tree:' line", self.send(topic="other", expect=1).stderr)
        series = self.repo / "series"
        series.write_text(series.read_text().replace(
            "# topic: other\n", "# topic: other\n# prefix: RFC\n# tree: others\n# list: list@toy.example\n"))
        done = self.send(topic="other", expect=1)
        self.assertIn("--cover FILE", done.stderr)
        (self.repo / "patches/other/COVER").write_text("toy: the other\n\nIts letter.\n")
        done = self.send("--revision", "2", topic="other")
        self.assertIn("[PATCH RFC v2 0/2] toy: the other", done.stdout)
        self.assertIn("(scripts/send --topic other --send does)", done.stdout)
        done = self.send("--prefix", "RESEND", "--prefix", "RFC", "--revision", "2", topic="other")
        self.assertIn("[PATCH RFC RESEND v2 2/2] toy: other topic, more", done.stdout)
        self.script("refresh", "--check")  # which takes the letter for no patch
        done = self.send("--cover", self.repo / "COVER-LETTER.txt")
        self.assertIn("[PATCH 0/3] toy: return more", done.stdout)

    @slow
    def test_received_mails_give_the_same_tree(self):
        sink = self.serve()
        self.send("--send", "--yes")
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)
        cover = sink.mails[0].message
        for mail in sink.mails:
            self.assertIn("keeper@toy.example", mail.message["To"])
            self.assertIn("list@toy.example", mail.message["Cc"])
            self.assertEqual(mail.sender, "submitter@toy.example")
            self.assertLessEqual({"keeper@toy.example", "list@toy.example"}, set(mail.recipients))
        for mail in sink.mails[1:]:
            self.assertEqual(mail.message["In-Reply-To"], cover["Message-Id"])
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        files = []
        for number, mail in enumerate(sink.mails[1:]):
            files.append(self.top / f"{number}.eml")
            files[-1].write_bytes(mail.content)
        self.git(user, "am", "-q", *files)
        self.assertEqual(self.tree(user), self.tree(self.work))
        log = self.git(user, "log", "--format=%an <%ae>%n%B", "v7.3..")
        self.assertEqual(log.count("A Developer <developer@toy.example>"), 3)
        self.assertEqual(log.count("Signed-off-by: A Submitter <submitter@toy.example>"), 3)
        # what was sent is tagged, without the commit of the cover letter
        sent = "sent/toy-v1"
        linux = self.cache / "linux.git"
        self.assertEqual(self.tree(linux, f"{sent}^{{commit}}"), self.tree(user))
        self.assertEqual(len(self.git(linux, "rev-list", f"base..{sent}").split()), 3)
        self.assertIn("Why all of this", self.git(linux, "cat-file", "tag", sent))

    @slow
    def test_version_after_version(self):
        """Also where no tag can be made, and after versions that b4 tagged in earlier days."""
        linux = self.cache / "linux.git"
        self.config("[tag]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n")
        sink = self.serve()
        self.send("--send", "--yes")
        self.assertIn("sent/toy-v1", self.tags())
        self.git(linux, "tag", "-d", "sent/toy-v1")
        self.git(linux, "update-ref", "refs/tags/sent", "base")  # there can be no sent/... now
        done = self.send("--send", "--yes")
        self.assertIn("no tag sent/toy-v2 could be made", done.stderr)
        self.send("--send", "--yes")
        self.assertEqual([m.subject.split("]")[0] for m in sink.mails[::4]],
                         ["[PATCH 0/3", "[PATCH v2 0/3", "[PATCH v3 0/3"])
        done = self.send("--send", "--yes", "--revision", "2", expect=1)
        self.assertIn("version 2 of toy is out", done.stderr)
        self.assertEqual([len(sink.mails), len(list(self.cache.glob("outbox/*-v2/*.eml")))], [12, 4])
        self.git(linux, "tag", "-d", "sent")
        for name in ("sent/20260101-toy-0123456789ab-v6", "sent/toy-v5",
                     "sent/20260101-other-toy-0123456789ab-v9"):
            self.git(linux, "update-ref", f"refs/tags/{name}", "base")
        self.assertIn("[PATCH v7 1/3]", self.send().stdout)

    @slow
    def test_all_is_out_when_a_signal_comes(self):
        sink = self.serve()
        self.tool("git", 'case " $* " in *" tag -a "*) kill -s TERM "$PPID"; sleep 0.2 ;; esac\n'
                  'exec "$real" "$@"\n')
        self.assertIn("4 mails sent", self.send("--send", "--yes").stdout)
        self.assertEqual(len(sink.mails), 4)
        self.assertIn("sent/toy-v1", self.tags())

    @slow
    def test_all_is_out_when_a_kill_comes(self):
        """The repeat sends nothing twice; what was changed since goes out as version 2."""
        sink = self.serve()
        kill = ('case " $* " in *" tag -a "*) kill -s KILL "$PPID"; exit ;; esac\n'
                'exec "$real" "$@"\n')
        for change in (False, True):
            with self.subTest(change=change):
                self.tool("git", kill)
                self.send("--send", "--yes", expect=-9)
                before = len(sink.mails)
                self.tool("git", 'exec "$real" "$@"\n')
                if change:
                    (self.repo / "COVER-LETTER.txt").write_text(LETTER + "Better.\n")
                done = self.send("--send", "--yes")
                self.assertIn(f"had sent all of version {1 + change}", done.stderr)
                self.assertIn(f"sent/toy-v{1 + change}", self.tags())
                self.assertEqual(len(sink.mails) - before, 4 if change else 0)
        self.assertIn("[PATCH v3 0/3] toy: return more", [m.subject for m in sink.mails])

    @slow
    def test_nothing_of_the_users_git_changes_the_mails(self):
        self.send("--output", self.top / "plain")
        hooks = self.top / "hooks"
        for name in ("pre-commit", "commit-msg", "applypatch-msg", "post-checkout",
                     "reference-transaction"):
            self.write(hooks / name, "#!/bin/sh\nexit 1\n")
            (hooks / name).chmod(0o755)
        self.config(OWN_WAYS.format(hooks=hooks))
        user = "[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n"
        (self.top / ".gitconfig").write_text(
            (self.top / ".gitconfig").read_text().replace(user, ""))
        self.send("--output", self.top / "own", COLUMNS=40, GIT_DIR="/nonexistent",
                    GIT_INDEX_FILE=self.top / "index", GIT_DIFF_OPTS="-u9",
                    GIT_EXTERNAL_DIFF="/bin/false", GIT_CONFIG_PARAMETERS="'diff.context=8'",
                    # who submits is known by these variables alone
                    GIT_CONFIG_COUNT=2, GIT_CONFIG_KEY_0="user.name", GIT_CONFIG_VALUE_0="A Submitter",
                    GIT_CONFIG_KEY_1="user.email", GIT_CONFIG_VALUE_1="submitter@toy.example")
        plain, own = (bodies(p.read_bytes() for p in sorted((self.top / name).glob("*.eml")))
                      for name in ("plain", "own"))
        self.assertEqual(len(plain), 4)
        self.assertEqual(own, plain)

    @slow
    def test_a_server_that_stops_half_way(self):
        sink = self.serve()
        sink.most = 2
        done = self.send("--send", "--yes", expect=125)
        self.assertIn("451 not now", done.stderr)
        self.assertRegex(done.stderr, r"out:\n  \[PATCH 0/3\].*\n  \[PATCH 1/3\].*\n"
                         r"not out:\n  \[PATCH 2/3\]")
        self.assertIn("scripts/send --topic toy --continue", done.stderr)
        sink.most, sink.drops = 1000, True
        done = self.send("--continue", "--yes", expect=125)
        self.assertRegex(done.stderr, r"perhaps out:\n  \[PATCH 2/3\].*\nnot out:\n  \[PATCH 3/3\]")
        sink.drops = False
        self.assertIn("is partly sent", self.send("--send", "--yes", expect=1).stderr)
        self.assertEqual(len(sink.mails), 2)
        self.send("--continue", "--yes")
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)
        for mail in sink.mails[1:]:
            self.assertEqual(mail.message["In-Reply-To"], sink.mails[0].message["Message-Id"])
        self.assertIn("sent/toy-v1", self.tags())
        self.assertIn("left to send", self.send("--continue", "--yes", expect=1).stderr)
        self.assertIn("[PATCH v2 1/3]", self.send().stdout)

    @slow
    def test_an_address_that_the_server_refuses(self):
        sink = self.serve()
        sink.unwanted = {"list@toy.example"}
        done = self.send("--send", "--yes", expect=125)
        self.assertIn("list@toy.example: 550 no such user here", done.stderr)
        self.assertIn("nothing was sent", done.stderr)
        self.assertEqual(sink.mails, [])
        self.send("--send", "--yes", "--not-to", "List@toy.example")
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)  # and it is version 1
        self.assertNotIn(b"list@toy", b"".join(m.content for m in sink.mails))

    @slow
    def test_a_command_that_takes_mails(self):
        box = self.top / "box"
        self.write(self.top / "take", f"#!/bin/sh\nmkdir -p {box}\necho \"$@\" >>{box}/calls\n"
                   f"[ -z \"$HOLD\" ] || exit 75\ncat >{box}/$(ls {box} | wc -l)\n")
        (self.top / "take").chmod(0o755)
        self.config(f"[sendemail]\n\tsendmailCmd = \"HOLD= {self.top}/take -a 'my account'\"\n")
        self.send("--send", "--yes")
        calls = (box / "calls").read_text().splitlines()
        self.assertEqual(len(calls), 4)
        self.assertRegex(calls[0], r"^-a my account -i -f submitter@toy.example .*keeper@toy.example")
        self.assertIn(b"Subject: [PATCH 0/3]", (box / "1").read_bytes())
        (self.top / ".gitconfig").write_text(
            "[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n"
            f"[sendemail]\n\tsmtpServer = {self.top}/take --once\n")
        done = self.send("--send", "--yes", expect=125, HOLD="yes")
        self.assertIn("take --once ended with 75", done.stderr)
        self.assertIn("nothing was sent", done.stderr)

    def test_an_identity_and_reflect(self):
        sink = self.serve('sendemail "work"')
        self.config("[b4]\n\tsendemail-identity = work\n[sendemail]\n\tfrom = Me <me@toy.example>\n")
        self.send("--send", "--reflect", "--yes")
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)
        for mail in sink.mails:
            self.assertEqual((mail.sender, mail.recipients), ("me@toy.example", ["me@toy.example"]))
            self.assertIn("keeper@toy.example", mail.message["To"])
            self.assertEqual(mail.message["From"], "Me <me@toy.example>")
        self.assertNotIn("sent/toy-v1", self.tags())

    @slow
    def test_the_question_on_a_terminal(self):
        sink = self.serve()
        for answer, expect in (("no\n", 1), ("yes\nno\n", 1), ("yes\nyes\n", 0)):
            master, slave = pty.openpty()
            os.write(master, answer.encode())
            done = subprocess.run([self.repo / "scripts/send", "--topic", "toy", "--send"], stdin=slave,
                                  text=True, capture_output=True, env=self.env, timeout=120, check=False)
            os.close(master)
            os.close(slave)
            self.assertEqual(done.returncode, expect, done.stderr)
            self.assertIn("Have you read the cover letter and the 3 patches", done.stdout)
            if answer != "no\n":
                self.assertIn(f"Send these 4 mails by 127.0.0.1:{sink.port}", done.stdout)
        self.assertEqual([m.subject for m in sink.mails], SUBJECTS)

    @slow
    def test_one_patch_takes_the_cover_along(self):
        self.git(self.work, "reset", "-q", "--hard", "HEAD~2")
        self.script("refresh", "--tree", self.work)
        done = self.send("--output", self.top / "mails")
        self.assertIn("[PATCH] toy: return more, part 1", done.stdout)
        mail, = (self.top / "mails").iterdir()
        self.assertIn("Why all of this is done,", mail.read_text().partition("\n---\n")[2])
        self.assertIn(f"\nbase-commit: {self.base_commit()}\n", mail.read_text())

    def test_what_mail_cannot_carry(self):
        sink = self.serve()
        for number, content in ((1, b" text with \xe4\n"), (2, b"GIT binary patch\n"), (3, b" text\r\n")):
            with open(self.patch(number), "ab") as stream:
                stream.write(content)
        done = self.send("--send", "--yes", expect=1)
        for number, why in ((1, r"line \d+ is not UTF-8"), (2, "binary content"),
                            (3, r"line \d+ has a carriage return")):
            self.assertRegex(done.stderr, rf"patches/toy/{self.patch(number).name}: {why}")
        self.assertEqual(sink.mails, [])

    @slow
    def test_mails_that_give_another_tree_are_refused(self):
        b4 = self.top / "bin/b4"
        self.write(b4, f"#!/bin/sh\n{shutil.which('b4')} \"$@\" || exit\n"
                   "for last; do :; done\nsed -i 's/return 20;/return 21;/' \"$last\"/*\n")
        b4.chmod(0o755)
        done = self.send(expect=1, PATH=f"{b4.parent}:{self.env['PATH']}")
        self.assertIn("do not give what the patches give", done.stderr)

    @slow
    def test_refusals(self):
        done = self.send("--send", "--yes", expect=125)
        self.assertIn("sendemail.smtpServer", done.stderr)
        self.assertIn("without a terminal", self.send("--send", expect=1).stderr)
        self.assertIn("no recipient", self.send("--no-maintainers", expect=1).stderr)
        cover = self.repo / "COVER-LETTER.txt"
        for text, why in (("EDITME\n\nBody.\n", "EDITME"), ("no body\n", "first line is the subject")):
            cover.write_text(text)
            self.assertIn(why, self.send(expect=1).stderr)
        cover.write_bytes(b"toy: more\n\nB\xf6dy.\n")
        self.assertIn("not UTF-8", self.send(expect=1).stderr)
        cover.unlink()
        self.assertIn("no cover letter", self.send(expect=125).stderr)
        (self.top / ".gitconfig").write_text("[user\n")
        self.assertIn("bad config", self.send(expect=125).stderr)
        (self.top / ".gitconfig").write_text("")
        cover.write_text("toy: more\n\nBody.\n")
        self.assertIn("who submits", self.send(expect=125).stderr)

    @slow
    def test_a_closed_server_is_an_error(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.config(f"[sendemail]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = {port}\n")
        done = self.send("--send", "--yes", expect=125)
        self.assertIn("nothing was sent", done.stderr)
        self.assertIn("[PATCH 1/3]", self.send().stdout)

    def test_a_patch_that_does_not_apply(self):
        path = self.patch(2)
        path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
        self.assertIn(path.name, self.send(expect=1).stderr)


class Server(unittest.TestCase):
    """lib.mailserver, without git."""

    def test_settings(self):
        plain = {"sendemail.smtpserver": ["old", "host"], "sendemail.smtpserverport": ["25"],
                 "sendemail.from": ["Me <me@toy.example>"]}
        found = mailserver.settings(plain, "user@toy.example")
        self.assertEqual((str(found), found.sender, found.command), ("host:25", "me@toy.example", ()))
        work = {**plain, "sendemail.identity": ["work"], "sendemail.work.smtpencryption": ["tls"],
                "sendemail.work.envelopesender": ["bounce@toy.example"]}
        found = mailserver.settings(work, "user@toy.example")
        self.assertEqual((found.encryption, found.sender, found.port), ("tls", "bounce@toy.example", 25))
        found = mailserver.settings({**work, "sendemail.sendmailcmd": ["msmtp"]}, "user@toy.example")
        self.assertEqual(found.command[0], "sh")

    def test_settings_that_cannot_be_used(self):
        for config, why in (
                ({}, "sendemail.smtpServer"),
                ({"sendemail.identity": ["x"]}, r'no section \[sendemail "x"\]'),
                ({"sendemail.smtpserver": ["h"], "sendemail.smtpserverport": ["smtp"]}, "not a number"),
                ({"sendemail.smtpserver": ["h"], "sendemail.smtpencryption": ["rot13"]}, "rot13")):
            with self.subTest(config), self.assertRaisesRegex(mailserver.CannotJudge, why):
                mailserver.settings(config, "user@toy.example")

    def test_a_mail_on_the_wire(self):
        sink = Sink()
        self.addCleanup(sink.close)
        content = "Subject: \n\n.\n..dots\nä\n.\n".encode()
        settings = mailserver.Settings("me@toy.example", server="127.0.0.1", port=sink.port)
        with mailserver.Server(settings) as server:
            server.deliver(["a@toy.example", "b@toy.example"], content)
            sink.unwanted = {"b@toy.example"}
            with self.assertRaisesRegex(mailserver.MailRefused, "b@toy.example: 550"):
                server.deliver(["a@toy.example", "b@toy.example"], content)
            server.deliver(["a@toy.example"], content)  # the connection is good for more
            sink.drops = True
            with self.assertRaises(mailserver.Unclear):
                server.deliver(["a@toy.example"], content)
            with self.assertRaises(mailserver.MailRefused):  # no connection any more
                server.deliver(["a@toy.example"], content)
        self.assertEqual([m.recipients for m in sink.mails],
                         [["a@toy.example", "b@toy.example"], ["a@toy.example"]])
        self.assertEqual({m.content for m in sink.mails}, {content})
        self.assertRegex(sink.options[0].upper(), r"SIZE=\d+ BODY=8BITMIME")

    def test_a_name_with_a_comma(self):
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (directory / "a.eml").write_text(
            "To: =?utf-8?q?B=C3=A4r=2C_A?= <a@toy.example>,\n \"C, D\" <c@toy.example>\n"
            "Cc: list@toy.example\nSubject: =?utf-8?q?=C3=A4?=\n\nBody\n")
        mail = posting.mails(directory)[0]
        self.assertEqual(mail.recipients(), ["a@toy.example", "c@toy.example", "list@toy.example"])
        self.assertEqual(mail.people("To")[0], "Bär, A <a@toy.example>")
        self.assertEqual(mail.subject, "ä")
