# SPDX-License-Identifier: GPL-2.0
"""ci/debian, with a mmdebstrap that makes a root of busybox alone."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

from marks import slow
import template
from scripts_fixture import TOP, Fixture

BUSYBOX = pathlib.Path("/bin/busybox")

# It is called with options, the suite, the root and the mirror, and leaves a mount.
MMDEBSTRAP = """#!/bin/sh
echo "$*" >>{calls}
[ ! -e {broken} ] || {{ echo "E: no such mirror" >&2; exit 25; }}
for word; do case $word in /*) root=$word ;; esac; done
for name in bin dev etc proc sys srv tmp; do mkdir -p "$root/$name"; done
mount -t tmpfs left "$root/dev"
cp {busybox} "$root/bin/busybox"
for name in sh cat ls sleep touch grep; do ln -s busybox "$root/bin/$name"; done
"""


def can_mount():
    """Whether a namespace with mounts of its own can be had."""
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False,
                          capture_output=True).returncode == 0


class Clone(Fixture):
    """A repository with ci/debian, and what stands for mmdebstrap."""

    def setUp(self):
        super().setUp()
        for name in ("ci/debian", "ci/packages"):
            self.write(self.repo / name, (TOP / name).read_text())
        (self.repo / "ci/debian").chmod(0o755)
        shutil.copytree(template.project() / "ci/harness", self.repo / "ci/harness")
        for name in ("gone", "kept"):
            self.write(self.repo / name, "committed\n")
        self.git(self.top, "init", "-q", self.repo)
        self.commit(self.repo, "a clone")
        self.calls, self.broken = self.top / "calls", self.top / "broken"
        self.write(self.top / "bin/mmdebstrap", MMDEBSTRAP.format(
            calls=self.calls, broken=self.broken, busybox=BUSYBOX))
        (self.top / "bin/mmdebstrap").chmod(0o755)
        self.env["PATH"] = f"{self.top / 'bin'}:{self.env['PATH']}"
        self.root = self.cache / "debian/bookworm"
        self.sleep = str(time.monotonic_ns())  # seconds, and a name for who sleeps them

    def debian(self, *words, **kwargs):
        return self.command(self.repo / "ci/debian", *words, **kwargs)

    def seen(self):
        """Mounts below the fixture that this machine sees, and processes that sleep in a root."""
        mounts = [x for x in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                  if str(self.top) in x]
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if entry.read_bytes().split(b"\0")[-2:-1] == [self.sleep.encode()]:
                    found.append(entry.parent.name)
            except OSError:
                pass
        return mounts, found

    def wait(self, condition):
        """Until condition() holds; fails after 20 seconds."""
        limit = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), limit, self.seen())
            time.sleep(0.05)


class Use(Clone):

    def test_wrong_use(self):
        self.assertIn("bookworm, trixie", self.debian("sid", expect=1).stderr)
        self.assertIn("exit codes:", self.debian("--help").stdout)

    def test_a_machine_that_cannot(self):
        self.write(self.top / "bin/unshare", "#!/bin/sh\necho 'unshare failed: no' >&2\nexit 1\n")
        (self.top / "bin/unshare").chmod(0o755)
        why = "unshare failed: no" if os.geteuid() == 0 else "needs root"
        self.assertIn(why, self.debian(expect=125).stderr)


# No skips elsewhere: what ci/debian does there is the test above.
class Roots(Clone if os.geteuid() == 0 and can_mount() and BUSYBOX.exists() else object):

    @slow
    def test_a_root(self):
        (self.repo / "kept").write_text("changed\n")
        (self.repo / "new").write_text("not committed\n")
        (self.repo / "gone").unlink()
        look = ("cat kept new; ls; ls /srv/cache/linux-dmabuf-series/linux.git/HEAD;"
                "touch /srv/cache/linux-dmabuf-series/linux.git/x || echo cannot;"
                "cat /proc/1/comm; [ -c /dev/null ] && echo $XDG_CACHE_HOME $KCFLAGS; >/tmp/mine")
        done = self.debian("bookworm", "--", "sh", "-c", look, KCFLAGS="-w")
        said = done.stdout.split()
        self.assertEqual(said[:3], ["changed", "not", "committed"])
        self.assertNotIn("gone", said)
        self.assertEqual(said[-6:], ["/srv/cache/linux-dmabuf-series/linux.git/HEAD", "cannot", "sh",
                                     "/srv/cache", "bookworm:", "passes"])
        self.assertTrue(self.calls.read_text().count("--include=abigail-tools,bc,bison,"))
        # a root is kept, what was left in it is not
        done = self.debian("bookworm", "--", "sh", "-c", "ls /tmp; exit 1", expect=1)
        self.assertEqual(done.stdout, "bookworm: fails\n")
        done = self.debian("--", "sh", "-c", "exit 3", expect=125)
        self.assertEqual(done.stdout.count("could not be judged: sh -c 'exit 3' ended with 3"), 2)
        self.assertEqual(len(self.calls.read_text().splitlines()), 2)  # a suite each
        self.debian("--renew", "bookworm", "--", "sh", "-c", ":")
        self.assertEqual(len(self.calls.read_text().splitlines()), 3)
        self.assertEqual(self.seen(), ([], []))

    def test_no_root_can_be_made(self):
        self.broken.touch()
        done = self.debian("bookworm", "--", "sh", "-c", ":", expect=125)
        self.assertIn("E: no such mirror", done.stdout)
        self.assertEqual([p.name for p in self.root.parent.iterdir()], [])

    @slow
    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            child = subprocess.Popen(
                [self.repo / "ci/debian", "bookworm", "--", "sh", "-c",
                 f"sleep {self.sleep} & echo here; wait"],
                env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.assertEqual(child.stdout.readline(), "here\n")
            self.wait(lambda: self.seen()[1])
            child.send_signal(number)
            self.assertEqual(child.wait(30), -9 if number == signal.SIGKILL else 125)
            child.stdout.close()
            self.wait(lambda: self.seen() == ([], []))
        self.assertTrue((self.cache / "linux.git/HEAD").exists())

    @slow
    def test_what_somebody_mounted_there_is_not_removed(self):
        self.debian("bookworm", "--", "sh", "-c", ":")
        shutil.copytree(self.cache / "linux.git", self.top / "precious")
        inside = self.root / "srv/cache/linux-dmabuf-series/linux.git"
        # both in a namespace of their own, which ends with the test
        done = self.command(
            "unshare", "--mount", "sh", "-c",
            f"mount --bind {self.top}/precious {inside} && {self.repo}/ci/debian --renew bookworm -- sh -c :",
            expect=125)
        self.assertIn("is mounted, and not by ci/debian", done.stdout)
        self.assertTrue((self.top / "precious/HEAD").exists())
