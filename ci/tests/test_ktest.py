# SPDX-License-Identifier: GPL-2.0
"""ci/bench --ktest: the base's own ktest.pl on the fake kernel beside ci/run, its log, the table."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from fixture import LANE, REAL_CACHE, Fixture, base_file, git  # noqa: E402
from marks import slow  # noqa: E402
from test_interrupt import processes  # noqa: E402
from harness import workload, ktest, comparison_result  # noqa: E402
from harness.defect import Defect  # noqa: E402
from harness.edits import Edit  # noqa: E402
from lib import lane, usage  # noqa: E402
from lib.command import CannotJudge, Failed  # noqa: E402

DONE = """\
Processing commit "{0} one"
KTEST RESULT: TEST 1 inside a line is none
Processing commit "{1} two"
*******************************************
KTEST RESULT: TEST 1 SUCCESS!!!!   **
""".format("a" * 40, "b" * 40)


class LogTest(unittest.TestCase):
    def test_content(self):
        self.assertEqual(ktest.parsed(DONE), (True, "", ("a" * 40, "b" * 40)))

    def test_not_content(self):
        text = DONE.replace("SUCCESS!!!!   **", "Failed: main.c built with warnings")
        self.assertEqual(ktest.parsed(text), (False, "main.c built with warnings", ("a" * 40, "b" * 40)))

    def test_no_result(self):
        for text, said in (("", "gave 0 results"), (DONE + DONE, "gave 2 results"),
                           ("CRITICAL FAILURE... [TEST 1] no room\n", "CRITICAL FAILURE.*no room")):
            with self.subTest(said), self.assertRaisesRegex(CannotJudge, said):
                ktest.parsed(text)

    def test_a_template(self):
        self.assertEqual(ktest.filled("A = @ONE@/@TWO@\n", {"ONE": "/a", "TWO": 2}), "A = /a/2\n")
        for value in ("a#b", "a\nb", "${PWD}"):
            with self.subTest(value), self.assertRaisesRegex(CannotJudge, "takes it for something else"):
                ktest.filled("A = @ONE@\n", {"ONE": value})


class WorkloadTest(unittest.TestCase):
    """The file of this repository, and what is wrong with others."""

    def test_ours(self):
        found = workload.read(TOP, workload.Wanted())
        self.assertEqual((len(found.steps), len(found.defects)), (5, 10))
        self.assertEqual(len({one.kind for one in found.defects}), 10)
        self.assertEqual(workload.read(TOP, workload.Wanted(defects=False)).defects, ())

    def test_what_ktest_does_not_know_of(self):
        for name, boot, said in (("arm64", "", "test-only patches"),
                                 ("arm-display", "", "device tree"),
                                 ("x86_64", "nope", "no boot 'nope'")):
            boot = boot or lane.read(TOP, name).boots[0].name
            with self.subTest(name), self.assertRaisesRegex(Failed, said):
                workload.read(TOP, workload.Wanted(name, boot))

    def test_wrong_tables(self):
        head = 'lane = "fake"\nboot = "main"\nfirst = 1\nlast = 1\n'
        one = '[[defect]]\nname = "a"\nkind = "k"\n'
        edits = 'file = "main.c"\nedits = [{ old = "a", new = "b" }]\n'
        with tempfile.TemporaryDirectory(prefix="series-test-") as directory:
            top = pathlib.Path(directory)
            for name in ("ci/lanes", "ci/ktest", "kconfig-fragments"):
                (top / name).mkdir(parents=True)
            (top / "ci/lanes/fake.toml").write_text(LANE)
            (top / "kconfig-fragments/fake.config").write_text("CONFIG_FAKE=y\n")
            for text, said in ((head + one, "defects.toml: a: file is missing"),
                               (head + one + edits + one + edits, "a: a name has small letters"),
                               (head + one + 'mutant = "m"\n', "no mutant 'm'"),
                               (head + one + 'file = "f"\nedits = [{ old = "a" }]\n', "new is missing"),
                               (head.replace("last = 1", "end = 1"), "unknown: end"),
                               (head.replace("first = 1", "first = 2"), "first = 2 is behind last = 1")):
                (top / workload.FILE).write_text(text)
                with self.subTest(said), self.assertRaisesRegex(Failed, said):
                    workload.read(top, workload.Wanted())
            with self.assertRaisesRegex(Failed, "the base has none"):
                (top / workload.FILE).write_text(head)
                workload.read(top, workload.Wanted(steps=range(2)))

    def test_an_edit_fits_once(self):
        one = Defect("n", "k", "f.c", (Edit("a", "b"), Edit("b", "c")), "there: n")
        self.assertEqual(one.applied("a", 3), "c")
        for text in ("x", "aa", "ab"):
            with self.subTest(text), self.assertRaisesRegex(Failed, "there: n: edit .* is in f.c of step 3 "):
                one.applied(text, 3)


class ResultTest(unittest.TestCase):
    def comparison_result(self, alarm="", done=2):
        defect = Defect("n", "a kind", "f.c", (), "")
        row = comparison_result.DefectRow(
            defect, comparison_result.Word(True, "build fail", usage.Usage(3, 4)),
            comparison_result.Word(False, "", usage.Usage(5, 6)))
        way = workload.Workload(lane.read(TOP, "x86_64"), lane.read(TOP, "x86_64").boots[0], 7, 8, (defect,))
        return comparison_result.ComparisonResult(
            way, "v7.3", usage.Usage(20, 40), usage.Usage(30, 50), usage.Usage(60, 100), alarm, done, [row],
            2, "tcg")

    def test_a_step(self):
        text = self.comparison_result().text()
        self.assertRegex(text, r"(?m)^ci/run +2 +30 +50 +15\.0 +25\.0$")
        self.assertIn("ci/run costs 15.0 s a step (25.0 s CPU), 1.50 times what", text)
        self.assertIn("0.50 times what ktest.pl costs (CPU: 0.50 times).", text)
        self.assertRegex(text, r"(?m)^n +noticed +- +a kind$")
        self.assertRegex(text, r"(?m)^noticed +1 of 1 +0 of 1$")
        self.assertNotIn("nothing is seeded", text)

    def test_an_alarm_ends_the_steps(self):
        text = self.comparison_result("test failed", 1).text()
        self.assertRegex(text, r"(?m)^ktest\.pl +1 +60 +100 +60\.0 +100\.0$")
        self.assertIn("ktest.pl stops at step 7, where nothing is seeded: test failed", text)

    def test_data(self):
        data = json.loads(json.dumps(self.comparison_result().data()))
        self.assertEqual(data["ktest.pl"], {"wall": 60, "cpu": 100, "steps": 2, "alarm": ""})
        self.assertEqual(data["defects"][0]["ktest.pl"]["noticed"], False)

    def test_a_meter(self):
        meter = usage.Meter()
        # a process that has ended counts; what it took is a difference of two sums, so a bit less may be read
        busy = "import time\nwhile time.process_time() < 0.4: pass"
        subprocess.run([sys.executable, "-c", busy], check=True)
        spent = meter.read()
        self.assertGreaterEqual(spent.cpu, 0.3)
        self.assertGreaterEqual(spent.wall, 0.25)


class ScriptsTest(unittest.TestCase):
    """console and judge, with a machine that is a script."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        for name in ("state", "machines", "source"):
            (self.top / name).mkdir()
        git(self.top / "source", "init", "-q")
        git(self.top / "source", "commit", "-q", "--allow-empty", "-m", "one")
        self.commit = git(self.top / "source", "rev-parse", "HEAD").strip()
        (self.top / "known").write_text("not ok old\n")

    def script(self, name, *words, wait=60):
        return subprocess.run([TOP / "ci/ktest" / name, self.top, *words], check=False, text=True,
                              timeout=wait, capture_output=True, env={**os.environ, "LC_ALL": "C"})

    def boot(self, console, results="@@ done\n"):
        (self.top / "machines" / self.commit).write_text(
            f"cat <<'END'\n{console}END\ncat >{self.top}/state/results <<'END'\n{results}END\n")
        (self.top / "state/power").touch()
        return self.script("console", self.top / "source", "20")

    def judged(self, console, results="@@ done\n"):
        self.boot(console, results)
        done = self.script("judge", "5")
        return done.returncode, done.stdout

    def test_the_console_has_the_results(self):
        done = self.boot("hello\n", "ok 1 a\n@@ done\n")
        self.assertEqual(done.stdout, "console: there is one\nhello\nok 1 a\n@@ done\n")
        self.assertTrue((self.top / "state/ended").exists())

    def test_no_power_ends_it(self):
        self.assertEqual(self.script("console", self.top / "source", "1").returncode, 1)

    def test_closed_it_ends_the_machine(self):
        (self.top / "machines" / self.commit).write_text("echo $$ >machine\necho begun\nexec sleep 60\n")
        (self.top / "state/power").touch()
        child = subprocess.Popen([TOP / "ci/ktest/console", self.top, self.top / "source", "50"], text=True,
                                 stdout=subprocess.PIPE, cwd=self.top)
        self.addCleanup(child.stdout.close)
        for line in child.stdout:
            if line == "begun\n":
                break
        child.terminate()
        self.assertEqual(child.wait(20), 0)
        number = int((self.top / "machine").read_text())
        with self.assertRaises(ProcessLookupError):
            os.kill(number, 0)

    def test_what_is_known_to_fail(self):
        for console, results, code, said in (
                ("[    1.5] ok 1 a\r\n", "not ok 3 old\n@@ done\n", 0, ""),
                ("[    1.5]     not ok 2 - b\r\n", "@@ done\n", 1, "not ok b\n"),
                ("", "not ok 3 old\nnot ok 4 old\n@@ done\n", 1, "not ok old\n"),
                ("", "not ok 1 c # SKIP no device\n@@ done\n", 0, ""),
                ("", "ok 1 a\n", 1, "the tests did not come to their end\n")):
            with self.subTest(said or results):
                self.assertEqual(self.judged(console, results), (code, said))

    def test_an_end_that_does_not_come(self):
        self.boot("hello\n", "ok 1 a\n")
        (self.top / "state/ended").unlink()
        self.assertEqual(self.script("judge", "1").returncode, 1)


