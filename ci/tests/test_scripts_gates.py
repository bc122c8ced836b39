# SPDX-License-Identifier: GPL-2.0
"""The static gates where the machine, not the patch, is to blame; what is kept; in what order."""

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

from fixture import base_file
from marks import slow
from gates_fixture import GatesFixture
from scripts_fixture import KERNEL

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lib.gates import checkpatch  # noqa: E402

# scripts/check in a process in which the commands that hold a word end as they are told to:
# for each line "WORD GATE RC" of standard input one run, and its results as a line of JSON.
ENDED = """
import json, pathlib, runpy, shutil, subprocess, sys
top, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(top / "scripts"))
from lib import command, process
real, make, word, rc = command.run, process.run, None, None
def made(words, log, *arguments, **options):
    if not any(word in str(w) for w in words):
        return make(words, log, *arguments, **options)
    log.write_text("")
    return process.Ending(rc, 0.0, 0.0)
process.run = made
def run(words, *arguments, **options):
    if not any(word in str(w) for w in words):
        return real(words, *arguments, **options)
    if options.get("check", True):
        raise command.Broken(words, rc)
    return subprocess.CompletedProcess(words, rc, "", "")
command.run = run
check = runpy.run_path(str(top / "scripts/check"))["check"]
for line in sys.stdin:
    word, gate, rc = line.split()
    rc = None if rc == "late" else int(rc)
    for name in ("config", "verdicts", "lanes/toy/source/objects", "lanes/toy/diagnostics"):
        shutil.rmtree(command.cache_directory() / name, ignore_errors=True)
    code = check(["--again", "--gate", gate, "--json", str(out)])
    print("@", json.dumps([code, *json.loads(out.read_text())]))
"""


COCCI = """\
virtual report
@r depends on report@
identifier x;
position p;
@@
unsigned int x@p;
@script:python@
p << r.p;
@@
coccilib.report.print_report(p[0], "WARNING: unsigned")
"""


class Spelling(unittest.TestCase):
    """Of which misspellings checkpatch is told."""

    def test_words(self):
        patch = "We qword\n---\n x.c | 2\n\n--- a/x.c\n+++ b/x.c\n- * a moved\n+ * its moved\n" \
            "+\tcalled(i);\n+ * calls, qmore\n"
        with tempfile.NamedTemporaryFile("w") as dictionary, \
                mock.patch.object(checkpatch, "_called", lambda word, commit: word == "called"):
            dictionary.write("".join(f"{word}->x\n" for word in (
                "moved", "called", "calls", "qword", "qmore", "absent")))
            dictionary.flush()
            self.assertEqual(checkpatch._misspellings(pathlib.Path(dictionary.name), patch, "HEAD"),
                             "calls->x\nqword->x\nqmore->x\n")


