# SPDX-License-Identifier: GPL-2.0
"""lib/scratch: what a kill left in the cache goes, what a live command works in stays."""

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import threading
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from lib import cache, replay, scratch, series  # noqa: E402


class Scratch(unittest.TestCase):

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="scratch-test-")
        self.addCleanup(holder.cleanup)
        self.cache = pathlib.Path(holder.name) / "linux-dmabuf-series"
        self.patch = pathlib.Path(holder.name) / "p"
        self.patch.write_bytes(b"p")
        for change in (mock.patch.dict(os.environ, {"XDG_CACHE_HOME": holder.name}),
                       mock.patch.object(os, "fsync")):
            change.start()
            self.addCleanup(change.stop)

    def frozen(self):
        """The directory that a command which reads patches works in."""
        return replay.frozen([series.Patch(1, "t", "t/1", self.patch)])

    def files(self):
        return sorted(str(p.relative_to(self.cache)) for p in self.cache.rglob("*") if p.is_file())

    def in_a_child(self, work):
        """Do work(ready) in a child; its process id, once it has called ready()."""
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                work(lambda: os.write(tell, b"."))
            os._exit(0)
        os.close(tell)
        self.assertEqual(os.read(told, 1), b".")
        os.close(told)
        return child

    def hold(self, ready):
        with self.frozen():
            ready()
            signal.pause()

    def kill(self, child):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def test_what_a_kill_left_goes_with_the_next_command(self):
        self.kill(self.in_a_child(self.hold))
        self.assertEqual(len(self.files()), 1)
        with self.frozen():
            self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.files(), [])

    def test_what_a_live_command_works_in_stays(self):
        child = self.in_a_child(self.hold)
        try:
            with self.frozen():
                self.assertEqual(len(self.files()), 2)
            self.assertEqual(len(self.files()), 1)
        finally:
            self.kill(child)

    def test_many_at_once(self):
        """None finds its own directory gone, whoever prunes when."""
        wrong = []

        def work():
            for _ in range(40):
                try:
                    with scratch.directory("trial") as path:
                        (path / "file").write_text("x")
                        if not (path / "file").exists():
                            wrong.append("gone")
                except OSError as error:
                    wrong.append(error)
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(list((self.cache / "scratch").iterdir()), [])

    def test_a_file_that_a_kill_left_half_written_is_used_anew(self):
        def write(ready):
            with mock.patch.object(os, "replace", lambda *_: (ready(), signal.pause())):
                cache.write_atomically(self.cache / "record", "long" * 99)
        self.kill(self.in_a_child(write))
        cache.write_atomically(self.cache / "record", "new")
        self.assertEqual(self.files(), ["record"])
        self.assertEqual((self.cache / "record").read_text(), "new")

    def test_many_write_one_file(self):
        path = self.cache / "record"
        texts = [letter * size for letter, size in zip("abcd", (9, 999, 99, 9999))]
        path.parent.mkdir()
        path.write_text(texts[0])
        seen = set()
        threads = [threading.Thread(target=lambda t=text: [
            cache.write_atomically(path, t) for _ in range(40)]) for text in texts]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.add(path.read_text())
        self.assertLessEqual(seen, set(texts))
        self.assertEqual(self.files(), ["record"])

    def test_a_write_that_fails_leaves_nothing(self):
        with mock.patch.object(os, "replace", side_effect=OSError("no")), self.assertRaises(OSError):
            cache.write_atomically(self.cache / "record", "new")
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main()
