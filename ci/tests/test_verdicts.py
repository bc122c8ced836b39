# SPDX-License-Identifier: GPL-2.0
"""ci/run on the fake kernel: what must not pass, what is judged anew, what is lost alone."""

import fcntl
import re
import subprocess
import textwrap
import time
import unittest

from fixture import BOOT, Fixture, git
from marks import slow


class VerdictTest(unittest.TestCase):
    def setUp(self):
        self.fixture = Fixture()
        self.addCleanup(self.fixture.close)
        self.cache = self.fixture.directory / "cache/linux-dmabuf-series"
        self.lane = self.fixture.top / "ci/lanes/fake.toml"

    def run_it(self, expected, *words):
        """ci/run; its output, after a check of its exit code."""
        code, text = self.fixture.run(*words)
        self.assertEqual(code, expected, text)
        self.assertNotIn("Traceback", text)
        return text

    def first(self, count, then):
        """Shell words for boot.sh: `then` on the first `count` calls only."""
        seen = self.fixture.directory / "seen"
        return f"echo >>{seen}; [ $(wc -l <{seen}) -gt {count} ] || {then}\n"


class ConsoleTest(VerdictTest):
    @slow
    def test_a_console_without_the_banner_or_the_line_of_init(self):
        self.fixture.mend()
        for number, words in enumerate(("Linux version 7.3.4", "ci: console alive"), 2):
            self.fixture.patch(f"quiet {number}", "boot.sh", words, "nothing")
        text = self.run_it(1)
        self.assertIn("fail: step 2 fake boot:main: the console has no line 'Linux version': splats "
                      "cannot have been seen", text)
        self.assertRegex(text, "fail: step 3 fake boot:main: .*no line 'ci: console alive'")

    def test_a_file_of_patterns_that_is_missing_or_empty(self):
        self.fixture.mend()
        splats = self.fixture.top / "ci/splats"
        splats.write_text("# nothing\n")
        self.assertIn("ci/splats: it has no pattern, and no splat would be found", self.run_it(1))
        splats.unlink()
        text = self.run_it(1)
        self.assertIn("ci/splats: no such file", text)
        self.assertNotIn("run it again", text)

    @slow
    def test_kept_boots_are_judged_by_today_s_patterns(self):
        self.fixture.mend()
        self.fixture.patch("whisper", "boot.sh", 'echo "@@ done" >&3',
                           'echo "[    1.000000] whisper: 1"\necho "@@ done" >&3')
        self.run_it(0)
        splats = self.fixture.top / "ci/splats"
        splats.write_text(splats.read_text() + "^whisper\n")
        text = self.run_it(1)
        self.assertIn("fail: step 2 fake boot:main: splat: whisper: 1", text)
        # the failure is booted once more, as any; what is good is not
        self.assertEqual(text.count("(kept)"), 5, text)
        for console in (self.cache / "logs").glob("*.console"):
            console.unlink()
        splats.write_text(splats.read_text().replace("^whisper\n", ""))
        self.assertEqual(self.run_it(0).count("(kept)"), 3)

    @slow
    def test_splats_are_shown_with_their_traces_and_equal_ones_once(self):
        trace = "".join(f'echo "[    1.00000{n}] {line}"\n' for n, line in enumerate((
            "before", "WARNING: kernel/x.c:1 at f+0x1/0x2", "RIP: 0010:f+0x1/0x2", "Call Trace:",
            " <TASK>", " g+0x12/0x34", " h+0x12/0x34", " </TASK>", "---[ end trace 0 ]---")))
        self.fixture.mend()
        self.fixture.patch("splat", "boot.sh", 'echo "@@ done" >&3', trace + 'echo "@@ done" >&3')
        self.fixture.patch("move", "boot.sh", "g+0x12", "g+0x14")
        text = self.run_it(1)
        self.assertEqual(text.count("      trace: f < g < h\n"), 1)
        self.assertIn("splat: WARNING: kernel/x.c:1 at f+0x1/0x2\n      step 2-3 fake/main\n", text)
        self.assertIn("      | before\n      | WARNING", text)
        self.assertIn("      | ---[ end trace 0 ]---\n", text)
        page = (self.fixture.top / "out/index.html").read_text()
        self.assertIn(">Splats</h2>", page)
        self.assertIn("trace: f &lt; g &lt; h", page)
        self.assertIn("---[ end trace 0 ]---", page)


