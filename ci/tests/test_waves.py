# SPDX-License-Identifier: GPL-2.0
"""The waves of `series`: how they are read, what is wrong with them, what each needs."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))
# pylint: disable=wrong-import-position
from lib import cover, series, waves
from lib.command import Failed

TEXT = """\
# base: v7.3
# topic: a
# tree: as
# list: a@x.example b@x.example
# list: c@x.example
# wave: one
a/0001-p.patch
# for two trees
# wave: two
# needs: nothing
# list: two@x.example
a/0002-p.patch
# stable: 6.1+
a/0003-p.patch
# wave: three
# tree: threes
a/0004-p.patch
# topic: b needs a
# tree: bs
# list: b@x.example
# mind this
b/0001-p.patch
# topic: c
# tree: cs
# prefix: RFC
# list: c@x.example
# needs: b a/two
c/0001-p.patch
# the end
"""


class Waves(unittest.TestCase):

    def setUp(self):
        self.top = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def read(self, text=TEXT):
        for name in re.findall(r"(?m)^[^#\n].*", text):
            (self.top / "patches" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / "patches" / name).write_text("")
        (self.top / "series").write_text(text)
        return series.read(self.top)

    def test_what_is_read(self):
        found = self.read()
        self.assertEqual(waves.problems(found), [])
        made = waves.waves(found)
        self.assertEqual([(w.title, w.tree, " ".join(w.lists), w.needs, len(w.patches)) for w in made], [
            ("a/one", "as", "a@x.example b@x.example c@x.example", None, 1),
            ("a/two", "as", "two@x.example", ("nothing",), 2),
            ("a/three", "threes", "a@x.example b@x.example c@x.example", None, 1),
            ("b", "bs", "b@x.example", None, 1),
            ("c", "cs", "c@x.example", ("b", "a/two"), 1)])
        self.assertEqual([p.note("stable") for p in found.patches], [None, None, "6.1+", None, None, None])
        self.assertEqual([w.posting for w in made], ["a-one", "a-two", "a-three", "b", "c"])
        self.assertEqual(waves.find(found, "a", "two").options, ["--topic", "a", "--wave", "two"])
        self.assertEqual(waves.find(found, "b", None).options, ["--topic", "b"])
        self.assertEqual([w.prefixes for w in made], [(), (), (), (), ("RFC",)])

    def test_it_is_written_as_it_is_read(self):
        found = self.read()
        entries = [(p.topic, p.wave, p.name, p.notes) for p in found.patches]
        self.assertEqual(series.write(found, entries), TEXT)
        self.assertEqual(series.write(found, []).splitlines(), [
            x for x in TEXT.splitlines() if x.startswith("#") and x not in ("# stable: 6.1+", "# mind this")])

    def test_what_each_needs(self):
        found = self.read()
        needed = {w.title: [x.title for x in waves.before(found, w)] for w in waves.waves(found)}
        self.assertEqual(needed, {"a/one": [], "a/two": [], "a/three": ["a/one", "a/two"],
                                  "b": ["a/one", "a/two", "a/three"],
                                  "c": ["a/one", "a/two", "a/three", "b"]})
        self.assertEqual([w.title for w in waves.direct(found, waves.find(found, "c", None))], ["b", "a/two"])
        patches = waves.patches_of(waves.before(found, waves.find(found, "b", None)))
        self.assertEqual([p.step for p in patches], [1, 2, 3, 4])

    def test_wrong_lines_are_named(self):
        for old, new, words in (
                ("# tree: as", "# branch: as", "series:3: unknown key 'branch'; there are: base, topic,"),
                ("# tree: as", "# tree:", "series:3: '# tree:' has no value"),
                ("# wave: two", "# wave: one", "series:9: wave one of topic a begins a second time"),
                ("# wave: two", "# wave: t w", "series:9: 't w' is no name of a wave"),
                ("# stable: 6.1+", "# tree: others", "series:13: '# tree:' stands between no"),
                ("# topic: a", "# a", "series:3: '# tree:' stands between no")):
            with self.subTest(new), self.assertRaisesRegex(Failed, re.escape(words)):
                self.read(TEXT.replace(old, new, 1))

    def test_problems(self):
        many = "".join(f"a/1{number:03}-p.patch\n" for number in range(14))
        for old, new, words in (
                ("# tree: as\n", "", "a/one has no '# tree:' line"),
                ("# tree: as", "# tree: as others", "a/one has more than one tree: as others"),
                ("# list: b@x.example\n# mind", "# mind", "b has no '# list:' line"),
                ("# list: two@x", "# list: <two@x", "a/two: '<two@x.example' is no address of a list"),
                ("a/0003-p.patch\n", "a/0003-p.patch\n" + many,
                 "a/two has 16 patches; a wave has at most 15"),
                ("# wave: one\n", "", "a/0001-p.patch stands above the first '# wave:' line of its topic"),
                ("a/0001-p.patch\n", "", "wave one of topic a has no patch"),
                ("needs: b a/two", "needs: b nothing", "c needs 'nothing', which is no wave"),
                ("needs: nothing", "needs: three", "a/two needs a/three, which does not stand before it"),
                ("needs: nothing", "needs: two", "a/two needs a/two, which does not stand before it"),
                ("# topic: b needs a", "# topic: a-one", "a/one is posted as a-one, like another wave")):
            with self.subTest(new):
                found = waves.problems(self.read(TEXT.replace(old, new, 1)))
                self.assertTrue([x for x in found if x.startswith(words)], found)
        with self.assertRaisesRegex(Failed, "^series: a/one has no '# tree:' line"):
            waves.check(self.read(TEXT.replace("# tree: as\n", "", 1)))

    def test_what_is_refused(self):
        found = self.read()
        for topic, name, words in ((None, None, "a wave at a time; choose one:"),
                                   ("a", None, "topic a is posted in 3 waves; choose one:"),
                                   ("a", "four", "topic a has no wave 'four' with a patch; choose one:"),
                                   ("d", None, "no topic 'd' in series")):
            with self.subTest(words), self.assertRaisesRegex(Failed, words):
                waves.find(found, topic, name)
        with self.assertRaisesRegex(Failed, "\n  scripts/apply --topic a --wave one "):
            waves.find(found, "a", "four", "scripts/apply")

    def test_this_series(self):
        """That of this repository: its waves are right, and each has a cover letter."""
        found = series.read(TOP)
        self.assertEqual(waves.problems(found), [])
        letters = cover.sections((TOP / cover.LETTER).read_text(encoding="utf-8"))
        self.assertEqual(sorted(letters), sorted(["", *(w.title for w in waves.waves(found))]))
        for name, text in letters.items():
            subject, _ = cover.checked(text, name)
            self.assertLessEqual(len(subject), 75, name)

    def test_sed_reads_it(self):
        """As README.md has it: the patches in their order."""
        names = [p.name for p in self.read().patches]
        listed = subprocess.run(["sed", "/^#/d", self.top / "series"], capture_output=True, text=True,
                                check=True)
        self.assertEqual(listed.stdout.split(), names)


class Letters(unittest.TestCase):

    def test_sections(self):
        found = cover.sections("all: of it\n\nText.\n\nTesting\n-------\n\na/one\n=====\n\na: one\n\nOne.\n\n"
                               "a/two\n====\n\nb\n=\n\nb\n===\nb: it\n\nIt.\n"
                               "mm\n===\n\n")
        self.assertEqual(list(found), ["", "a/one"])
        self.assertEqual(cover.checked(found["a/one"], "x")[0], "a: one")
        self.assertIn("a/two", found["a/one"])

    def test_two_of_one_name(self):
        with self.assertRaisesRegex(Failed, "COVER-LETTER.txt has two sections abc"):
            cover.sections("x\n\nabc\n===\n\nabc\n===\n")


if __name__ == "__main__":
    unittest.main()
