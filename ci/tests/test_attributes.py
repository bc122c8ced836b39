# SPDX-License-Identifier: GPL-2.0
""".gitattributes: a clone holds the bytes that were committed, whatever git is told about line ends."""

import pathlib
import shutil
import tempfile
import unittest

from fixture import TOP, git

# The configuration of git on a machine whose lines end in CR LF.
ENDS = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]


class AttributesTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)

    def changed(self, *names):
        """The files that are other bytes in a clone, of those that a repository with `names` has."""
        origin, clone = self.top / "origin", self.top / "clone"
        for name in names:
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, origin / name)
            else:
                shutil.copy(TOP / name, origin / name)
        git(origin, "init", "-q", "-b", "main")
        git(origin, "-c", "core.autocrlf=false", "add", "-A")
        git(origin, "commit", "-q", "-m", "all")
        git(self.top, "clone", "-q", *ENDS, str(origin), str(clone))
        files = [p.relative_to(origin) for p in origin.rglob("*") if p.is_file() and ".git" not in p.parts]
        self.assertTrue(files)
        return {str(p) for p in files if (origin / p).read_bytes() != (clone / p).read_bytes()}

    def test_a_clone_has_the_bytes_of_the_patches(self):
        self.assertEqual(self.changed(".gitattributes", "patches", "series", "scripts/apply"), set())

    def test_without_it_git_converts(self):
        self.assertEqual(self.changed("series"), {"series"})


if __name__ == "__main__":
    unittest.main()