class AnewTest(VerdictTest):
    @slow
    def test_again_repeats_what_it_names(self):
        self.fixture.mend()
        self.fixture.patch("break", "boot.sh", "ok 1 always", "not ok 1 always")
        text = self.run_it(1)
        command = "ci/run --no-static --again --lane fake --step 2 --boot main"
        self.assertIn(f"again: {command}\n", text)
        self.assertEqual(self.run_it(1, "--lane", "fake", "--step", "2", "--boot", "main").count("(kept)"), 2)
        text = self.run_it(1, *command.split()[2:])
        self.assertRegex(text, r"step 2 fake: build pass \(kept\)\n.*step 2 fake: boot main fail \d+ s")
        text = self.run_it(1, "--again")
        self.assertNotIn("(kept)", text)

    @slow
    def test_boots_of_one_image_are_booted_once(self):
        self.fixture.mend()
        self.fixture.patch("comment", "main.c", "return 0;", "return 0; /* 2 */")
        self.run_it(0)
        self.assertEqual(self.run_it(0, "--again").count("boot main pass (kept)"), 1)

    @slow
    def test_again_of_a_build_names_the_step(self):
        self.fixture.mend()
        self.fixture.patch("break", "main.c", "return 0;", "return 0")
        self.assertIn("again: ci/run --no-static --again --lane fake --step 2\n", self.run_it(1))
        self.assertRegex(self.run_it(1, "--again", "--lane", "fake", "--step", "2"),
                         r"step 2 fake: build fail \d+ s")

    @slow
    def test_what_was_flaky_is_judged_anew(self):
        self.fixture.patch("flake", "boot.sh", "not ok 2 mended\nEND", "END\n"
                           + self.first(1, "printf 'not ' >&3") + "echo 'ok 2 mended' >&3",
                           'cases = ["*/main/unit/mended"]')
        self.assertIn("verdict: flaky", self.run_it(125))
        self.assertIn("verdict: pass", self.run_it(0))
        self.assertEqual(self.run_it(0).count("(kept)"), 4)

    @slow
    def test_what_was_lost_is_judged_anew(self):
        self.lane.write_text(self.lane.read_text().replace("silence = 20", "silence = 1"))
        self.fixture.mend()
        self.fixture.patch("hang", "boot.sh", 'echo "@@ begin unit" >&3',
                           self.first(2, "exec sleep 60") + 'echo "@@ begin unit" >&3')
        self.assertIn("silent for 1 s", self.run_it(125, "--step", "2"))
        self.assertIn("verdict: pass", self.run_it(0, "--step", "2"))


