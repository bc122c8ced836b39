# SPDX-License-Identifier: GPL-2.0
"""lib/journal: whatever fails at whatever moment, files are all old or all new."""

import concurrent.futures
import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from lib import aside, journal, lock, series  # noqa: E402
from lib.command import CannotJudge  # noqa: E402

OLD = {"patches/a/1": b"one\r\n", "patches/a/2": b"two", "patches/b/1": b"b", "series": b"old"}
CHANGES = {"patches/a/1": b"ONE\r\n", "patches/a/2": None, "patches/b/1": None, "patches/c/1": b"c",
           "series": b"new"}
NEW = {"patches/a/1": b"ONE\r\n", "patches/c/1": b"c", "series": b"new"}

# The calls that change something on a disk, each a moment to fail or to be killed at.
CALLS = ("link", "replace", "rename", "unlink", "mkdir", "rmdir", "fsync", "open")


class Trial(unittest.TestCase):
    """OLD in a directory, and replace() with something done at a moment of it."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="journal-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name) / "top"
        self.begin()

    def begin(self):
        shutil.rmtree(self.top, ignore_errors=True)
        for name, data in OLD.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_bytes(data)

    def files(self):
        return {str(p.relative_to(self.top)): p.read_bytes()
                for p in self.top.rglob("*") if p.is_file()}

    def at(self, moment, act):
        """Patch the calls so that act() is done instead of call number `moment`; a counter."""
        count = [0]

        def counted(call):
            def wrapper(*arguments, **kwargs):
                count[0] += 1
                if count[0] == moment:
                    act()
                return call(*arguments, **kwargs)
            return wrapper
        # whether a disk has the bytes is not what is tested, and takes long
        patches = [mock.patch.object(os, name, counted(
            getattr(os, name) if name != "fsync" else lambda _: None)) for name in CALLS]
        return patches, count

    def replace(self, moment, act):
        patches, count = self.at(moment, act)
        for patch in patches:
            patch.start()
        try:
            journal.replace(self.top, CHANGES)
        finally:
            for patch in patches:
                patch.stop()
        return count[0]


class Journal(Trial):

    def test_a_topic_that_is_a_link_to_another_disk(self):
        there = os.replace

        def replace(source, target):
            if pathlib.Path(source).parent != pathlib.Path(target).parent:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            there(source, target)
        with mock.patch.object(os, "replace", replace):
            journal.replace(self.top, CHANGES)
        self.assertEqual(self.files(), NEW)

    def test_all_is_replaced(self):
        journal.replace(self.top, CHANGES)
        self.assertEqual(self.files(), NEW)
        self.assertEqual(sorted(p.name for p in (self.top / "patches").iterdir()), ["a", "c"])

    def test_no_room_at_any_moment(self):
        def full():
            raise OSError(errno.ENOSPC, "No space left on device")
        last = self.replace(0, None)
        self.assertGreater(last, 20)
        outcomes = set()
        for moment in range(1, last + 1):
            self.begin()
            try:
                self.replace(moment, full)
            except OSError:
                self.assertEqual(self.files(), OLD, moment)
                outcomes.add("old")
            else:
                journal.finish(self.top)
                self.assertEqual(self.files(), NEW, moment)
                outcomes.add("new")
        self.assertIn("old", outcomes)

    def test_killed_at_any_moment(self):
        last = self.replace(0, None)
        outcomes = []
        for moment in range(1, last + 1):
            self.begin()
            child = os.fork()
            if not child:
                self.replace(moment, lambda: os._exit(9))
                os._exit(0)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 9)
            journal.finish(self.top)
            self.assertIn(self.files(), (OLD, NEW), moment)
            outcomes.append(self.files() == NEW)
        self.assertEqual(outcomes, sorted(outcomes))
        self.assertEqual(set(outcomes), {False, True})

    def test_killed_while_finishing(self):
        for moment in range(1, 12):
            self.begin()
            child = os.fork()
            if not child:
                with mock.patch.object(journal, "_move", lambda *_: os._exit(9)):
                    journal.replace(self.top, CHANGES)
            os.waitpid(child, 0)
            child = os.fork()
            if not child:
                for patch in self.at(moment, lambda: os._exit(9))[0]:
                    patch.start()
                journal.finish(self.top)
                os._exit(0)
            os.waitpid(child, 0)
            journal.finish(self.top)
            self.assertEqual(self.files(), NEW, moment)

    def test_edited_after_the_kill(self):
        """What the user does before the next run is kept aside, not lost."""
        child = os.fork()
        if not child:
            with mock.patch.object(journal, "_move", lambda *_: os._exit(9)):
                journal.replace(self.top, CHANGES)
        os.waitpid(child, 0)
        (self.top / "patches/a/1").write_bytes(b"mine")
        with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.top.parent)}), \
                mock.patch.object(aside, "say") as said:
            journal.finish(self.top)
        self.assertEqual(self.files(), NEW)
        kept = said.call_args.args[0].removeprefix("kept aside: ")
        self.assertEqual(pathlib.Path(kept).read_bytes(), b"mine")

    def test_neither_forth_nor_back(self):
        """When the disk refuses both ways, the next run finishes it, and this one says so."""
        with mock.patch.object(journal, "_move", side_effect=OSError(errno.EIO, "I/O error")), \
                self.assertRaisesRegex(CannotJudge, "replaced in part.*I/O error"):
            journal.replace(self.top, CHANGES)
        journal.finish(self.top)
        self.assertEqual(self.files(), NEW)

    def test_without_links(self):
        with mock.patch.object(os, "link", side_effect=OSError(errno.EPERM, "no links")):
            journal.replace(self.top, CHANGES)
        self.assertEqual(self.files(), NEW)


HEAD = b"# base: v7.3\n# topic: a\n"
BEFORE = {"patches/a/1": b"one", "patches/a/2": b"two", "series": HEAD + b"a/1\na/2\n"}
AFTER = {"patches/a/1": b"ONE", "patches/a/3": b"three", "series": HEAD + b"a/1\na/3\n"}
WRITTEN = {"patches/a/2": None, **AFTER}


class Readers(Trial):
    """What a command reads of the series while another one writes it."""

    def setUp(self):
        super().setUp()
        quick = mock.patch.object(os, "fsync")
        quick.start()
        self.addCleanup(quick.stop)

    def begin(self):
        shutil.rmtree(self.top, ignore_errors=True)
        for name, data in BEFORE.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_bytes(data)

    def replace(self, moment, act):
        with mock.patch.dict(globals(), {"CHANGES": WRITTEN}):
            return super().replace(moment, act)

    def read(self):
        """The texts of the series, as files()."""
        found = series.read(self.top)
        listing = "".join(f"{p.name}\n" for p in found.patches).encode()
        return {f"patches/{p.name}": p.text.encode() for p in found.patches} | {"series": HEAD + listing}

    def test_a_series_read_before_the_write(self):
        found = series.read(self.top)
        journal.replace(self.top, WRITTEN)
        self.assertEqual([p.text for p in found.patches], ["one", "two"])

    def test_read_at_any_moment(self):
        """Until the files move a reader does not wait, and then it sees them all moved."""
        last = self.replace(0, lambda: None)
        outcomes = []
        for moment in range(1, last + 1):
            self.begin()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                readers = []

                def start(pool=pool, readers=readers):
                    readers.append(pool.submit(self.read))
                    with lock.if_free(self.top) as free:
                        pass
                    concurrent.futures.wait(readers, timeout=20 if free else 0.01)
                    self.assertTrue(readers[0].done() or not free)
                self.replace(moment, start)
                seen = readers[0].result(timeout=20)
            self.assertIn(seen, (BEFORE, AFTER), moment)
            outcomes.append(seen == AFTER)
        self.assertEqual(outcomes, sorted(outcomes))
        self.assertEqual(set(outcomes), {False, True})

    def test_killed_and_nobody_may_write_since(self):
        """A repository that is mounted read-only is read as what the killed run would have made it."""
        def refused(*_arguments, **_options):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        for moment in (0, 2):
            self.begin()
            child = os.fork()
            if not child:
                left = [moment]

                def exchange(source, target):
                    if not left[0]:
                        os._exit(9)
                    left[0] -= 1
                    os.replace(source, target)
                with mock.patch.object(journal, "_exchange", exchange):
                    journal.replace(self.top, WRITTEN)
                os._exit(0)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 9)
            with contextlib.ExitStack() as stack:
                for name in ("link", "replace", "rename", "unlink", "mkdir", "rmdir"):
                    stack.enter_context(mock.patch.object(os, name, refused))
                self.assertEqual(self.read(), AFTER)
            self.assertEqual(self.read(), AFTER)

    def test_a_file_system_without_locks(self):
        with mock.patch.object(fcntl, "flock", side_effect=OSError(errno.ENOLCK, "no locks")):
            self.assertEqual(self.read(), BEFORE)


if __name__ == "__main__":
    unittest.main()
