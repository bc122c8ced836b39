# SPDX-License-Identifier: GPL-2.0
"""The tools of those who receive the series, the real ones: stg, quilt, git and b4 make the tree of the
series from patches/, and from mails that came by SMTP."""

import email.header
import email.utils
import re
import shutil
import unittest

from marks import slow
from scripts_fixture import Fixture
from smtp_sink import Sink

LETTER = "toy: return more\n\nWhy all of this is done, by Jörg.\n\nBase: v7.3\n"
# Whoever would ask the network gets no answer.
NOBODY = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


class Received(Fixture):
    """self.work: the series as commits; self.user: a clone of the base, of somebody who gets it."""

    def setUp(self):
        super().setUp()
        self.work = self.develop()
        self.user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, self.user)

    def need(self, tool, package):
        if not shutil.which(tool):
            self.skipTest(f"there is no {tool}: ci/install installs Debian's package {package}")

    dates = True  # whether those of the patches arrive: a mail has that of its sending

    def log(self, tree, revisions):
        """Authors, dates, subjects and bodies, without what sending adds."""
        text = self.git(tree, "log", "--reverse", f"--format=%an <%ae>{' %at' if self.dates else ''}%n%B",
                        revisions)
        return re.sub(r"(?m)^(Signed-off-by: A Submitter|Link:).*\n?", "", text).split()

    def assertSeries(self, revision="HEAD"):
        """The clone is what the series makes of the base."""
        self.assertEqual(self.tree(self.user, revision), self.tree(self.work))
        self.assertEqual(self.log(self.user, f"v7.3..{revision}"), self.log(self.work, "base.."))


class Files(Received):
    """From patches/ and series, with the topic in two waves."""

    def setUp(self):
        super().setUp()
        series = self.repo / "series"
        series.write_text(series.read_text().replace(
            "toy/0001", "# wave: one\ntoy/0001").replace(
            "toy/0003", "# wave: two\n# needs: one\n# stable: 6.1+\ntoy/0003"))
        self.series = series

    @slow
    def test_git_am(self):
        names = [x for x in self.series.read_text().split("\n") if x and x[0] != "#"]
        self.git(self.user, "am", "-q", "--keep-cr", *[self.repo / "patches" / x for x in names])
        self.assertSeries()

    def test_git_am_of_one_wave(self):
        """The lines of a wave between two headings of `series`."""
        one, two = (re.findall(r"(?m)^toy/.*$", part) for part in
                    self.series.read_text().split("# wave: ")[1:])
        self.assertEqual((len(one), len(two)), (2, 1))
        self.git(self.user, "am", "-q", *[self.repo / "patches" / x for x in one])
        self.assertEqual(self.tree(self.user), self.tree(self.work, "HEAD^"))
        self.git(self.user, "am", "-q", *[self.repo / "patches" / x for x in two])
        self.assertSeries()

    def test_git_quiltimport(self):
        self.git(self.user, "quiltimport", "--patches", self.repo / "patches", "--series", self.series)
        self.assertSeries()

    def test_quilt(self):
        self.need("quilt", "quilt")
        quilt = {"QUILT_PATCHES": self.repo / "patches", "QUILT_SERIES": self.series, "QUILTRC": "/dev/null"}
        before = self.tree(self.user)
        for word, wanted in (("push", self.tree(self.work)), ("pop", before), ("push", self.tree(self.work))):
            self.command("quilt", word, "-a", cwd=self.user, **quilt)
            self.git(self.user, "add", "-u")
            self.assertEqual(self.git(self.user, "write-tree"), wanted, word)

    @slow
    def test_stg_import(self):
        self.need("stg", "stgit")
        self.git(self.user, "checkout", "-q", "-b", "topic")
        self.command("stg", "init", cwd=self.user)
        names = re.findall(r"(?m)^toy/.*$", self.series.read_text())
        self.command("stg", "import", "--mbox", cwd=self.user, data="".join(
            (self.repo / "patches" / name).read_text() for name in names))
        self.assertSeries()
        self.assertEqual(len(self.command("stg", "series", cwd=self.user).stdout.splitlines()), 3)
        self.command("stg", "pop", "-a", cwd=self.user)
        self.assertEqual(self.tree(self.user), self.tree(self.user, "v7.3"))


