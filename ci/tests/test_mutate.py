# SPDX-License-Identifier: GPL-2.0
"""ci/mutate: the operators on C, the table's reader, and the command on the fake kernel."""

import json
import pathlib
import re
import sys
import tempfile
import types
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import Fixture, git  # noqa: E402
from marks import slow  # noqa: E402
from harness import csource, mutant, operators, proof  # noqa: E402
from harness.testbed import Testbed  # noqa: E402
from lib.command import Failed  # noqa: E402
from lib.series import Patch  # noqa: E402

SOURCE = """\
/* if (comment) return 1; */
#define LIST(x) if (x) return 1
struct names {
	int first;
};

static const struct names ours = {
	.first = 3,
};

int main(void)
{
	int ret = 0;

	if (a < b && c != 1) {
		ret = -EINVAL;
		goto out;
	} else if (!d)
		put_it(d,
		       "if (x) 4;");
	list_for_each_entry(x, y, z)
		use(x, true);
	scoped_guard(mutex, &lock)
		ret = size << PAGE_SHIFT;
	if (WARN_ON_ONCE(!e))
		return 7;
	pr_warn("no %d", 12);
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND);
	while (f)
		f = next(f + 1);
out:
	return ret;
}
"""


class OperatorsTest(unittest.TestCase):
    def setUp(self):
        self.changes = operators.changes(SOURCE)
        self.made = {f"{c.operator}: {SOURCE[c.start:c.end]} -> {c.new}".replace("\n", "/").replace("\t", "")
                     for c in self.changes}

    def test_each_operator(self):
        for expected in ("negated: a < b && c != 1 -> !(a < b && c != 1)",
                         "never: !d -> false && (!d)", "always: !d -> true || (!d)",
                         "comparison: < -> <=", "equality: != -> ==", "errno: EINVAL -> EIO",
                         "constant: 1 -> 0", "statement: goto out; -> ;", "statement: ret = -EINVAL; -> ;",
                         'lock: put_it(d,/       "if (x) 4;"); -> ;/', "statement: use(x, true); -> ;",
                         "exchanged: true -> false", "lock: scoped_guard(mutex, &lock) -> ",
                         "size: PAGE_SHIFT -> (PAGE_SHIFT + 1)", "flag: VM_IO |  -> ",
                         "flag:  | VM_DONTEXPAND -> ", "offset: + -> -", "never: f -> false && (f)"):
            with self.subTest(expected):
                self.assertIn(expected, self.made)

    def test_what_is_left_alone(self):
        for change in self.changes:
            line = SOURCE.count("\n", 0, change.start) + 1
            with self.subTest(change=change):
                # comments, macros, types, initialisers, messages, what only a warning leads to
                self.assertNotIn(line, [1, 2, 4, 8, 26, 27])
        said = "\n".join(self.made)
        for words in ("return ret", "int ret = 0; ->", "pr_warn", "always: f", "never: WARN", "equality: ="):
            with self.subTest(words):
                self.assertNotIn(words, said)

    def test_no_line_goes(self):
        for change in self.changes:
            self.assertEqual(SOURCE[change.start:change.end].count("\n"), change.new.count("\n"))

    def test_mask_keeps_every_place(self):
        masked = csource.mask(SOURCE)
        self.assertEqual(list(map(len, masked.split("\n"))), list(map(len, SOURCE.split("\n"))))
        self.assertNotIn("comment", masked)
        self.assertNotIn("4;", masked)


PROGRAM = """\
#include <stdlib.h>

static int add(int a, int b)
{
	int sum = a + b;

	if (getenv("NEVER"))
		sum = 7;
#ifdef NOT_BUILT
	sum = 9;
#endif
	return sum;
}

int main(void)
{
	return add(1, 2) - 3;
}
"""
# {name: (old, new, outcome, gate, lines more)}
LISTED = {
    "wrong-sum": ("a + b", "a - b + 3", "caught", "case", 'case = "*/main/unit/always"'),
    "other-case": ("a + b", "b - a", "missed", "", 'case = "*/main/unit/mended"'),
    "no-such-case": ("a + b", "b - b", "lost", "", 'case = "*/main/unit/renamed"'),
    "not-seen": ("sum = 7", "sum = 8", "missed", "", ""),
    "no-code": ("a + b", "(a + b)", "equivalent", "", ""),
    "not-built": ("sum = 9", "sum = 10", "missed", "", ""),
    "known": ("sum = 7", "sum = 70", "equivalent", "", 'equivalent = "nothing sets NEVER"'),
    "warned-of": ("return sum;", "return 3;", "caught", "diagnostics", ""),
    "no-build": ("int sum", "imt sum", "caught", "build", ""),
    "dead": ("2) - 3", "2) - 1", "caught", "end", ""),
    "skipped": ("2) - 3", "2)", "caught", "case", ""),
    "splat": ("2) - 3", "2) + 1", "caught", "splat", ""),
    "flaky": ("2) - 3", "2) + 2", "missed", "", ""),
}