class Lost(GatesFixture):

    def lost(self, results, gate, words, step=1):
        self.assertEqual(results[step, gate]["verdict"], "lost")
        self.assertIn(words, results[step, gate]["reason"])

    @slow
    def test_a_tool_that_is_late_or_killed_is_lost(self):
        tools = {"checkpatch.pl": "checkpatch", "get_maintainer.pl": "maintainers",
                 "kernel-doc": "kernel-doc", "tinyconfig": "w1", "merge_config.sh": "w1",
                 "olddefconfig": "w1", "W=1": "w1", "accepts-sparse": "sparse", "--cocci-file": "coccinelle",
                 "include_patterns": "docs", "ci-show": "gitignore", "ARCH=x86": "uapi"}
        self.write(self.work / "Documentation/new.rst", "New\n===\n")
        self.write(self.work / "include/uapi/linux/new.h", "")
        self.write(self.work / "tools/testing/selftests/new/Makefile", "include ../lib.mk\n")
        self.add("int new;\n", name="drivers/toy/new.c")
        cases = [f"{word} {gate} {rc}" for word, gate in tools.items() for rc in ("late", "-9")]
        done = self.command(sys.executable, "-c", ENDED, self.repo, self.top / "out.json",
                            data="".join(f"{case}\n" for case in cases))
        answers = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]
        self.assertEqual(len(answers), len(cases), done.stderr)
        for case, (code, *results) in zip(cases, answers, strict=True):
            with self.subTest(case):
                self.assertEqual((code, results[-1]["verdict"]), (125, "lost"), results)
                self.assertRegex(results[-1]["reason"], "SIGKILL" if "-9" in case else "took more than")

    def test_lost_is_judged_again(self):
        spatch = (self.bin / "spatch").read_text()
        self.tool("spatch", "[ \"$1\" = --version ] && echo spatch version 1.1.1 && exit\nkill -9 $$\n")
        results, _ = self.check("--gate", "coccinelle", expect=125)
        self.lost(results, "coccinelle", "was ended by SIGKILL")
        (self.bin / "spatch").write_text(spatch)
        results, _ = self.check("--gate", "coccinelle")
        self.assertEqual(results[1, "coccinelle"]["verdict"], "pass")

    @slow
    def test_lane_that_cannot_be_configured(self):
        self.tool("make", "case $* in *config*) echo 'scripts/Kconfig: no' >&2; exit 2;; esac\n"
                  f"exec {shutil.which('make')} \"$@\"\n")
        results, done = self.check(expect=125)
        for gate in ("w1", "sparse"):
            self.lost(results, gate, "lane toy cannot be configured before the patch: ")
        self.assertEqual(done.stdout.splitlines()[-1], "10 pass, 0 fail, 0 skip, 2 lost")

    @slow
    def test_fault_of_one_gate_leaves_the_others(self):
        (self.work / "scripts/kernel-doc").chmod(0o644)
        self.add("int toy_a;\n")
        results, _ = self.check("2", expect=125)
        self.lost(results, "kernel-doc", "FileNotFoundError", 2)
        self.assertEqual(results[2, "coccinelle"]["verdict"], "pass")

    @slow
    def test_tool_that_fails_in_itself(self):
        for name, words in ("checkpatch.pl", "and no remark"), ("kernel-doc", "last words"):
            (self.work / "scripts" / name).write_text("#!/bin/sh\necho last words >&2\nexit 1\n")
        self.add("int toy_a;\n")
        results, _ = self.check("2", "--gate", "checkpatch", "--gate", "kernel-doc", expect=125)
        self.lost(results, "checkpatch", "checkpatch.pl ended with 1 and no remark", 2)
        self.lost(results, "kernel-doc", "kernel-doc ended with 1: last words", 2)

    def test_spatch_that_cannot_load_python_names_the_package(self):
        self.tool("spatch", "[ \"$1\" = --version ] && echo spatch version 1.3 && exit\n"
                  "echo 'unable to find the Python library libpython3.13m.so' >&2; exit 255\n")
        results, _ = self.check("--gate", "coccinelle", expect=125)
        self.assertEqual(results[1, "coccinelle"]["verdict"], "skip")
        self.assertIn("package libpython3-dev", results[1, "coccinelle"]["reason"])
        self.setUpTools()
        results, _ = self.check("--gate", "coccinelle")
        self.assertEqual(results[1, "coccinelle"]["verdict"], "pass")

    @slow
    def test_path_that_kbuild_cannot_take(self):
        home = self.top / "a b"
        shutil.copytree(self.cache / "linux.git", home / "linux-dmabuf-series/linux.git")
        done = self.script("check", expect=125, XDG_CACHE_HOME=home)
        self.assertEqual((done.stdout, len(done.stderr.splitlines())), ("", 1), done.stderr)
        self.assertIn("a path with a blank", done.stderr)
        self.assertFalse((home / "linux-dmabuf-series/check-tree").exists())
        self.script("check", "--gate", "message", "--gate", "kernel-doc", XDG_CACHE_HOME=home)

    def test_standard_output_that_takes_nothing(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([self.repo / "scripts/check", "--gate", "message"], env=self.env,
                                  stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr),
                         (125, "scripts/check: standard output: No space left on device\n"))
        end, begin = os.pipe()
        os.close(end)
        with os.fdopen(begin, "w") as closed:
            done = subprocess.run([self.repo / "scripts/check", "--gate", "message"], env=self.env,
                                  stdout=closed, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (125, ""))

    def test_interrupt_does_not_wait_for_spatch(self):
        self.tool("spatch", f"[ \"$1\" = --version ] && echo spatch version 1.1.1 && exit\n"
                  f"touch {self.top}/begun\nsleep 30\n")
        run = subprocess.Popen([self.repo / "scripts/check", "--gate", "coccinelle"], env=self.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not (self.top / "begun").exists():
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        start = time.monotonic()
        self.assertIn("interrupted by SIGTERM", run.communicate(timeout=60)[1])
        self.assertEqual(run.returncode, 125)
        self.assertLess(time.monotonic() - start, 8)


class Kept(GatesFixture):

    def edit(self, name):
        path = self.repo / "scripts" / name
        path.write_text(path.read_text() + "\n# another line\n")

    @slow
    def test_only_the_code_of_a_gate_is_in_its_key(self):
        self.check()
        for name in ("send", "lib/process.py", "lib/debian.py", "lib/gates/walk.py"):
            self.edit(name)
        results, _ = self.check()
        self.assertEqual(self.anew(results), set())
        for names, gates in ((("lib/kernel/build.py",), {"w1", "sparse"}),
                             (("lib/message.py", "lib/spatch.py"), {"message", "checkpatch", "coccinelle"})):
            for name in names:
                self.edit(name)
            results, _ = self.check()
            self.assertEqual(self.anew(results), gates)

    @slow
    def test_cheap_gates_of_all_patches_come_first(self):
        self.add("int toy_a;\n")
        results, _ = self.check()
        cheap = "message", "checkpatch", "maintainers", "kernel-doc", "gitignore", "fixes", "stable"
        built = "w1", "sparse", "docs", "uapi"
        self.assertEqual(list(results), [(step, gate) for gates in (cheap, built, ("coccinelle",))
                                         for step in (1, 2) for gate in gates])

    @slow
    def test_long_run_lets_a_short_one_pass(self):
        for number in range(3):
            self.add(f"int toy_{'abc'[number]};\n", f"toy: add thing {number}")
        self.tool("make", f"case $* in *W=1*) touch {self.top}/begun; sleep 1;; esac\n"
                  f"exec {shutil.which('make')} \"$@\"\n")
        with subprocess.Popen([self.repo / "scripts/check", "--gate", "w1"], env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            while not (self.top / "begun").exists():
                time.sleep(0.02)
            results, _ = self.check("--gate", "kernel-doc", "1")
            self.assertEqual(results[1, "kernel-doc"]["verdict"], "pass")
            self.assertIsNone(run.poll())
            self.assertIn("4 pass", run.communicate(timeout=60)[0])

    def test_fragments_of_a_lane(self):
        lane = self.repo / "ci/lanes/toy.toml"
        lane.write_text(lane.read_text().replace('"toy.config"', '["toy.config", "more.config"]'))
        self.write(self.repo / "kconfig-fragments/toy.config", "CONFIG_A=y\n")
        self.write(self.repo / "kconfig-fragments/more.config", "CONFIG_A=n\n")
        self.tool("make", f"case \" $* \" in *config*) echo \"$*\" >>{self.top}/made;; esac\n"
                  f"exec {shutil.which('make')} \"$@\"\n")
        self.check("--gate", "w1")
        self.assertIn(" tinyconfig\n", (self.top / "made").read_text())
        self.assertEqual((self.cache / "lanes/toy/config/fragments").read_text(),
                         "toy.config more.config\n")

    @slow
    def test_lane_whose_file_is_wrong(self):
        lane = self.repo / "ci/lanes/toy.toml"
        good = lane.read_text().replace("boot = []", '[[boot]]\nname = "b"\ntests = ["t"]\nseconds = 60')
        for old, new, words in (
                ('fragment = "toy.config"', "fragment = 3",
                 "fragment = 3 is not a string or a list of strings"),
                ('["qemu"]', '["qemu", 3]', "qemu = ['qemu', 3] is not a list of strings"),
                ("seconds = 60", 'seconds = "60"', "boot b: seconds = '60' is not a whole number"),
                ("seconds = 60", "seconds = true", "boot b: seconds = True is not a whole number"),
                ('["t"]', '"unit"', "boot b: tests = 'unit' is not a list of strings"),
                ("seconds", "second", "boot b: unknown: second"),
                ("arch =", "at = true\narch =", 'at = True is not "every" or "ends" or "last"'),
                ("arch =", "arch", "Expected '=' after a key in a key/value pair (at line 1, column 6)"),
                ("config =", "default = 0\nconfig =", "default = 0 is not true or false")):
            with self.subTest(new):
                lane.write_text(good.replace(old, new))
                done = self.script("check", "--gate", "w1", expect=1)
                self.assertIn(f"scripts/check: ci/lanes/toy.toml: {words}", done.stderr)
                self.assertEqual(done.stdout, "")

    @slow
    def test_history_that_comes_is_asked(self):
        self.add("int toy_a;\n", body='Why.\n\nFixes: 0123456789ab ("toy: break it")')
        shallow = self.top / "shallow"
        for number in range(3):
            self.change(self.linux, f"return {number}", f"return {number}0", "toy: later")
        self.git(self.top, "clone", "-q", "--depth=2", f"file://{self.linux}", shallow)
        results, _ = self.check("2", "--gate", "fixes", LINUX=shallow)
        self.assertIn(f"LINUX={shallow} is shallow", results[2, "fixes"]["reason"])
        self.git(shallow, "fetch", "-q", "--unshallow")
        results, _ = self.check("2", "--gate", "fixes", LINUX=shallow, expect=1)
        self.assertIn("is no commit of the history", results[2, "fixes"]["reason"])


class Surroundings(GatesFixture):
    """The kernel's own scripts say the same whatever stands in the home directory and the
    environment of who calls us."""

    FILES = {"scripts/checkpatch.pl": "", "scripts/spelling.txt": "", "scripts/const_structs.checkpatch": "",
             "scripts/get_maintainer.pl": "", "tools/docs/kernel-doc": "scripts/kernel-doc",
             **{f"tools/lib/python/kdoc/{name}.py": f"lib/python/kdoc/{name}.py" for name in (
                 "c_lex", "enrich_formatter", "kdoc_files", "kdoc_item", "kdoc_output", "kdoc_parser",
                 "kdoc_re", "kdoc_yaml_file", "xforms_lists")}}
    HOME = {".checkpatch.conf": "--ignore=LONG_LINE,TRAILING_SEMICOLON --max-line-length=20\n",
            ".get_maintainer.conf": "--no-sections --nom\n",
            ".get_maintainer.ignore": "keeper@toy.example\n", ".cocciconfig": "[spatch]\n options = --bad\n",
            ".gitconfig": "[core]\n\tautocrlf = true\n[diff]\n\tnoprefix = true\n"}
    ENVIRONMENT = {
        "ARCH": "vax", "BASH_ENV": "/nonexistent", "C": "0", "CDPATH": "/", "CC": "false", "CHECK": "false",
        "CHECKPATCH_CONFIG_DIR": "{home}", "CPATH": "/nonexistent", "CROSS_COMPILE": "vax-",
        "GCC_EXEC_PREFIX": "/x/",
        "GIT_EXTERNAL_DIFF": "false", "GNUMAKEFLAGS": "-n", "GREP_OPTIONS": "-v",
        "KBUILD_OUTPUT": "/nonexistent",
        "KCFLAGS": "-w -O9 --no-such-option", "KCONFIG_CONFIG": "/nonexistent", "KDOC_WERROR": "1",
        "LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8", "LLVM": "1", "MAKEFILES": "/nonexistent", "MAKEFLAGS": "n",
        "PERL5OPT": "-MNoSuchModule", "PERL5LIB": "/nonexistent", "PYTHONSTARTUP": "/nonexistent",
        "POSIXLY_CORRECT": "1",
        "COCCINELLE_HOME": "/nonexistent", "W": "0", "srctree": "/nonexistent"}

    def kernel(self):
        names = ("CREDITS", "Kbuild", "README", "Documentation/x", "arch/x", "include/x", "fs/x", "init/x",
                 "ipc/x", "kernel/x", "lib/x")
        real = {there or here: base_file(here) for here, there in self.FILES.items()}
        return {**KERNEL, **super().kernel(), **dict.fromkeys(names, ""), **real,
                "scripts/coccinelle/misc/toy.cocci": COCCI}

    def setUpTools(self):
        super().setUpTools()
        (self.bin / "spatch").unlink()

    def verdicts(self, **env):
        results, done = self.check("--again", expect=1, **env)
        return {key: (r["verdict"], r["reason"]) for key, r in results.items()}, done

    @slow
    def test_nothing_of_them_changes_a_verdict(self):
        self.add("int toy_long" + "g" * 100 + ";\n")
        self.add("\n/**\n * toy_a() - say\n * @x: what\n */\nint toy_a(void)\n{\n\tint unused;\n"
                 "\tunsigned int x;\n\n\treturn 1;\n}\n", "toy: warn")
        self.add("nobody's\n", "toy: add a stray", name="stray/file")
        self.add("\nint toy_mended;\n", "toy: mend", body='Why.\n\nFixes: 0123456789ab ("toy: break it")')
        calm, done = self.verdicts()
        self.assertEqual({key for key, (verdict, _) in calm.items() if verdict == "fail"},
                         {(2, "checkpatch"), (3, "w1"), (3, "kernel-doc"), (3, "coccinelle"),
                          (4, "maintainers")}, done.stdout)
        home = self.top / "home"
        for name, text in self.HOME.items():
            self.write(home / name, text)
        hostile = {name: value.format(home=home) for name, value in self.ENVIRONMENT.items()}
        self.write(self.cache / "check-tree/.checkpatch.conf", self.HOME[".checkpatch.conf"])
        self.assertEqual(self.verdicts(HOME=home, **hostile)[0], calm)


if __name__ == "__main__":
    unittest.main()