TARGETS = """
olddefconfig:
\t@mkdir -p $(O) && touch $(O)/.config

kernelrelease:
\t@echo 7.3.4
"""
# {name: (file, old, new, whether ci/run notices it, what ktest.pl says or "")}
DEFECTS = {
    "warned-of": ("main.c", "return 0;", "int left;\n\treturn 0;", True, "main.c built with warnings"),
    "no-build": ("main.c", "return 0;", "return 0", True, "failed build"),
    "of-sparse": ("main.c", "return 0;", "return 0; /* bitwise */", True, ""),
    "case-fails": ("boot.sh", "\nok 1 always", "\nnot ok 1 always", True, "test failed: not ok always"),
    "case-gone": ("boot.sh", "1..2\nok 1 always\n", "1..1\n", True, ""),
    "splat": ("boot.sh", 'echo "@@ begin', 'echo "BUG: splat"; echo "Call Trace:"; sleep 1; echo "@@ begin',
              True, "test failed"),
    "at-boot": ("boot.sh", 'echo "[    0.1', 'echo "BUG: splat"; echo "Call Trace:"; sleep 1; echo "[    0.1',
                True, "failed - got a bug report"),
    "dies": ("boot.sh", 'echo "@@ done"', 'exit; echo "@@ done"', True,
             "test failed: the tests did not come to their end"),
    "silent": ("main.c", "return 0;", "return 1;", False, ""),
}