def listed(names):
    """The text of ci/mutants.toml with some of LISTED."""
    rows = [(name, *LISTED[name]) for name in names]
    return "\n".join(f'[[mutant]]\nname = "{name}"\nfile = "main.c"\nwhy = "who adds"\n{more}\n'
                     f'edits = [{{ old = "{old}", new = "{new}" }}]\n' for name, old, new, _, _, more in rows)


class MutateFixture(Fixture):
    """The image of its kernel knows its main.o, and what main() returns: at 1 the case `always`
    fails, 2 is a machine that dies, 3 a case that is skipped, 4 a splat, and 5 a case that
    fails in the first boot."""

    def __init__(self, lanes=("fake",)):
        super().__init__(lanes)
        makefile = self.linux / "Makefile"
        makefile.write_text(makefile.read_text().replace(
            "\t@cp $(srctree)/boot.sh $(O)/image\n",
            "\t@cd $(O) && gcc -o main main.o && { cksum main.o | sed 's/^/# /'; ./main; echo main=$$?; "
            "cat $(srctree)/boot.sh; } >image\n"))
        boot = self.linux / "boot.sh"
        text = boot.read_text().replace("ok 1 always\n", "$(always)\n").replace("<<'END'", "<<END")
        always = ('always() { case $main in 0) echo "ok 1 always";; 3) echo "ok 1 always # SKIP none";;\n'
                  '5) cd $XDG_CACHE_HOME; [ -e seen ] || echo -n "not "; echo "ok 1 always"; >seen;;\n'
                  '*) echo "not ok 1 always";; esac; }\n')
        begin = 'echo "@@ begin unit" >&3'
        text = always + text.replace(
            begin, f'case $main in 2) exit;; 4) echo "BUG: it splats";; esac\n{begin}')
        more = ('echo "$1" >>$XDG_CACHE_HOME/command-lines\ncase "$1" in *,more*)\necho "@@ begin more" >&3\n'
                'printf "KTAP version 1\\n1..1\\nok 1 also\\n" >&3\necho "@@ end more 0 0.1" >&3;;\nesac\n')
        text = text.replace('echo "@@ done"', more + 'echo "@@ done"')
        boot.write_text(text)
        git(self.linux, "add", "-A")
        git(self.linux, "commit", "-q", "-m", "Linux 7.3")
        git(self.linux, "tag", "-f", "v7.3")
        self.mend()
        self.patch("add", "main.c", (self.linux / "main.c").read_text(), PROGRAM)

    def list(self, text):
        """Write ci/mutants.toml."""
        (self.top / "ci/mutants.toml").write_text(text)

    def mutate(self, *words):
        """(exit code, output) of ci/mutate."""
        return self.run(*words, script="ci/mutate")

    def report(self):
        """The mutants of the report by name."""
        found = json.loads((self.top / "out/mutate.json").read_text())["mutants"]
        return {m["name"]: m for m in found}


class TestbedTest(unittest.TestCase):
    def test_a_file_whose_object_is_being_made_is_built(self):
        with tempfile.TemporaryDirectory(prefix="series-test-") as directory:
            objects = pathlib.Path(directory)
            (objects / "lib").mkdir()
            (objects / "lib/.a.o.cmd").touch()
            (objects / "lib/b.o").touch()  # of something else than Kbuild
            bed = Testbed.__new__(Testbed)
            bed._touched = {"fake"}
            bed._lanes = {"fake": mock.Mock()}
            bed._lanes["fake"].builds.builder.objects = objects
            lane = mock.Mock()
            lane.name = "fake"
            self.assertEqual([bed.builds(lane, name) for name in ("lib/a.c", "lib/b.c", "lib/a.h")],
                             [True, False, True])


