# SPDX-License-Identifier: GPL-2.0
"""ci/run asked to end while many boots wait: it ends at once, and nothing it said is kept."""

import pathlib
import signal
import subprocess
import sys
import time
import unittest

from fixture import TOP, Fixture
from marks import slow


def processes(directory):
    """The command lines of processes that belong to a fixture, by their environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{directory}/cache".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return [line for line in found if line]


class InterruptTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """One series of many boots that wait until a file is there."""
        cls.fixture = Fixture()
        cls.addClassCleanup(cls.fixture.close)
        cls.go = cls.fixture.directory / "go"
        cls.fixture.mend()
        cls.fixture.patch("wait", "boot.sh", 'echo "@@ begin unit" >&3',
                          f'while [ ! -e {cls.go} ]; do sleep 1; done\necho "@@ begin unit" >&3')
        for number in range(8):
            cls.fixture.patch(f"boot {number}", "boot.sh", "console alive", f"console alive {number}")
        lane = cls.fixture.top / "ci/lanes/fake.toml"
        lane.write_text(lane.read_text().replace("silence = 20", "silence = 60"))

    def interrupted(self, number):
        """ci/run, sent a signal while boots run and others wait: (exit code, seconds, stderr)."""
        run = subprocess.Popen([self.fixture.top / "ci/run", "--no-static"], cwd=self.fixture.top,
                               env=self.fixture.environment, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(run.stderr.close)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.kill)
        for line in run.stdout:
            if "step 9 fake: build" in line:
                break
        end = time.monotonic() + 20
        while time.monotonic() < end and not any("/image" in p for p in processes(self.fixture.directory)):
            time.sleep(0.05)
        start = time.monotonic()
        run.send_signal(number)
        code = run.wait(30)
        return code, time.monotonic() - start, run.stderr.read()

    @slow
    def test_each_signal_ends_everything_within_five_seconds(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                code, seconds, said = self.interrupted(number)
                self.assertEqual(code, 125, said)
                self.assertLess(seconds, 5)
                self.assertEqual(said.splitlines()[-1], f"ci/run: interrupted by {number.name}; "
                                 "to go on, repeat: ci/run --no-static")
                self.assertEqual(processes(self.fixture.directory), [])
        # nothing that was ended by us is a verdict: it would now be flaky
        self.go.touch()
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        self.assertIn("verdict: pass", text)


LOST = """
import os, signal, sys, time
sys.path.insert(0, {scripts!r})
from lib import command
command._AGAIN, command._AT_LAST = 0.5, 1.5

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.1)

def lost(_words):
    Destroyed()
    {then}

command.main(lost, "lost")
"""


class LostTest(unittest.TestCase):
    """The exception of a signal is lost in a destructor."""

    def ended(self, then):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-c", LOST.format(scripts=str(TOP / "scripts"), then=then)],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, time.monotonic() - start, done.stderr

    def test_a_lost_signal_is_tried_again(self):
        code, seconds, said = self.ended("time.sleep(30)")
        self.assertEqual((code, said.splitlines()[-1]),
                         (125, "lost: interrupted by SIGHUP; to go on, repeat: lost"), said)
        self.assertLess(seconds, 20)

    def test_what_does_not_end_is_ended_and_says_where_it_was(self):
        code, seconds, said = self.ended("""
    while True:
        try:
            time.sleep(30)
        except BaseException:
            pass""")
        self.assertEqual(code, 125, said)
        self.assertRegex(said, r'(?s)interrupted by SIGHUP, .* a bug .*File .*, line \d+ in lost\n')
        self.assertLess(seconds, 20)

    def test_what_must_be_whole_is_not_ended(self):
        code, _, said = self.ended("""
    with command.process.whole():
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(3)
        command.say("it is whole")""")
        self.assertEqual((code, said.splitlines()[-2:]),
                         (125, ["it is whole", "lost: interrupted by SIGHUP; to go on, repeat: lost"]), said)

    def test_children_do_not_inherit_that_signals_are_ignored(self):
        code, _, said = self.ended("""
    command.ignore_signals()
    command.say(str(command.run(["sh", "-c", "kill $$; echo it goes on"], check=False)))""")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, "returncode=-15, stdout=''")


if __name__ == "__main__":
    unittest.main()
