# SPDX-License-Identifier: GPL-2.0
"""Packages of another architecture, with an apt-get and a dpkg-deb that only say what they are asked."""

import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from lib import debian  # noqa: E402
from lib.command import CannotJudge, Missing  # noqa: E402

APT = """\
echo "$*" >>{top}/calls
for last; do :; done
[ -z "$OLD" ] || [ "$last" != update ] || {{ echo "E: $OLD" >&2; exit 100; }}
case " $* " in *" download $BAD "*) echo "E: no $BAD" >&2; exit 100 ;; esac
case " $* " in *" download "*) [ "$last" = "$EMPTY" ] || touch "$last"_1_arm64.deb ;; esac
"""


class UnpackTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        self.target = self.top / "tools/arm64"
        self.tool("apt-get", APT.format(top=self.top))
        self.tool("dpkg-deb", "mkdir -p $3/bin && echo ${2##*/} >$3/bin/${2##*/}\n")
        change = mock.patch.dict(os.environ, {
            "XDG_CACHE_HOME": str(self.top / "cache"), "PATH": f"{self.top}/bin:{os.environ['PATH']}"})
        change.start()
        self.addCleanup(change.stop)

    def tool(self, name, text):
        path = self.top / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def left(self):
        return list((self.top / "cache/linux-dmabuf-series/scratch").iterdir())

    def test_all_of_them(self):
        debian.unpack(self.target, "arm64", ["one", "two"])
        self.assertEqual(sorted(p.name for p in self.target.glob("bin/*")),
                         ["one_1_arm64.deb", "two_1_arm64.deb"])
        self.assertEqual(self.target.stat().st_mode & 0o777, 0o755)
        calls = (self.top / "calls").read_text().splitlines()
        self.assertEqual([call.split()[-1] for call in calls], ["update", "one", "two"])
        for call in calls:
            self.assertIn("APT::Architecture=arm64", call)
            self.assertIn("Dir::State::lists=", call)
            self.assertNotIn("Dir::Etc", call)  # the machine's own suites
        self.assertEqual(self.left(), [])

    def test_all_or_nothing(self):
        for variables, why in (({"BAD": "two"}, "apt-get download two:arm64: E: no two"),
                               ({"EMPTY": "two"}, "apt-get download two:arm64: it gives no package")):
            with self.subTest(why), mock.patch.dict(os.environ, variables):
                with self.assertRaisesRegex(CannotJudge, why):
                    debian.unpack(self.target, "arm64", ["one", "two"])
            self.assertFalse(self.target.exists())
            self.assertEqual(self.left(), [])

    def test_a_suite_that_the_mirror_lacks(self):
        with mock.patch.dict(os.environ, {"OLD": "no security"}):
            debian.unpack(self.target, "arm64", ["one"])
            self.assertTrue((self.target / "bin/one_1_arm64.deb").exists())
            with mock.patch.dict(os.environ, {"BAD": "two"}), \
                    self.assertRaisesRegex(CannotJudge, "apt-get update: E: no security"):
                debian.unpack(self.top / "tools/other", "arm64", ["two"])
        self.assertEqual(self.left(), [])

    def test_a_full_disk_is_told_as_it_is(self):
        self.tool("dpkg-deb", "echo 'cannot write: No space left on device' >&2; exit 2\n")
        with self.assertRaisesRegex(CannotJudge, "ended with 2: .*\n.*No space left"):
            debian.unpack(self.target, "arm64", ["one"])
        self.assertFalse(self.target.exists())

    def test_no_apt(self):
        with mock.patch.dict(os.environ, {"PATH": "/nonexistent"}), \
                self.assertRaisesRegex(Missing, "no apt-get on this machine"):
            debian.unpack(self.target, "arm64", ["one"])


if __name__ == "__main__":
    unittest.main()