class LostTest(VerdictTest):
    @slow
    def test_an_emulator_that_fails_is_not_the_kernel_s_fault(self):
        self.fixture.mend()
        emulator = self.fixture.top / "ci/lanes/fake-qemu"
        works = emulator.read_text()
        emulator.write_text(works.replace('exec sh "$1" "$3" 3>"$2"', "echo 'Invalid parameter' >&2; exit 1"))
        text = self.run_it(125)
        self.assertIn("boot: the emulator ended with 1: Invalid parameter", text)
        self.assertIn("lost: step 1 series proof: ", text)
        emulator.write_text(works.replace('exec sh "$1" "$3" 3>"$2"', "kill -ABRT $$"))
        self.assertIn("boot: the emulator ended with -6", self.run_it(125))
        emulator.write_text(works)
        self.run_it(0)

    @slow
    def test_an_exception_in_one_boot_is_lost_with_its_text(self):
        self.fixture.mend()
        self.fixture.patch("comment", "boot.sh", "KTAP version 1", "KTAP version 1\n# unreadable")
        results = self.fixture.top / "ci/harness/results.py"
        results.write_text(results.read_text().replace(
            "    lines = kunit_parser", '    if "unreadable" in text:\n        raise IndexError("seeded")\n'
            "    lines = kunit_parser"))
        text = self.run_it(125)
        self.assertIn("lost: step 2 fake boot:main: IndexError: seeded", text)
        self.assertIn("step 1 fake: boot main pass", text)
        self.assertIn('raise IndexError("seeded")',
                      (self.fixture.top / "out/logs/2-fake-boot-main.txt").read_text())

    @slow
    def test_lines_that_only_look_like_frames(self):
        self.fixture.mend()
        self.fixture.patch("frames", "boot.sh", "KTAP version 1\n",
                           "KTAP version 1\n# @@ end\n@@ end\n@@ end unit\n@@ done\n")
        self.fixture.patch("die in one", "boot.sh", 'echo "@@ end unit 0 0.1"', 'printf "@@ end un"; exit; :')
        text = self.run_it(1)
        self.assertIn("step 2 fake: boot main pass", text)
        self.assertIn("fail: step 3 fake boot:main: the guest died before its tests ended", text)

    def test_nothing_but_skips_is_no_pass(self):
        self.fixture.mend()
        self.fixture.patch("comment", "main.c", "return 0;", "return 0; /* 2 */")
        self.lane.write_text('at = "ends"\n' + self.lane.read_text())
        text = self.run_it(125, "--step", "0")
        self.assertIn("nothing was judged", text)

    @slow
    def test_a_kept_verdict_that_is_no_record(self):
        self.fixture.mend()
        self.run_it(0)
        for record in self.cache.glob("verdicts/b*/*.json"):
            record.write_text("{}")
        self.run_it(0)