class CommandTest(unittest.TestCase):
    """One fixture for all tests: what one of them has judged is kept for the others."""

    @classmethod
    def setUpClass(cls):
        cls.fixture = MutateFixture()
        cls.addClassCleanup(cls.fixture.close)
        code, text = cls.fixture.run(script="scripts/base")
        assert code == 0, text

    def setUp(self):
        self.fixture.list(listed(LISTED))

    def test_each_way_to_be_caught_or_missed(self):
        code, text = self.fixture.mutate()
        self.assertEqual(code, 1, text)
        found = self.fixture.report()
        self.assertEqual({name: (m["outcome"], m["gate"]) for name, m in found.items()},
                         {name: row[2:4] for name, row in LISTED.items()}, text)
        for name, words in (("wrong-sum", "fake/main/unit/always fails"),
                            ("other-case", "*/main/unit/mended does not notice"),
                            ("no-such-case", "no case */main/unit/renamed passes on the last step"),
                            ("not-seen", "none of 1 boots notices: fake/main"),
                            ("no-code", "the compiler makes the same code of it in lane fake"),
                            ("not-built", "no lane builds the line"), ("known", "nothing sets NEVER"),
                            ("dead", "the guest died before its tests ended"),
                            ("skipped", "fake/main/unit/always is skipped: none"),
                            ("splat", "BUG: it splats"),
                            ("no-build", "main.c:5:"),
                            ("warned-of", "new: main.c: warning: variable 'sum' set"),
                            ("flaky", "once in two times only: fake/main: fake/main/unit/always fails")):
            with self.subTest(name):
                self.assertIn(words, found[name]["reason"])
        self.assertEqual(found["wrong-sum"]["cases"], ["fake/main/unit/always"])
        self.assertEqual((found["dead"]["topic"], found["dead"]["patch"]), ("fake", "fake/fake-add"))
        self.assertRegex(text, r"(?m)^fake +13 +0 +6 +4 +2 +1 +60 %$")
        self.assertIn("caught by case: 2\n", text)
        self.assertIn("again: ci/mutate --again not-seen\n", text)
        self.assertIn("| +\t\tsum = 8;", text)
        self.repeat(found)

    def repeat(self, first):
        """A repeat keeps all but what was flaky or could not be judged."""
        code, text = self.fixture.mutate()
        self.assertEqual(code, 1, text)
        again = self.fixture.report()
        made = {name for name, m in again.items() if not m["kept"]}
        self.assertEqual(made, {"flaky"} & made, text)
        self.assertEqual({n: m["outcome"] for n, m in again.items() if n != "flaky"},
                         {n: m["outcome"] for n, m in first.items() if n != "flaky"})
        cache = self.fixture.directory / "cache/linux-dmabuf-series"
        self.assertEqual((cache / "lanes/fake/source/main.c").read_text(), PROGRAM)
        self.assertFalse(list(cache.glob("mutants/*")))

    @slow
    def test_the_test_that_has_the_case_runs_alone(self):
        made = MutateFixture()
        self.addCleanup(made.close)
        lane, needs = (made.top / "ci" / name for name in ("lanes/fake.toml", "guest/needs.toml"))
        lane.write_text(lane.read_text().replace('["unit"]', '["unit", "more"]'))
        (made.top / "ci/guest/tests/more").write_text("# what boot.sh plays, too\n")
        needs.write_text(needs.read_text() + "[more]\n")
        made.list(listed(["wrong-sum", "other-case", "not-seen"]))
        _, text = made.mutate()
        self.assertEqual({n: m["outcome"] for n, m in made.report().items()},
                         {"wrong-sum": "caught", "other-case": "missed", "not-seen": "missed"}, text)
        lines = (made.directory / "cache/command-lines").read_text().splitlines()
        ran = [re.search(r"ci\.tests=(\S+)", line)[1] for line in lines]
        # without a fault, all and alone; caught, twice; missed by the test alone and by all; missed
        # where no case is named
        self.assertEqual(sorted(ran), sorted(["unit,more", "unit", *["unit"] * 2, "unit",
                                              *["unit,more"] * 2]), ran)

    @slow
    def test_names_and_exit_codes(self):
        for name, expected in (("wrong-sum", 0), ("known", 0), ("no-such-case", 125), ("not-seen", 1)):
            with self.subTest(name):
                code, text = self.fixture.mutate(name)
                self.assertEqual((code, list(self.fixture.report())), (expected, [name]), text)

    @slow
    def test_generated_ones(self):
        words = ["--no-listed", "--sample", "6", "--seed", "a"]
        code, text = self.fixture.mutate(*words)
        found = self.fixture.report()
        counted = [m for m in found.values() if m["outcome"] != "uncompiled"]
        self.assertEqual((code, len(counted)), (1, 6), text)
        self.assertTrue(all(m["source"] == "generated" and m["operator"] for m in found.values()))
        self.assertGreaterEqual(text.count("\ncaught by "), 1)
        code, again = self.fixture.mutate(*words)
        self.assertEqual(again.count("(kept)"), len(found) + 2, again)  # and the last step itself
        self.assertEqual(list(self.fixture.report()), list(found))
        name = next(m["name"] for m in counted if m["outcome"] == "caught")
        code, text = self.fixture.mutate(name)
        self.assertEqual((code, list(self.fixture.report())), (0, [name]), text)

    def test_what_is_shown_and_not_judged(self):
        code, text = self.fixture.mutate("--list", "--sample", "3", "--seed", "a")
        self.assertEqual(code, 0, text)
        self.assertIn("wrong-sum: step 2, main.c:5: who adds\n      case: */main/unit/always\n", text)
        self.assertRegex(text, r"(?m)^main\.c:\d+:\w+(-\d)?: step 2, main\.c:\d+\n")
        code, text = self.fixture.mutate("--plan", "--topic", "fake", "--patch", "2")
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"(?m)^not-seen: fake/main \d+ s$")
        self.assertIn("known: nothing sets NEVER\n", text)

    @slow
    def test_wrong_use(self):
        for words, said in ((["nope"], "no mutant 'nope'"), (["--sample", "0"], "not a whole number above 0"),
                            (["--sample", "9999"], "there are "), (["--topic", "nope"], "no topic 'nope'"),
                            (["--patch", "1"], "no such mutant"), (["--lane", "nope"], "no lane 'nope'")):
            with self.subTest(words):
                code, text = self.fixture.mutate("--list", *words)
                self.assertEqual(code, 1, text)
                self.assertIn(said, text)
                self.assertNotIn("Traceback", text)

    @slow
    def test_a_run_tells_what_does_not_fit(self):
        for old, verdict, said in (("a + b", "pass", ""),
                                   ("a / b", "fail", "wrong-sum: edit 1: 'a / b' is in main.c")):
            with self.subTest(verdict):
                self.fixture.list(listed(["wrong-sum"]).replace("a + b", old))
                self.fixture.run("--step", "2")
                found = json.loads((self.fixture.top / "out/results.json").read_text())
                one, = [j for j in found["judgements"] if j["gate"] == "mutants"]
                self.assertEqual((one["step"], one["lane"], one["verdict"]), (2, "series", verdict))
                self.assertIn(said, one["reason"])

    @slow
    def test_a_last_step_that_does_not_pass_cannot_be_judged(self):
        other = MutateFixture()
        self.addCleanup(other.close)
        other.patch("break", "main.c", "2) - 3", "2) - 2")
        other.list(listed(["not-seen"]))
        code, text = other.mutate()
        self.assertEqual(code, 125, text)
        self.assertIn("the boot main of lane fake is fail on the last step without a fault", text)


    @slow
    def test_what_only_a_lane_that_cannot_run_may_notice_is_lost(self):
        other = MutateFixture(lanes=("fake", "second"))
        self.addCleanup(other.close)
        lane = other.top / "ci/lanes/second.toml"
        lane.write_text(lane.read_text().replace("{lanes}/fake-qemu", "no-such-emulator"))
        other.list(listed(["not-seen", "wrong-sum"]))
        code, text = other.mutate()
        self.assertEqual(code, 125, text)
        self.assertIn("lost: not-seen: main.c:8: lane second cannot run here: no no-such-emulator", text)
        self.assertIn("caught by case in fake/main: wrong-sum", text)


