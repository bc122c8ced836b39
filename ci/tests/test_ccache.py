# SPDX-License-Identifier: GPL-2.0
"""ccache, the real one, where the user has set it up: what one machine compiles, another takes."""

import os
import re
import subprocess
import unittest

from fixture import Fixture
from marks import slow


class CcacheTest(unittest.TestCase):
    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        self.fixture.mend()
        self.remote = self.fixture.directory / "remote"

    def run_on(self, machine, **more):
        """ci/run with the cache of a machine, whose path has another length on each."""
        cache = self.fixture.directory / f"cache-of-{machine}"
        self.fixture.environment |= {"XDG_CACHE_HOME": str(cache), **more}
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)
        return cache / "linux-dmabuf-series/lanes/fake"

    def counted(self, directory):
        """What ccache has counted in a directory of its own, by name."""
        said = subprocess.run(["ccache", "--print-stats"], check=True, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "CCACHE_DIR": str(directory)}).stdout
        return {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\t(\d+)$", said)}

    @slow
    def test_machines_share_what_they_compile(self):
        first = self.run_on("one", CCACHE_REMOTE_STORAGE=f"file://{self.remote}")
        self.assertGreater(self.counted(first / "ccache")["cache_miss"], 0)
        objects = (first / "source/objects/main.o").read_bytes()
        other = self.run_on("another")
        counted = self.counted(other / "ccache")
        self.assertEqual(counted["cache_miss"], 0, counted)
        self.assertGreater(counted["remote_storage_hit"], 0, counted)
        self.assertEqual((other / "source/objects/main.o").read_bytes(), objects)

    @slow
    def test_what_the_compiler_says_is_kept_with_the_object(self):
        self.fixture.patch("warn", "main.c", "int main(void)\n{", "int main(void)\n{\n\tint unused;\n")
        for machine in "one", "another":
            cache = self.fixture.directory / f"cache-of-{machine}"
            self.fixture.environment |= {"XDG_CACHE_HOME": str(cache), "CCACHE_DIR": str(self.remote)}
            code, text = self.fixture.run()
            self.assertEqual(code, 1, text)
            self.assertIn("unused variable", text)
        self.assertGreater(self.counted(self.remote)["direct_cache_hit"]
                           + self.counted(self.remote)["preprocessed_cache_hit"], 0)

    @slow
    def test_an_error_of_ccache_is_not_one_of_the_source(self):
        self.fixture.environment["CCACHE_DIR"] = "/proc/nope"
        code, text = self.fixture.run()
        self.assertEqual(code, 125, text)
        self.assertIn("ccache: error:", text)
        del self.fixture.environment["CCACHE_DIR"]
        code, text = self.fixture.run()
        self.assertEqual(code, 0, text)

    @slow
    def test_files_of_the_user_do_not_count(self):
        self.remote.mkdir()
        (self.remote / "ccache.conf").write_text("prefix_command = /bin/false\n")
        self.run_on("one", CCACHE_DIR=str(self.remote))
        self.assertGreater(self.counted(self.remote)["cache_miss"], 0)

    @slow
    def test_another_assembler_is_another_object(self):
        self.run_on("one", CCACHE_DIR=str(self.remote))
        before = self.counted(self.remote)["cache_miss"]
        tool = self.fixture.directory / "bin/as"
        tool.write_text('#!/bin/sh\nexec /usr/bin/as "$@"\n')
        tool.chmod(0o755)
        self.run_on("another")
        self.assertGreater(self.counted(self.remote)["cache_miss"], before)

    @slow
    def test_without_a_setting_it_is_not_called(self):
        where = self.run_on("one", CCACHE_REMOTE_STORAGE="")
        self.assertFalse((where / "ccache").exists())

    @slow
    def test_no_ccache(self):
        tools = self.fixture.directory / "tools"
        tools.mkdir()
        for path in os.environ["PATH"].split(":"):
            for program in os.scandir(path) if os.path.isdir(path) else ():
                link = tools / program.name
                if program.name != "ccache" and not link.is_symlink():
                    link.symlink_to(program.path)
        self.fixture.environment |= {"PATH": f"{self.fixture.directory}/bin:{tools}", "CCACHE_DIR": "/x"}
        code, text = self.fixture.run()
        self.assertEqual(code, 125, text)
        self.assertIn("CCACHE_DIR set, and no ccache; install it, or unset this", text)


if __name__ == "__main__":
    unittest.main()