class LaneTest(VerdictTest):
    """A lane that cannot run here is a lost column; the others run."""

    def second(self, old, new):
        second = self.fixture.top / "ci/lanes/second.toml"
        second.write_text(self.lane.read_text().replace(old, new))

    def assertLost(self, words):
        text = self.run_it(125)
        self.assertIn(f"lost: step 0-1 second lane: {words}", text)
        self.assertIn("again: ci/run --no-static --again --lane second --step 0\n", text)
        self.assertRegex(text, r"(?m)^step  series   fake     second   patch$")
        self.assertRegex(text, r"(?m)^   1  (pass|lost)     pass     lost     fake: mend the case$")
        self.assertNotIn("fail:", text)
        self.assertIn("proof of step 1: fake/main/unit/mended: fail 0, pass 1", text)
        return text

    @slow
    def test_without_emulator(self):
        self.fixture.patch("mend the case", "boot.sh", "not ok 2 mended", "ok 2 mended",
                           'cases = ["*/main/unit/mended", "second/main/unit/mended"]')
        self.second("{lanes}/fake-qemu", "nope-qemu")
        self.assertIn("lost: step 1 series proof: fake/fake-mend-the-case: not all its boots could be "
                      "judged: step 0 second/main; no case second/main/unit/mended ran",
                      self.assertLost("no nope-qemu, which lane second boots with"))

    @slow
    def test_without_compiler(self):
        self.fixture.mend()
        self.second('arch = "fake"', 'arch = "fake"\ncross = "nope-"')
        self.assertLost("no nope-gcc, which lane second is built with")

    @slow
    def test_without_foreign_packages(self):
        self.fixture.mend()
        self.second('arch = "fake"', 'arch = "fake"\nbusybox = "bin/busybox"\nforeign = { architecture = '
                    '"nope64", library = "x", packages = ["busybox-static"] }')
        apt = self.fixture.directory / "bin/apt-get"
        apt.write_text("#!/bin/sh\necho 'E: no archive here' >&2\nexit 100\n")
        apt.chmod(0o755)
        self.assertLost("lane second: apt-get update: E: no archive here")

    @slow
    def test_without_a_configuration(self):
        self.fixture.mend()
        self.second('"allnoconfig"', '"nopeconfig"')
        text = self.run_it(125)
        self.assertRegex(text, "lost: step 0-1 second build: lane second: configuration failed: .*nopeconfig")
        self.assertIn("step 1 fake: boot main pass", text)

    @slow
    def test_selftests_that_do_not_build_fail_their_boots(self):
        self.fixture.mend()
        source = self.fixture.top / "ci/harness/guest.py"
        source.write_text(source.read_text() + textwrap.dedent("""
            def _archives(self, *arguments):
                raise Failed("lane fake: the selftests do not build")


            Guest._archives = _archives
            """))
        text = self.run_it(1)
        self.assertIn("fail: step 0-1 fake boot:main: lane fake: the selftests do not build\n", text)
        self.assertIn("step 1 fake: build pass", text)
        self.assertNotIn("lost: step 0", text)

    @slow
    def test_what_cannot_be_prepared_hides_no_build(self):
        self.fixture.patch("break it", "main.c", "return 0;", "return nothing;")
        source = self.fixture.top / "ci/harness/guest.py"
        source.write_text(source.read_text() + textwrap.dedent("""
            def _archives(self, *arguments):
                while not (self.paths.lane("fake") / "build.log").exists():
                    __import__("time").sleep(0.01)
                raise ValueError("an archive of the wrong kind")


            Guest._archives = _archives
            """))
        text = self.run_it(1)
        self.assertIn("fail: step 1 fake build: ", text)
        self.assertRegex(text, "lost: step 0(-1)? fake lane: ValueError: an archive of the wrong kind\n")

    @slow
    def test_what_is_not_installed_is_said_and_the_rest_runs(self):
        self.fixture.mend()
        (self.fixture.top / "ci/install").write_text("#!/bin/sh\necho ci/install: missing: x >&2; exit 125\n")
        text = self.run_it(0)
        self.assertIn("ci/install: missing: x\nci/install ended with 125; see above\n"
                      "continuing with what is installed\n", text)