def without_ktest():
    """Why ktest.pl cannot run here, or ""."""
    for tool in ("perl", "diffstat", "cpio"):
        if not shutil.which(tool):
            return f"no {tool}: ci/install installs it"
    if not (REAL_CACHE / "linux.git").exists():
        return f"no base in {REAL_CACHE}: run scripts/base"
    return ""


@unittest.skipIf(without_ktest(), without_ktest())
class CommandTest(unittest.TestCase):
    """ci/bench --ktest: the base's ktest.pl on the fake kernel."""

    def fixture(self, program=None):
        made = Fixture()
        self.addCleanup(made.close)
        path = made.linux / ktest.PROGRAM
        path.parent.mkdir(parents=True)
        path.write_text(program or base_file(ktest.PROGRAM))
        makefile = made.linux / "Makefile"
        makefile.write_text(makefile.read_text() + TARGETS)
        git(made.linux, "add", "-A")
        git(made.linux, "commit", "-q", "-m", "Linux 7.3")
        git(made.linux, "tag", "-f", "v7.3")
        made.patch("begin", "lib/a.c", "return 1;", "return 2;")
        made.patch("mend the case", "boot.sh", "not ok 2 mended", "ok 2 mended",
                   'cases = ["*/main/unit/mended"]')
        made.patch("go on", "main.c", "int main(void)", "int unused;\n\nint main(void)")
        return made

    def table(self, made, names=()):
        edits = "".join(
            f"[[defect]]\nname = '{name}'\nkind = 'fault {name}'\nfile = '{file}'\n"
            f"edits = [{{ old = {json.dumps(old)}, new = {json.dumps(new)} }}]\n"
            for name, (file, old, new, _, _) in DEFECTS.items() if name in names)
        (made.top / workload.FILE).write_text('lane = "fake"\nboot = "main"\nfirst = 2\nlast = 3\n' + edits)

    def bench(self, made, *words):
        code, text = made.run("--ktest", *words, script="ci/bench")
        told = made.top / "out/ktest.json"
        return code, text, json.loads(told.read_text()) if told.exists() else {}

    @slow
    def test_who_notices_what(self):
        made = self.fixture()
        self.table(made, DEFECTS)
        code, text, told = self.bench(made)
        self.assertEqual(code, 0, text)
        self.assertEqual((told["ktest.pl"]["steps"], told["ktest.pl"]["alarm"]), (2, ""), text)
        found = {one["name"]: one for one in told["defects"]}
        for name, (_, _, _, own, said) in DEFECTS.items():
            with self.subTest(name):
                one = found[name]
                self.assertEqual((one["ci/run"]["noticed"], one["ktest.pl"]["reason"]), (own, said), text)
                self.assertEqual(one["ktest.pl"]["noticed"], said != "")
        self.assertRegex((made.top / "out/ktest.txt").read_text(), r"(?m)^noticed +8 of 9 +6 of 9$")
        for who in ("floor", "ci/run", "ktest.pl"):
            with self.subTest(who):
                self.assertGreater(told[who]["cpu"], 0)
        cache = made.directory / "cache/linux-dmabuf-series"
        # none of the waits of 5, 5 and 1 second takes its time, in none of the two steps
        log = (cache / "logs/ktest-steps.log").read_text()
        self.assertGreaterEqual(log.count("Exiting monitor flush due to hitting MAX_MONITOR_WAIT"), 6)
        self.assertFalse([p for p in cache.iterdir() if p.name.startswith("ktest")])
        self.assertTrue(list(cache.glob("logs/ktest-case-fails.log")))

    @slow
    def test_options(self):
        made = self.fixture()
        self.table(made, ["silent"])
        for words, code, said in ((["--boot", "nope"], 1, "no boot 'nope'"),
                                  (["--step", "0..1"], 1, "the base"),
                                  (["--lane", "fake", "--lane", "other"], 1, "for one lane"),
                                  (["--step", "1..2"], 0, "fault in step 2"),
                                  (["--step", "1..9"], 1, "steps 0..3"),
                                  (["--step", "3", "--no-defects"], 0, "steps 3..3")):
            with self.subTest(words):
                found, text, _ = self.bench(made, *words)
                self.assertEqual(found, code, text)
                self.assertIn(said, text)
        code, text = made.run("--boot", "main", script="ci/bench")
        self.assertEqual(code, 1, text)
        self.assertIn("are for --ktest", text)
        self.table(made)
        (made.top / workload.FILE).write_text((made.top / workload.FILE).read_text()
                                            + '[[defect]]\nname = "a"\nkind = "k"\nfile = "main.c"\n'
                                              'edits = [{ old = "nowhere", new = "b" }]\n')
        code, text, _ = self.bench(made)
        self.assertEqual(code, 1, text)
        self.assertIn("defects.toml: a: edit 1: 'nowhere' is in main.c of step 3 0 times", text)

    @slow
    def test_a_false_alarm(self):
        made = self.fixture()
        # what neither a case nor ci/splats tells, and ktest.pl takes for a crash
        made.patch("shout", "boot.sh", 'echo "[    0.1', 'echo "Call Trace: none"; sleep 1; echo "[    0.1')
        self.table(made)
        code, text, told = self.bench(made, "--step", "3..4")
        self.assertEqual(code, 0, text)
        self.assertEqual((told["ktest.pl"]["steps"], told["ktest.pl"]["alarm"]),
                         (2, "failed - got a bug report"))
        self.assertIn("ktest.pl stops at step 4, where nothing is seeded: failed - got a bug report", text)

    def test_steps_that_are_not_good_cannot_be_judged(self):
        made = self.fixture()
        made.patch("break", "boot.sh", "\nok 1 always", "\nnot ok 1 always")
        self.table(made)
        code, text, _ = self.bench(made, "--step", "3..4")
        self.assertEqual(code, 125, text)
        self.assertIn("step 4 fake: boot:main is fail where nothing is seeded", text)
        self.assertIn("again: ci/run --no-static --again --lane fake --step 4 --boot main", text)

    @slow
    def test_a_ktest_without_a_result_cannot_be_judged(self):
        made = self.fixture(program="print 'hello'; exit 0;\n")
        self.table(made)
        code, text, _ = self.bench(made)
        self.assertEqual(code, 125, text)
        self.assertRegex(text, r"ktest\.pl gave 0 results; see .*/ktest-steps\.log; again: perl ")

    @slow
    def test_an_interrupt_ends_everything(self):
        made = self.fixture()
        self.table(made)
        go = made.directory / "go"
        made.patch("wait", "boot.sh", 'echo "@@ begin',
                   f'while [ -e {go} ]; do sleep 1; done; echo "@@ begin')
        run = subprocess.Popen([made.top / "ci/bench", "--ktest", "--step", "3..4"], cwd=made.top, text=True,
                               env=made.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
        for stream in (run.stdout, run.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(run.kill)
        for line in run.stdout:
            if "make and one boot: step 4" in line:
                go.touch()
                break
        end = time.monotonic() + 60
        while time.monotonic() < end and not any("ktest.pl" in p for p in processes(made.directory)):
            time.sleep(0.05)
        while time.monotonic() < end and not any("/image" in p for p in processes(made.directory)):
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(30), 125)
        self.assertIn("interrupted by SIGINT; to go on, repeat: ci/bench --ktest --step 3..4",
                      run.stderr.read())
        time.sleep(0.5)
        self.assertEqual(processes(made.directory), [])


class LimitTest(unittest.TestCase):
    """A ktest.pl that does not end."""

    def test_it_is_ended(self):
        with tempfile.TemporaryDirectory(prefix="series-test-") as directory:
            top = pathlib.Path(directory)
            rig = mock.Mock(top=top, environment={**os.environ})
            one = ktest.Ktest.__new__(ktest.Ktest)
            one._rig = rig
            start = time.monotonic()
            spent, late = one._spawned(["sh", "-c", "echo said; sleep 60"], 0.5)
            self.assertTrue(late)
            self.assertLess(time.monotonic() - start, 15)
            self.assertEqual((top / "output").read_text(), "said\n")
            self.assertEqual(one._spawned(["sh", "-c", "exit 0"], 30)[1], False)
            self.assertLess(spent.cpu, 0.5)


if __name__ == "__main__":
    unittest.main()
