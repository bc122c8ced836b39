# SPDX-License-Identifier: GPL-2.0
"""scripts/send: the dry run, and real mails over SMTP on loopback back into git am."""

import mailbox
import shutil
import socket
import subprocess
import time

from scripts_fixture import Fixture

PYTHON = "/usr/bin/python3"  # that of Debian's python3-aiosmtpd and b4


def have_tools():
    """Whether b4 and an SMTP server to talk to are installed."""
    return bool(shutil.which("b4")) and subprocess.run(
        [PYTHON, "-c", "import aiosmtpd"], capture_output=True, check=False).returncode == 0


class Send(Fixture):

    def setUp(self):
        super().setUp()
        if not have_tools():
            self.fail("b4 and python3-aiosmtpd are needed (Debian packages)")
        self.work = self.develop()
        (self.repo / "COVER-LETTER.txt").write_text(
            "toy: return more\n\nWhy all of this is done,\nin two lines.\n\nBase: v7.3\n")
        self.config("[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n")

    def config(self, text):
        with open(self.top / ".gitconfig", "a", encoding="utf-8") as stream:
            stream.write(text)

    def serve(self):
        """An SMTP server on loopback; returns the Maildir that it fills."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        box = self.top / "box"
        server = subprocess.Popen(
            [PYTHON, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}",
             "-c", "aiosmtpd.handlers.Mailbox", str(box)],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        self.config(f"[sendemail]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = {port}\n")
        return box

    def received(self, box):
        """The mails in a Maildir by their subjects: [(subject, message)]."""
        mails = [(" ".join(m["Subject"].split()), m) for m in mailbox.Maildir(box)]
        return sorted(mails, key=lambda pair: pair[0])

    def test_dry_run(self):
        done = self.script("send", "--output", self.top / "mails", "--cc", "third@toy.example")
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

    def test_again_and_by_topic(self):
        self.change(self.work, "return 7;", "return 70;", "toy: other topic")
        self.change(self.work, "return 6;", "return 60;", "toy: other topic, more")
        self.script("refresh", "--tree", self.work, "--start", "other=HEAD~1")
        self.script("send")
        done = self.script("send", "--topic", "other", "--prefix", "RFC", "--revision", "2")
        self.assertIn("[PATCH RFC v2 2/2] toy: other topic, more", done.stdout)

    def test_received_mails_give_the_same_tree(self):
        box = self.serve()
        self.script("send", "--send", "--yes")
        mails = self.received(box)
        self.assertEqual([s for s, _ in mails], ["[PATCH 0/3] toy: return more"] + [
            f"[PATCH {n}/3] toy: return more, part {n}" for n in (1, 2, 3)])
        cover = mails[0][1]
        for _, mail in mails:
            self.assertIn("keeper@toy.example", mail["To"])
            self.assertIn("list@toy.example", mail["Cc"])
        for _, mail in mails[1:]:
            self.assertEqual(mail["In-Reply-To"], cover["Message-Id"])
        user = self.top / "user"
        self.git(self.top, "clone", "-q", self.linux, user)
        files = []
        for number, (_, mail) in enumerate(mails[1:]):
            files.append(self.top / f"{number}.mbox")
            files[-1].write_bytes(mail.as_bytes(unixfrom=True))
        self.git(user, "am", "-q", *files)
        self.script("apply")
        self.assertEqual(self.tree(user), self.tree(self.cache / "tree"))
        self.assertEqual(self.tree(user), self.tree(self.work))
        log = self.git(user, "log", "--format=%an <%ae>%n%B", "v7.3..")
        self.assertEqual(log.count("A Developer <developer@toy.example>"), 3)
        self.assertEqual(log.count("Signed-off-by: A Submitter <submitter@toy.example>"), 3)
        # what was sent is remembered: the next one is version 2
        done = self.script("send")
        self.assertIn("[PATCH v2 1/3]", done.stdout)

    def test_dry_run_sends_nothing(self):
        box = self.serve()
        self.script("send")
        self.assertEqual(self.received(box) if box.exists() else [], [])

    def test_one_patch_takes_the_cover_along(self):
        self.git(self.work, "reset", "-q", "--hard", "HEAD~2")
        self.script("refresh", "--tree", self.work)
        done = self.script("send")
        self.assertIn("[PATCH] toy: return more, part 1", done.stdout)

    def test_refusals(self):
        done = self.script("send", "--send", "--yes", expect=125)
        self.assertIn("sendemail.smtpServer", done.stderr)
        self.assertIn("no recipient", self.script("send", "--no-maintainers", expect=1).stderr)
        cover = self.repo / "COVER-LETTER.txt"
        cover.write_text("EDITME\n\nBody.\n")
        self.assertIn("EDITME", self.script("send", expect=1).stderr)
        cover.write_text("no body\n")
        self.assertIn("first line is the subject", self.script("send", expect=1).stderr)
        cover.unlink()
        self.assertIn("no cover letter", self.script("send", expect=125).stderr)
        (self.top / ".gitconfig").write_text("")
        cover.write_text("toy: more\n\nBody.\n")
        self.assertIn("who submits", self.script("send", expect=125).stderr)

    def test_a_closed_server_is_an_error(self):
        self.config("[sendemail]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = 9\n")
        self.script("send", "--send", "--yes", expect=125)

    def test_a_patch_that_does_not_apply(self):
        path = next((self.repo / "patches/toy").glob("0002-*"))
        path.write_text(path.read_text().replace("-\treturn 2;", "-\treturn 7777;"))
        self.assertIn(path.name, self.script("send", expect=1).stderr)