class Lines:
    """A stand-in for Additions: file.c, all of whose lines are of one patch."""

    patch = Patch(1, "topic", "topic/0001-p.patch", pathlib.Path("p"))

    def text(self, file):
        """The text of file.c."""
        return "one\ntwo\ntwo\nthree\n" if file == "file.c" else ""

    def touching(self, file):
        """The patch, for file.c."""
        return [self.patch] if file == "file.c" else []

    def lines(self, _file):
        """The patch, for each line."""
        return dict.fromkeys(range(1, 5), self.patch)


class TableTest(unittest.TestCase):
    """The reader of ci/mutants.toml."""

    def read(self, text):
        with tempfile.TemporaryDirectory() as top:
            (pathlib.Path(top) / "ci").mkdir()
            (pathlib.Path(top) / "ci/mutants.toml").write_text(text)
            return mutant.read(pathlib.Path(top), Lines())

    def entry(self, more="", **keys):
        keys = {"name": '"some-name"', "file": '"file.c"', "why": '"a user"',
                "edits": '[{ old = "one", new = "1" }]', **keys}
        return "[[mutant]]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items() if v) + f"\n{more}\n"

    def test_an_entry(self):
        found, = self.read(self.entry('case = "a/b/c/d"', edits='[{ old = "one", new = "1" },'
                                      '{ old = "two\\nthree", new = "two" }]'))
        text = Lines().text("file.c")
        self.assertEqual((found.apply(text), found.line, found.case), ("1\ntwo\ntwo\n", 1, "a/b/c/d"))
        self.assertEqual(found.diff(text).splitlines()[1:3], ["-one", "+1"])

    def test_all_that_does_not_fit_is_told(self):
        with tempfile.TemporaryDirectory() as top:
            self.assertEqual(mutant.unfit(pathlib.Path(top), Lines()), [])
            (pathlib.Path(top) / "ci").mkdir()
            for text, said in ((self.entry(), []), ("[[mutant]\n", ["ci/mutants.toml: "]),
                               (self.entry(name='"a"', edits='[{ old = "two", new = "2" }]')
                                + self.entry(name='"b"') + self.entry(name='"b"')
                                + self.entry(name='"c"', file='"other.c"'),
                                ["a: edit 1: 'two' is in file.c of the last step 2 times",
                                 "b is listed twice", "c: no patch of the series touches other.c"])):
                (pathlib.Path(top) / "ci/mutants.toml").write_text(text)
                wrong = mutant.unfit(pathlib.Path(top), Lines())
                self.assertEqual(len(wrong), len(said), wrong)
                for sentence, words in zip(wrong, said, strict=True):
                    self.assertIn(words, sentence)

    def test_errors(self):
        for text, said in (
                (self.entry(why=""), "some-name: why is missing"),
                (self.entry("color = 1"), "some-name: unknown: color"),
                (self.entry(edits="[]"), "some-name: it has no edits"),
                (self.entry(edits='[{ old = "one" }]'), "some-name: an edit: new is missing"),
                (self.entry(edits='[{ old = "one", new = "one" }]'), "an edit changes nothing: 'one'"),
                (self.entry(edits='[{ old = "two", new = "2" }]'),
                 "edit 1: 'two' is in file.c of the last step 2"),
                (self.entry(edits='[{ old = "four", new = "4" }]'), "is in file.c of the last step 0 times"),
                (self.entry(file='"other.c"'), "no patch of the series touches other.c"),
                (self.entry(name='"Some name"'), "a name has small letters, digits and -"),
                (self.entry() + self.entry(), "some-name is listed twice"),
                ("[[mutants]]\n", "unknown: mutants"), ("[[mutant]\n", "ci/mutants.toml: ")):
            with self.subTest(said), self.assertRaisesRegex(Failed, re.escape(said)):
                self.read(text)


class MayHaveTest(unittest.TestCase):
    """Which boots a pattern of ci/proofs.toml may be of."""

    def test_may_have(self):
        boot = types.SimpleNamespace(name="main", tests=["kunit", "unit"])
        for pattern, expected in (("x/main/unit/a", True), ("*/unit/a", True), ("x/*/unit/*", True),
                                  ("x/main*/unit/a", True), ("x/main/end", True),
                                  ("*/main/kunit/suite/*", True),
                                  ("y/main/unit/a", False), ("x/other/unit/a", False), ("*/other/a", False),
                                  ("x/other/end", False), ("*/other/unit/a", False)):
            with self.subTest(pattern):
                self.assertEqual(proof.may_have(pattern, "x", boot), expected)


if __name__ == "__main__":
    unittest.main()