class ReportTest(VerdictTest):
    def test_an_output_that_cannot_be_written_is_said_before_anything_runs(self):
        self.fixture.mend()
        (self.fixture.directory / "file").touch()
        text = self.run_it(125, "--output", str(self.fixture.directory / "file/out"))
        self.assertRegex(text, r"^ci/run: the report cannot be written to \S+/file/out: Not a directory; "
                               r"name another directory with --output\n$")
        self.assertFalse(self.cache.exists())

    @slow
    def test_columns_logs_and_skips(self):
        self.fixture.mend()
        long = self.fixture.top / "ci/lanes/a-lane-of-a-long-name.toml"
        self.lane.rename(long)
        logs = self.fixture.top / "out/logs"
        logs.mkdir(parents=True)
        for name in ("9-gone-build.txt", "mine.txt"):
            (logs / name).touch()
        self.fixture.patch("skip", "boot.sh", "1..2\n", "1..3\nok 3 new # SKIP no device\n")
        text = self.run_it(0)
        rows = re.findall(r"(?m)^(?:step|   \d)  .*", text)
        last = [row.index(word) for row, word in zip(rows, ("patch", "the base", "fake:", "fake:"))]
        self.assertEqual(len(set(last)), 1, rows)
        self.assertEqual(sorted(p.name for p in logs.iterdir() if p.name.startswith(("9", "m"))),
                         ["mine.txt"])
        self.assertIn("skip: step 2 a-lane-of-a-long-name/main/unit/new: no device", text)

    @slow
    def test_known_failures_that_are_none_any_more(self):
        self.fixture.mend()
        known = self.fixture.top / "ci/known.toml"
        known.write_text('[[known]]\ncase = "*/unit/nope"\nreason = "x"\nuntil = "v7.3"\n')
        self.assertIn("fail: step 0 series known: ci/known.toml: no case */unit/nope ran", self.run_it(1))
        self.run_it(0, "--lane", "fake")
        self.run_it(0, "--step", "0..1")
        # before the patch that mends it the case need not pass, and then it does
        known.write_text(known.read_text().replace("nope", "mended"))
        self.assertIn("fail: step 0 series known: ci/known.toml: no case */unit/mended fails or is gone: "
                      "delete the entry, or set sometimes = true if it fails now and then", self.run_it(1))
        self.run_it(0, "--step", "0..1")
        known.write_text(known.read_text() + "sometimes = true\n")
        self.run_it(0)

    @slow
    def test_known_failures_that_are_needed(self):
        self.fixture.mend()
        self.fixture.patch("break", "boot.sh", "ok 1 always", "not ok 1 always")
        self.fixture.patch("lose", "boot.sh", "1..2\nnot ok 1 always\nok 2", "1..1\nok 1")
        known = self.fixture.top / "ci/known.toml"
        known.write_text('[[known]]\ncase = "*/unit/always"\nreason = "x"\nuntil = "v7.3"\n')
        # that a case is gone is enough
        self.fixture.patch("more", "boot.sh", "1..1\n", "1..2\nok 2 new\n")
        self.fixture.patch("lose again", "boot.sh", "1..2\nok 2 new\n", "1..1\n")
        known.write_text(known.read_text() + known.read_text().replace("always", "new"))
        self.run_it(0)

    @slow
    def test_splats_said_to_be_seen_that_no_boot_shows(self):
        self.fixture.patch("mend the case", "boot.sh", "not ok 2 mended", "ok 2 mended",
                           'cases = ["*/main/unit/mended"]\nsplats = ["^Oops: seeded"]')
        self.assertIn("fail: step 1 series splats: ci/proofs.toml: fake/fake-mend-the-case: no boot before "
                      "step 1 shows the splats '^Oops: seeded': correct or delete them\n", self.run_it(1))
        self.run_it(0, "--step", "0..1")

    def test_help_says_everything(self):
        text = self.run_it(0, "--help")
        for words in ("usage: ci/run [--lane NAME]", "--again", "125 something could not be judged",
                      "only this boot"):
            self.assertIn(words, text)


class LockTest(VerdictTest):
    @slow
    def test_a_second_run_waits_and_says_so(self):
        self.fixture.mend()
        self.run_it(0)
        with open(self.cache / "run.lock", "a", encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            run = subprocess.Popen([self.fixture.top / "ci/run", "--no-static"], cwd=self.fixture.top,
                                   env=self.fixture.environment, text=True, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
            self.assertEqual(run.stderr.readline(),
                             f"waiting for another run that holds {self.cache}/run.lock\n")
            time.sleep(0.3)
            self.assertIsNone(run.poll())
        self.assertEqual((run.wait(60), run.stderr.read()), (0, ""))
        run.stderr.close()


class OldBaseTest(VerdictTest):
    @slow
    def test_a_boot_that_dies_before_its_init_where_a_patch_mends_it(self):
        boot = self.fixture.linux / "boot.sh"
        boot.write_text(BOOT.replace('echo "[    0.100000]', 'echo "[    0.05] Oops: seeded"; exit\n'
                                     'echo "[    0.100000]'))
        git(self.fixture.linux, "commit", "-q", "-a", "-m", "Linux 7.3")
        git(self.fixture.linux, "tag", "-f", "v7.3")
        self.fixture.patch("mend the crash", "boot.sh", 'echo "[    0.05] Oops: seeded"; exit\n', "",
                           'cases = ["fake/main/end"]\nsplats = ["^Oops: seeded"]')
        self.fixture.mend()
        self.run_it(0)


if __name__ == "__main__":
    unittest.main()