class Mails(Received):
    """scripts/send to a server on loopback, then b4 and git am with what that received."""

    dates = False
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.need("b4", "b4")
        self.change(self.work, "return 4;", "return 40; /* größer */", "toy: größer",
                    body="From now on a line that begins so, in UTF-8: ß.\n\n.\n..and dots.",
                    name="drivers/toy/toy.c")
        self.git(self.work, "commit", "-q", "--amend", "--author", "Jörg Ångström <jorg@toy.example>",
                 "--no-edit")
        self.script("refresh", "--tree", self.work)
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        (self.repo / "COVER-LETTER.txt").write_text(LETTER)
        # DKIM asks the name server, and the search for later versions lore
        (self.top / ".gitconfig").write_text(
            "[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n"
            f"[sendemail]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = {self.sink.port}\n"
            "[b4]\n\tattestation-policy = off\n\tsearchmask =\n")
        self.script("send", "--topic", "toy", "--send", "--yes")
        self.mbox = self.top / "received.mbox"
        (self.top / "am").mkdir()

    def keep(self, mails):
        """Write mails to a mailbox, as a mail reader does."""
        self.mbox.write_bytes(b"".join(
            b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + re.sub(rb"(?m)^(>*From )", rb">\1", mail.content)
            + b"\n" for mail in mails))

    def b4(self, *words):
        return self.command("b4", "--no-stdin", "--no-interactive", *words, cwd=self.user, **NOBODY)

    @slow
    def test_what_arrives(self):
        """Numbers, threading, encoding, recipients."""
        subjects = [str(email.header.make_header(email.header.decode_header(mail.subject)))
                    for mail in self.sink.mails]
        self.assertEqual(subjects, ["[PATCH 0/4] toy: return more",
                                    *(f"[PATCH {n}/4] toy: return more, part {n}" for n in (1, 2, 3)),
                                    "[PATCH 4/4] toy: größer"])
        ids = [mail.message["Message-Id"] for mail in self.sink.mails]
        self.assertEqual(len(set(ids)), 5)
        for mail in self.sink.mails:
            message = mail.message
            self.assertEqual(message["In-Reply-To"], None if message["Message-Id"] == ids[0] else ids[0])
            self.assertEqual(message.get_content_type(), "text/plain")
            people = {address for _, address in email.utils.getaddresses(
                message.get_all("To", []) + message.get_all("Cc", []))}
            self.assertLessEqual({"keeper@toy.example", "list@toy.example"}, people)
            self.assertLessEqual(people, set(mail.recipients))
        last = self.sink.mails[-1].message
        text = last.get_payload(decode=True).decode(last.get_content_charset())
        self.assertIn("+\treturn 40; /* größer */", text)
        self.assertIn("From: Jörg Ångström <jorg@toy.example>", text)

    @slow
    def test_git_am(self):
        self.keep(self.sink.mails[1:])
        self.git(self.user, "am", "-q", "--patch-format=mboxrd", self.mbox)
        self.assertSeries()

    @slow
    def test_b4_am(self):
        """In whatever order they came."""
        self.keep(self.sink.mails[::-1])
        self.b4("am", "-C", "-m", self.mbox, "-o", self.top / "am", self.message_id())
        mbx, = (self.top / "am").glob("*.mbx")
        self.git(self.user, "am", "-q", "--patch-format=mboxrd", mbx)
        self.assertSeries()
        cover, = (self.top / "am").glob("*.cover")
        self.assertIn("Why all of this is done, by Jörg.", cover.read_text())

    @slow
    def test_b4_shazam(self):
        """From a maildir: of a mailbox b4 keeps the > before a line that begins with From."""
        for name in "cur", "new", "tmp":
            (self.top / "mails" / name).mkdir(parents=True)
        for number, mail in enumerate(self.sink.mails):
            (self.top / f"mails/cur/{9 - number}.toy:2,S").write_bytes(mail.content)
        self.b4("shazam", "-C", "-m", self.top / "mails", self.message_id())
        self.assertSeries()

    @slow
    def test_a_mail_that_is_lost(self):
        """Else the tests above would pass with a tool that takes what it gets."""
        self.keep([*self.sink.mails[:2], *self.sink.mails[3:]])
        done = self.command("b4", "--no-stdin", "--no-interactive", "am", "-C", "-m", self.mbox, "-o",
                            self.top / "am", self.message_id(), cwd=self.user, expect=None, **NOBODY)
        self.assertIn("2/4", done.stdout + done.stderr)

    def message_id(self):
        return self.sink.mails[0].message["Message-Id"].strip("<>")


if __name__ == "__main__":
    unittest.main()
