# SPDX-License-Identifier: GPL-2.0
"""ci/test in a repository of its own with seeded failures; the --help of every command."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import unittest.mock

from marks import slow
import template

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import editorconfig, files, licence, linters, share, suite, tally  # noqa: E402
from lib import environment  # noqa: E402
from lib.command import CannotJudge, Failed  # noqa: E402
from lib.verdict import Verdict  # noqa: E402

LICENCE = "# SPDX-License-Identifier: GPL-2.0\n"
GOOD = """
import unittest
class Good(unittest.TestCase):
    def test_one(self): pass
    def test_two(self): pass
"""
LAST = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


def judgement(verdict, gate="build", **more):
    """One entry of results.json."""
    return {"step": 1, "lane": "fake", "gate": gate, "verdict": verdict, "reason": "seeded",
            "command": "ci/run --step 1", **more}


def state(pid):
    """The state of a process as in /proc/PID/stat; "" for one that is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


class Repository(unittest.TestCase):
    """A clone with ci/test and its parts; what it calls are stubs that say that they were called."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="ci-test-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name) / "repo"
        self.bin = pathlib.Path(holder.name) / "bin"
        self.bin.mkdir()
        for name in ("ci/harness", "scripts/lib"):
            shutil.copytree(template.project() / name, self.top / name)
        shutil.copy(TOP / "ci/test", self.top / "ci/test")
        for name in ("COPYING", "REUSE.toml", ".editorconfig"):
            shutil.copy(TOP / name, self.top / name)
        # the copies are no files of this repository: what is wrong in them shows elsewhere
        self.write(".gitignore", f"{LICENCE}out/\n__pycache__/\nci/harness/\nscripts/lib/\n")
        (self.top / "patches").mkdir()
        self.command("ci/install", "")
        self.command("scripts/base", "echo 0123; echo importing >&2\n")
        self.command("scripts/refresh", '[ "$1" = --check ]\n')
        self.runs([judgement("pass"), judgement("skip")], 0)
        self.write("ci/tests/test_good.py", LICENCE + GOOD)
        for name in ("shellcheck", "pyflakes3", "mypy", "codespell"):
            self.tool(name, "exit 0\n")
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": holder.name,
                            "XDG_CACHE_HOME": f"{holder.name}/cache", "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(["git", "init", "-q", self.top], check=True, env=self.environment)

    def write(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, name, text):
        self.write(name, f"#!/bin/sh\n{LICENCE}{text}").chmod(0o755)

    def tool(self, name, text):
        (self.bin / name).write_text(f"#!/bin/sh\n{text}")
        (self.bin / name).chmod(0o755)

    def runs(self, judgements, rc, directory="$(dirname \"$0\")/../out"):
        """Let ci/run judge so."""
        text = "" if judgements is None else (
            f"out=\"{directory}\"\nmkdir -p \"$out\"\ncat >\"$out/results.json\" <<'END'\n"
            f"{json.dumps({'judgements': judgements}, indent=1)}\nEND\n")
        self.command("ci/run", f"echo \"ci/run: $*\"\n{text}exit {rc}\n")

    def unit(self, name, text):
        self.write(f"ci/tests/test_{name}.py", LICENCE + "import os, unittest\n" + textwrap.dedent(text))

    def start(self, *words, **kwargs):
        return subprocess.Popen([self.top / "ci/test", *words], cwd=self.top, env=self.environment,
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)

    def call(self, *words, expect=0):
        """Run ci/test: (its output, (passed, failed, skipped) of its last line)."""
        process = self.start(*words)
        text = process.communicate(timeout=120)[0]
        self.assertEqual(process.returncode, expect, text)
        match = LAST.fullmatch(text.rstrip("\n").split("\n")[-1])
        return text, tuple(map(int, match.groups())) if match else None


class Whole(Repository):

    def test_good(self):
        text, counts = self.call("--", "--lane", "x y")
        # seven linters, two unit tests, round-trip, and what ci/run judged
        self.assertEqual(counts, (11, 0, 1), text)
        self.assertIn("ci/run: --lane x y\n", text)
        self.assertRegex(text, r"(?m)^\[unit good\]  PASS: 2 tests, \d+ s of CPU$")
        self.assertIn("importing\n", text)  # the progress of scripts/base
        order = [text.index(f"\n[{label}]") if label != "shellcheck" else text.index("[shellcheck]")
                 for label in ("shellcheck", "unit good", "round-trip")]
        self.assertEqual(order, sorted(order), text)

    def test_quick(self):
        self.command("ci/run", "exit 1\n")
        self.command("scripts/refresh", "exit 1\n")
        text, counts = self.call("--quick")
        self.assertEqual(counts, (9, 0, 0), text)

    @slow
    def test_slow(self):
        """What is marked is left out by --quick, not by the others, and is told; a file of nothing
        else is no empty one."""
        shutil.copy(TOP / "ci/tests/marks.py", self.top / "ci/tests/marks.py")
        self.unit("some", """
            from marks import slow
            class Some(unittest.TestCase):
                def test_one(self): pass
                @slow
                def test_two(self): self.fail("seeded failure")
            """)
        self.unit("all", """
            from marks import slow
            @slow
            class All(unittest.TestCase):
                def test_one(self): self.fail("seeded failure")
            class Derived(All): pass
            """)
        text, counts = self.call("--quick")
        self.assertEqual(counts, (10, 0, 0), text)
        self.assertRegex(text, r"(?m)^\[unit some\]  PASS: 1 tests, \d+ s of CPU; without 1 slow ones$")
        self.assertRegex(text, r"(?m)^\[unit all\]  PASS: 0 tests, \d+ s of CPU; without 2 slow ones$")
        self.command("scripts/refresh", "exit 1\n")
        text, counts = self.call("--harness", expect=1)
        self.assertEqual(counts, (10, 3, 0), text)
        self.assertIn("[unit good]  PASS: 2 tests", text)

    @slow
    def test_long(self):
        """long_*.py are run when asked for, each test of a class in a process of its own."""
        self.write("ci/tests/long_good.py", LICENCE + GOOD)
        self.assertEqual(self.call("--quick")[1], (9, 0, 0))
        text, counts = self.call("--quick", "--long")
        self.assertEqual(counts, (11, 0, 0), text)
        self.assertIn("[unit long_good]  PASS: 2 tests, ", text)
        found = suite.shares(self.top / "ci/tests", long=True)
        self.assertEqual([(s.index, s.count, s.seconds, s.spread) for s in found],
                         [(n, 2, suite.LONG_SECONDS, True) for n in (0, 1)])

    def test_seeded_failures(self):
        """Every one is named and counted, and hides none of the others."""
        self.unit("cases", """
            class Cases(unittest.TestCase):
                def test_fail(self): self.assertEqual("seeded " + "failure", "")
                def test_error(self): raise ValueError("seeded " + "error \\u00e9 \\udcff")
                @unittest.skip("seeded skip")
                def test_skip(self): pass
                def test_pass(self): print("not shown")
                def test_parts(self):
                    for n in range(3):
                        with self.subTest(n=n): self.assertEqual(n, 1)
                @unittest.expectedFailure
                def test_expected(self): self.fail()
                @unittest.expectedFailure
                def test_unexpected(self): pass
            class Fixture(unittest.TestCase):
                @classmethod
                def setUpClass(cls): raise OSError("seeded fixture")
                def test_never(self): pass
            """)
        self.unit("crash", """
            class Crash(unittest.TestCase):
                def test_1(self): pass
                def test_2(self): os.abort()
                def test_3(self): pass
            """)
        self.unit("broken", "import nothing_of_this_name\n")
        self.unit("empty", "")
        self.tool("shellcheck", "echo seeded finding; exit 1\n")
        text, counts = self.call("--quick", expect=1)
        # linters 6; good 2, cases 2, crash 1 pass; shellcheck 1; cases 5 (skip among them) and
        # its fixture 2, crash 2, broken 1, empty 1 do not
        self.assertEqual(counts, (11, 12, 0), text)
        for words in ("[shellcheck]  FAIL\n", "seeded finding", "seeded failure", "seeded error",
                      "skipped: seeded skip", "(n=0)", "(n=2)", "passes, but is an expected failure",
                      "seeded fixture", "Fixture.test_never: not run: its fixture failed",
                      "test_2: the process was ended by SIGABRT while it ran",
                      "test_3: not run: the process was ended by SIGABRT", "nothing_of_this_name",
                      "test_empty.py: holds no test", "[unit good]  PASS: 2 tests",
                      "again: python3 -m unittest discover -s ci/tests -p test_cases.py -k Cases.test_fail\n",
                      "failed: shellcheck unit:"):
            self.assertIn(words, text)
        self.assertNotIn("not shown", text)

    def test_locale_that_has_no_such_letter(self):
        self.unit("cases", """
            class Cases(unittest.TestCase):
                def test_error(self): raise ValueError("seeded \\u20ac \\udcff")
            """)
        self.environment |= {"PYTHONIOENCODING": "latin-1"}
        text, counts = self.call("--quick", expect=1)
        self.assertEqual(counts, (9, 1, 0), text)
        self.assertIn("seeded \\u20ac \\udcff", text)

    def test_the_command_that_repeats_a_test_does(self):
        self.unit("cases", """
            class Cases(unittest.TestCase):
                def test_fail(self): self.fail("seeded")
                def test_other(self): pass
            """)
        text, _ = self.call("--quick", expect=1)
        again = re.search(r"again: (.* -k .*)", text).group(1)
        done = subprocess.run(again, shell=True, cwd=self.top, env=self.environment, check=False,
                              capture_output=True, text=True)
        self.assertIn("Ran 1 test", done.stderr)
        self.assertIn("seeded", done.stderr)

    def test_lost_only(self):
        self.runs([judgement("pass"), judgement("lost"), judgement("flaky")], 125)
        text, counts = self.call(expect=125)
        self.assertEqual(counts, (11, 2, 0), text)
        self.assertIn("could not be judged, 2 of those counted as failed: ci/run\n", text)
        self.assertNotIn("\nfailed:", text)

    @slow
    def test_output_is_honoured(self):
        self.runs(None, 0)
        elsewhere = self.top.parent / "elsewhere"
        self.runs([judgement("fail")] * 3, 1, directory=elsewhere)
        for words in (["--output", str(elsewhere)], [f"--output={elsewhere}"]):
            with self.subTest(words):
                text, counts = self.call("--", *words, expect=1)
                self.assertEqual(counts[1], 3, text)

    def test_results_of_another_run_are_not_read(self):
        self.runs([judgement("pass")] * 5, 0)
        self.call()
        self.runs(None, 0)
        text, counts = self.call(expect=125)
        self.assertEqual(counts, (10, 1, 0), text)
        self.assertIn("ended with 0, and wrote no results", text)

    def test_no_base(self):
        self.command("scripts/base", "echo no source has it >&2; exit 125\n")
        text, counts = self.call(expect=125)
        self.assertEqual(counts, (7, 1, 0), text)
        self.assertIn("no source has it\n", text)
        self.assertIn("[base]  LOST", text)

    def test_packages_that_are_missing(self):
        self.command("ci/install", "echo 'ci/install: missing; as root: apt-get' >&2; exit 125\n")
        text, counts = self.call(expect=125)
        self.assertIn("as root: apt-get", text)
        self.assertEqual(counts, None)

    def test_wrong_use(self):
        self.command("ci/install", "echo called; exit 1\n")
        for words in (["nonsense"], ["--nonsense"], ["--quick", "nonsense"],
                      ["--quick", "--", "nonsense"], ["--harness", "--", "nonsense"]):
            with self.subTest(words):
                text, _ = self.call(*words, expect=1)
                self.assertIn("nonsense", text)
                self.assertNotIn("called", text)

    def test_output_that_cannot_be_written(self):
        self.command("ci/install", "echo called; exit 1\n")
        text, _ = self.call("--", "--output", str(self.top / "COPYING"), expect=125)
        self.assertIn("the report cannot be written to", text)
        self.assertNotIn("called", text)

    def test_no_clone(self):
        shutil.rmtree(self.top / ".git")
        text, counts = self.call("--quick", expect=125)
        self.assertIn("not a git repository", text)
        self.assertIn("the tests run in a git clone", text)
        self.assertEqual(counts, None)
        # unpacked inside somebody's clone
        subprocess.run(["git", "init", "-q", self.top.parent], check=True, env=self.environment)
        text, counts = self.call("--quick", expect=125)
        self.assertIn("lies in the one of", text)
        self.assertEqual(counts, None)


class Signals(Repository):
    """A signal to ci/test ends what it started, and what that started, within five seconds."""

    def assertEnds(self, number):
        mark = self.top.parent / "pid"
        process = self.start("--quick")
        self.addCleanup(process.stdout.close)
        limit = time.monotonic() + 60
        while not (mark.exists() and mark.read_text().strip()) and time.monotonic() < limit:
            time.sleep(0.02)
        start = time.monotonic()
        process.send_signal(number)
        text = process.communicate(timeout=60)[0]
        self.assertLess(time.monotonic() - start, 5, text)
        self.assertEqual(process.returncode, 125, text)
        self.assertIn(f"interrupted by {signal.Signals(number).name}", text)
        self.assertIn(state(mark.read_text().strip()), ("", "Z"), text)
        self.assertEqual(list(self.top.parent.glob("tmp/*")), [])

    def setUp(self):
        super().setUp()
        self.environment["TMPDIR"] = f"{self.top.parent}/tmp"
        (self.top.parent / "tmp").mkdir()

    def test_scripts_base(self):
        self.command("scripts/base", f"sleep 600 & echo $! >{self.top.parent}/pid; wait\n")
        self.assertEnds(signal.SIGTERM)

    @slow
    def test_unit_test_with_a_command_of_ours(self):
        """Which ends what it started in a process group of its own, and cleans up."""
        self.write("scripts/ours", "#!/usr/bin/env python3\n" + LICENCE + textwrap.dedent(f"""\
            from lib import command
            def work(_):
                try:
                    command.run(["sh", "-c", "sleep 600 & echo $! >{self.top.parent}/pid; wait"])
                finally:
                    print("cleaned up", file=open("{self.top.parent}/cleaned", "w"))
            command.main(work, "ours")
            """)).chmod(0o755)
        self.unit("slow", f"""
            import subprocess, tempfile
            class Slow(unittest.TestCase):
                def test_slow(self):
                    with tempfile.TemporaryDirectory():
                        subprocess.run(["{self.top}/scripts/ours"])
            """)
        for number in (signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                self.assertEnds(number)
                self.assertEqual((self.top.parent / "cleaned").read_text(), "cleaned up\n")
                (self.top.parent / "pid").unlink()


class RunTest(unittest.TestCase):
    """Tally.run(): the results of ci/run against its exit status."""

    def run_of(self, judgements, rc):
        """(exit code, (passed, failed, skipped), output)."""
        counts, text = tally.Tally(), io.StringIO()
        with tempfile.TemporaryDirectory() as holder:
            path = pathlib.Path(holder) / "results.json"
            if judgements is not None:
                path.write_text(judgements if isinstance(judgements, str) else
                                json.dumps({"judgements": judgements}))
            with contextlib.redirect_stdout(text):
                counts.run(path, rc)
                code = counts.end()
        return code, (counts.passed, counts.failed, counts.skipped), text.getvalue()

    def test_status_and_results(self):
        good, bad, skip, lost, flaky = map(judgement, ("pass", "fail", "skip", "lost", "flaky"))
        for results, rc, code, counts in (
                ([good, skip], 0, 0, (1, 0, 1)), ([good, bad, skip], 1, 1, (1, 1, 1)),
                ([good, bad, lost], 1, 1, (1, 2, 0)), ([good, lost], 125, 125, (1, 1, 0)),
                ([good, flaky], 125, 125, (1, 1, 0)), ([skip], 125, 125, (0, 1, 1)),
                # without results nothing is known
                (None, 0, 125, (0, 1, 0)), (None, 1, 1, (0, 1, 0)), (None, 125, 125, (0, 1, 0)),
                (None, None, 125, (0, 1, 0)), (None, -9, 125, (0, 1, 0)), ("{", 0, 125, (0, 1, 0)),
                ([], 0, 125, (0, 1, 0)), ("[]", 0, 125, (0, 1, 0)),
                ([judgement("passed")], 0, 125, (0, 1, 0)),
                # where the two say different things, the worse one holds
                ([good], 1, 1, (1, 1, 0)), ([good], 125, 125, (1, 1, 0)), ([good], -15, 125, (1, 1, 0)),
                ([bad], 0, 1, (0, 2, 0)), ([lost], 0, 1, (0, 2, 0))):
            with self.subTest(results=results, rc=rc):
                got = self.run_of(results, rc)
                self.assertEqual(got[:2], (code, counts), got[2])

    def test_skips_that_the_packages_make_avoidable(self):
        skips = [judgement("skip", "coccinelle", avoidable=True), judgement("skip", "w1")]
        code, counts, text = self.run_of([judgement("pass"), *skips], 0)
        self.assertEqual((code, counts), (1, (1, 1, 1)), text)
        self.assertIn("step 1 fake coccinelle: seeded\n", text)
        self.assertIn("failed: ci/run:skipped-gates:1\n", text)


class SuiteTest(unittest.TestCase):
    def test_the_shares_of_a_file_hold_each_test_once(self):
        with tempfile.TemporaryDirectory() as holder:
            path = pathlib.Path(holder) / "test_many.py"
            path.write_text("import unittest\nclass Many(unittest.TestCase):\n" + "".join(
                f"    def test_{n}(self): pass\n" for n in range(suite.SHARE * 2 + 1)))
            shares = suite.shares(pathlib.Path(holder))
            self.assertEqual([s.count for s in shares], [3, 3, 3])
            scratch = pathlib.Path(holder) / "scratch"
            scratch.mkdir()
            ran = [suite.run_share(s, scratch).passed for s in shares]
        self.assertEqual((sum(ran), max(ran)), (suite.SHARE * 2 + 1, 6))

    def test_a_class_stays_in_one_share_where_it_fits(self):
        kinds = {letter: type(letter, (), {}) for letter in "abc"}
        for text, parts in (
                ("aaaaabbbbbcc", ["aaaaa", "bbbbbcc"]), ("aaaaaaaaaaab", ["aaaaaa", "aaaaab"]),
                ("aaaabbbbbbbcccc", ["aaaa", "bbbbbbb", "cccc"]), ("abc", ["a", "b", "c"]),
                ("aaaa", ["a", "a", "a", "a"]), ("abbbbb", ["abb", "bbb"]), ("a", ["a"]), ("", ["", ""])):
            with self.subTest(text):
                found = [kinds[letter]() for letter in text]
                made = share.shares(found, len(parts))
                self.assertEqual(["".join(type(x).__name__ for x in part) for part in made], parts)
                self.assertEqual([id(x) for part in made for x in part], [id(x) for x in found])

    def test_long_tests_are_one_of_each_class(self):
        """Those of one class may take as long as a share may."""
        self.assertEqual(share.shares("abcabcabc", 3, spread=True), [list("aaa"), list("bbb"), list("ccc")])
        with tempfile.TemporaryDirectory() as holder:
            path = pathlib.Path(holder) / "long_two.py"
            path.write_text("import unittest\nclass Base:\n    def test_1(self): pass\n"
                            "    def test_2(self): pass\nclass A(Base, unittest.TestCase): pass\n"
                            "class B(Base, unittest.TestCase): pass\n")
            found = suite.shares(pathlib.Path(holder), long=True)
            for one in found:
                self.assertEqual(suite.run_share(one, pathlib.Path(holder)).passed, 2)
            told = [suite.events(pathlib.Path(holder) / f"long_two-{one.index}.json") for one in found]
        self.assertEqual([events[0]["share"] for events in told],
                         [[f"long_two.{kind}.test_{n}" for kind in "AB"] for n in (1, 2)])

    def test_any_cut_holds_each_test_once(self):
        one, two = type("One", (), {}), type("Two", (), {})
        for length in range(12):
            for border in range(length + 1):
                found = [one() for _ in range(border)] + [two() for _ in range(length - border)]
                for count in range(1, 6):
                    made = share.shares(found, count)
                    self.assertEqual(([x for part in made for x in part], len(made)), (found, count))
                    if length >= count:
                        self.assertLess(max(map(len, made)), 2 * length / count + 1)

    def test_a_cut_line_is_no_result(self):
        one = suite.Share(pathlib.Path("test_x.py"), 0, 1)
        with tempfile.TemporaryDirectory() as holder:
            path = pathlib.Path(holder) / "told"
            path.write_text('{"total": 1, "share": ["test_x.X.test_a"]}\n{"begin": "test_x.X.test_a"}\n'
                            '{"end": "test_x.X.test_a", "outcome": "pa')
            count = suite.counted(one, suite.events(path), "the process ended with -9", "")
        self.assertEqual((count.passed, count.failed), (0, 1))
        self.assertIn("the process ended with -9 while it ran", count.texts[0])

    def test_a_process_that_ends_badly_after_its_tests(self):
        told = [{"total": 1, "share": ["a"]}, {"end": "a", "outcome": "pass", "text": ""}]
        count = suite.counted(suite.Share(pathlib.Path("test_x.py"), 0, 1), told, "took longer", "said")
        self.assertEqual((count.passed, count.failed), (1, 1))
        self.assertIn("took longer", count.texts[0])
        self.assertIn("said", count.texts[1])


class LintersTest(unittest.TestCase):
    """The linters themselves on seeded findings: the programs, and the rules of our own."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="ci-test-lint-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        self.write(".editorconfig", (TOP / ".editorconfig").read_text())
        self.write("REUSE.toml", (TOP / "REUSE.toml").read_text())
        self.write("mypy.ini", (TOP / "mypy.ini").read_text())
        self.write("COPYING", (TOP / "COPYING").read_bytes())
        self.write("ci/good", f"#!/bin/sh\n{LICENCE}echo\n")
        self.write("ci/good.py", f"{LICENCE}print()\n")

    def write(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def findings(self, mypy=False):
        """What all say of the files; mypy: whether it takes its seconds, too."""
        names = sorted(str(p.relative_to(self.top)) for p in self.top.rglob("*") if p.is_file())
        with unittest.mock.patch.object(linters, "_MYPY", linters._MYPY if mypy else ["true"]):
            cache = template.made("mypy", lambda place: None)  # for all tests of this process
            return {f.label: f for f in linters.run(self.top, names, cache)}

    @slow
    def test_seeded_findings(self):
        found = self.findings()
        self.assertEqual({f.verdict for f in found.values()}, {Verdict.PASS}, found)
        self.write("ci/bad", f"#!/bin/sh\n{LICENCE}echo $1\n")
        self.write("scripts/bad", f"#!/usr/bin/env python3\n{LICENCE}prnt()\n")
        self.write("README.md", "reciev" + "ed by /ho" + "me/somebody/x\nwhite \n\twhite\t\nno end")
        self.write("patches/a/x.patch", "white \nno end, /ho" + "me/somebody")
        self.write("ci/lanes/x.toml", b"# SPDX-License-Identifier: GPL-2.0\r\n# \xff\n")
        found = self.findings(mypy=True)
        self.assertEqual({f.verdict for f in found.values()}, {Verdict.FAIL}, found)
        self.assertIn("ci/bad", found["shellcheck"].text)
        self.assertIn("prnt", found["pyflakes"].text)
        self.assertIn("scripts/bad:3: error", found["mypy"].text)
        self.assertIn("reciev" + "ed", found["codespell"].text)
        self.assertEqual(found["licence"].text, "README.md: no SPDX-License-Identifier in its first 5 lines, "
                         "and REUSE.toml does not name it")
        self.assertEqual(found["editorconfig"].text.split("\n"), [
            "README.md:2: white space at the end of the line",
            "README.md:3: white space at the end of the line", "README.md:4: the last line does not end",
            "ci/lanes/x.toml:2: is not UTF-8", "ci/lanes/x.toml:1: the line ends in CR LF"])
        self.assertEqual(found["machines"].text, "README.md:1: a path of one machine: /ho" + "me/somebody")

    @slow
    def test_types(self):
        """All is typed but the tests, and neither command nor library is Any to the other."""
        self.write("scripts/lib/sum.py",
                   f"{LICENCE}import bisect\ndef add(one: int) -> int:\n    return bisect.bisect([1], one)\n")
        head = f"#!/usr/bin/env python3\n{LICENCE}from lib import sum\n"
        self.write("ci/call", f"{head}sum.add('a')\n")
        self.write("ci/bisect", f"{head}sum.add('b')\n")
        self.write("ci/harness/one.py", f"{LICENCE}def untyped(): pass\n")
        self.write("ci/tests/test_x.py", f"{LICENCE}def untyped(): pass\n")
        found = self.findings(mypy=True)
        self.assertEqual(re.findall(r"(?m)^(\S+): error: .*\[(.*)\]$", found["mypy"].text), [
            ("ci/harness/one.py:2", "no-untyped-def"), ("ci/call:4", "arg-type")])
        # a command that is called like a module of Python's is read by itself
        self.assertEqual(re.findall(r"(?m)^(\S+): error: .*\[(.*)\]$", found["mypy ci/bisect"].text), [
            ("ci/bisect:4", "arg-type")])
        self.assertFalse((self.top / ".mypy_cache").exists())
        self.assertIn("--cache-dir /dev/null ", found["mypy ci/bisect"].again)
        self.assertNotIn("test-templates-", found["mypy ci/bisect"].again)
        # what is kept of the library is not what the library has become
        self.write("scripts/lib/sum.py", f"{LICENCE}def add(one: str) -> str:\n    return one\n")
        found = self.findings(mypy=True)
        self.assertNotIn("ci/call", found["mypy"].text)
        self.assertIs(found["mypy ci/bisect"].verdict, Verdict.PASS, found["mypy ci/bisect"].text)

    def test_what_mypy_keeps_is_shared_and_removed(self):
        self.write("bin/mypy", "#!/bin/sh\n"
                   "for word; do [ \"$last\" = --cache-dir ] && dir=$word; last=$word; done\n"
                   "[ -e $dir/kept ] && echo reads $dir || touch $dir/kept\nexit 1\n")
        (self.top / "bin/mypy").chmod(0o755)
        self.write("ci/bisect", f"#!/usr/bin/env python3\n{LICENCE}print()\n")
        with unittest.mock.patch.dict(os.environ, {"PATH": f"{self.top}/bin:{os.environ['PATH']}"}):
            found = {f.label: f for f in linters.run(self.top, ["ci/good.py", "ci/bisect"])}
        self.assertEqual(found["mypy"].text, "")
        words = found["mypy ci/bisect"].text.split()
        self.assertEqual(words[0], "reads")
        self.assertFalse(pathlib.Path(words[1]).exists())

    def test_words_that_newer_codespell_and_shellcheck_would_refuse(self):
        self.write("README.md", f"<!-- {LICENCE.strip()} -->\nSME on a guest, EXTRAVERSION\n")
        self.assertIs(self.findings()["codespell"].verdict, Verdict.PASS)
        self.assertIn("sme", linters.tools(self.top, ["README.md"])["codespell"][0][-1].split(","))

    def test_nothing_to_read_fails_and_waits_for_nothing(self):
        (self.top / "ci/good").unlink()
        (self.top / "ci/good.py").unlink()
        found = self.findings()
        for label in ("shellcheck", "pyflakes", "mypy"):
            self.assertEqual((found[label].verdict, found[label].text),
                             (Verdict.FAIL, "found no file to read"))

    def test_a_linter_that_is_not_there_is_lost(self):
        with unittest.mock.patch.dict(os.environ, {"PATH": str(self.top)}):
            found = self.findings(mypy=True)
        self.assertEqual([found[n].verdict for n in ("shellcheck", "pyflakes", "mypy", "codespell")],
                         [Verdict.LOST] * 4)
        self.assertIn("there is no shellcheck", found["shellcheck"].text)

    def test_a_linter_that_is_ended_is_lost(self):
        self.write("lint", "#!/bin/sh\neval \"$END\"\n")
        (self.top / "lint").chmod(0o755)
        for end, words in (("kill -9 $$", "was ended by SIGKILL"), ("sleep 9", "took more than 0.1 s")):
            with unittest.mock.patch.dict(os.environ, END=end), \
                    unittest.mock.patch.object(linters, "_SECONDS", 0.1 if "sleep" in end else 60):
                found = linters.run_tool(self.top, "lint", [f"{self.top}/lint"], ["ci/good"])
            self.assertEqual(found.verdict, Verdict.LOST)
            self.assertIn(words, found.text)

    def test_the_machines_own_paths(self):
        self.write("README.md", f"see {self.top}/x and {self.top}more, $HOME/work/x, a/ho" "me/x\n")
        text = linters.machines(self.top, ["README.md"])
        self.assertEqual(text, [f"README.md:1: a path of one machine: {self.top}"])

    def test_no_copying(self):
        text = (TOP / "COPYING").read_text()
        for names, content in ((["ci/good"], text), (["ci/good", "COPYING"], ""),
                               (["ci/good", "COPYING"], text.replace("Version 2", "Version 3"))):
            self.write("COPYING", content)
            self.assertEqual(licence.check(self.top, names),
                             ["COPYING: the text of the licence is not there"])

    def test_only_our_licence(self):
        for line, wrong in (
                ("# {}: GPL-2.0", ""), ("/* {}: GPL-2.0-only */", ""), ("<!-- {}: GPL-2.0 -->", ""),
                ("# {}: GPL-2.0\r", ""), ("// {}: MIT", "MIT"), ("# {}: GPL-2.0+", "GPL-2.0+"),
                ("/* {}: GPL-2.0-or-later */", "GPL-2.0-or-later"),
                ("# {}: GPL-2.0 OR MIT", "GPL-2.0 OR MIT"), ("# {}: (MIT)", "(MIT)")):
            with self.subTest(line=line):
                self.write("ci/x", line.format("SPDX-License-Identifier") + "\n")
                self.assertEqual(licence.check(self.top, ["COPYING", "ci/x"]),
                                 [f"ci/x: it is under {wrong}, and not GPL-2.0"] if wrong else [])
        self.write("REUSE.toml", (TOP / "REUSE.toml").read_text().replace("GPL-2.0", "MIT"))
        self.assertIn("series: it is under MIT, and not GPL-2.0", licence.check(self.top, ["series"]))

    def test_interpreters(self):
        for line, name in (("#!/bin/sh\n", "sh"), ("#!/bin/sh -e\n", "sh"), ("#!/bin/busybox sh\n", "sh"),
                           ("#!/usr/bin/env python3\n", "python3"), ("plain\n", ""), ("", "")):
            self.write("x", line)
            self.assertEqual(files.interpreter(self.top / "x"), name)


class EditorconfigTest(unittest.TestCase):
    def test_names_of_sections(self):
        for glob, name, matches in (
                ("*", "a/b", True), ("*.py", "a/b.py", True), ("*.py", "b.pyc", False),
                ("*.{c,h}", "a/b.h", True), ("*.{c,h}", "a/b.ch", False), ("Kbuild", "x/Kbuild", True),
                ("a/*", "a/b", True), ("a/*", "a/b/c", False), ("a/**", "a/b/c", True),
                ("a/{b,c/**}", "a/c/d/e", True), ("a/{b,c/**}", "a/bc", False), ("a/b", "x/a/b", False)):
            with self.subTest(glob=glob, name=name):
                self.assertEqual(bool(editorconfig.pattern(glob).fullmatch(name)), matches)
        with self.assertRaises(Failed):
            editorconfig.pattern("[ab].c")

    def test_a_later_section_overrides(self):
        sections = editorconfig.read("root = true\n[*]\nA = b\n; remark\n[*.x]\na = C\n")
        self.assertEqual([editorconfig.settings(sections, n) for n in ("f.y", "f.x")],
                         [{"a": "b"}, {"a": "c"}])


class FilesTest(unittest.TestCase):
    def test_git_that_refuses_or_is_not_there(self):
        for text in ("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2; exit 128\n", ""):
            with tempfile.TemporaryDirectory() as holder:
                if text:
                    git = pathlib.Path(holder) / "git"
                    git.write_text(text)
                    git.chmod(0o755)
                path = f"{holder}:{os.environ['PATH']}" if text else holder
                setpriv = shutil.which("setpriv")
                if not text:
                    os.symlink(setpriv, f"{holder}/setpriv")
                with unittest.mock.patch.dict(os.environ, {"PATH": path}), \
                        self.assertRaisesRegex(CannotJudge, "dubious ownership" if text else "git"):
                    files.names(TOP)


class FsyncTest(unittest.TestCase):
    def test_only_the_one_word_changes_only_the_one_setting(self):
        plain = environment.constructed({"PATH": "/bin"})
        for value, more in (("no", {"core.fsync": "none"}), ("yes", {}), ("", {}), ("core.fsync", {})):
            made = environment.constructed({"PATH": "/bin", "SERIES_TEST_FSYNC": value})
            settings = [{made[f"GIT_CONFIG_KEY_{n}"]: made[f"GIT_CONFIG_VALUE_{n}"]
                         for n in range(int(made["GIT_CONFIG_COUNT"]))} for made in (plain, made)]
            self.assertEqual(settings[1], settings[0] | more)


class HomeTest(unittest.TestCase):
    def test_no_tool_can_make_its_home(self):
        home = environment.constructed({"PATH": "/bin"})["HOME"]
        self.assertRaises(OSError, os.makedirs, f"{home}/.rustup")


class CommandsTest(unittest.TestCase):
    """Every command: --help, and words that it does not know."""

    COMMANDS = sorted(str(p.relative_to(TOP)) for d in ("ci", "scripts") for p in (TOP / d).iterdir()
                      if p.is_file() and os.access(p, os.X_OK))

    def call(self, name, *words, stdout=subprocess.PIPE):
        """The command with stubs for all that could install or fetch, in an empty cache."""
        with tempfile.TemporaryDirectory() as holder:
            for tool in ("apt-get", "dpkg-query", "git", "make"):
                stub = pathlib.Path(holder) / tool
                stub.write_text(f"#!/bin/sh\ntouch {holder}/called\nexit 1\n")
                stub.chmod(0o755)
            done = subprocess.run([TOP / name, *words], stdout=stdout, stderr=subprocess.PIPE, text=True,
                                  check=False, stdin=subprocess.DEVNULL, timeout=60, env={
                                      "PATH": f"{holder}:{os.environ['PATH']}", "HOME": holder,
                                      "XDG_CACHE_HOME": f"{holder}/cache", "COLUMNS": "100"})
            self.assertFalse(os.path.exists(f"{holder}/called"), f"{name} {words} starts to work")
        return done

    @slow
    def test_help(self):
        self.assertLess({"ci/run", "ci/test", "ci/install", "scripts/apply"}, set(self.COMMANDS))
        for name in self.COMMANDS:
            with self.subTest(name):
                done = self.call(name, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(len(re.findall(r"(?mi)^usage:", done.stdout)), 1, done.stdout)
                self.assertRegex(done.stdout, r"(?m)^exit( codes)?: 0 .*[\s\S]*\b125\b")
                source = (TOP / name).read_text()
                # "theirs" takes the arguments for another command
                for option in re.findall(r'\b(?!theirs)\w+\.add_argument\(\s*"(--[\w-]+)"', source):
                    # a line of its own, in the list or in the usage, with what it means
                    line = rf"(?m)^(usage:)? *({name} |--\w+, )?{option}\b.*\s+\w.{{8}}"
                    self.assertRegex(done.stdout, line, f"{option} is not explained")

    @slow
    def test_unknown_words(self):
        for name in self.COMMANDS:
            for words in (["--nonsense"], ["--quick", "--nonsense"] if name == "ci/test" else ["--nonsense"]):
                with self.subTest(name):
                    done = self.call(name, *words)
                    self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                    self.assertIn("--nonsense", done.stderr)

    def test_words_after_those_that_are_known(self):
        for name, words in (("ci/install", ["--check", "nonsense"]), ("ci/install", ["nonsense", "--check"]),
                            ("ci/run", ["nonsense"]), ("ci/bench", ["nonsense"]),
                            ("ci/test", ["nonsense"]), ("scripts/base", ["nonsense"])):
            with self.subTest(name):
                done = self.call(name, *words)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn("nonsense", done.stderr)

    def test_help_that_nobody_takes_installs_nothing(self):
        with open("/dev/full", "w") as full:
            self.assertEqual(self.call("ci/install", "--help", stdout=full).returncode, 125)


if __name__ == "__main__":
    unittest.main()
