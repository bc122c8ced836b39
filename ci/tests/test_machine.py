# SPDX-License-Identifier: GPL-2.0
"""The machine of a boot on fake emulators: a hang that is asked about, a shell, KVM or TCG."""

import dataclasses
import gzip
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

from fixture import Fixture
from marks import slow

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import accelerator, hang, machine, qmp, symbols  # noqa: E402
from lib import lane, process  # noqa: E402

# A monitor: what it answers to each command is on the lines of the file "answers" beside it, a
# JSON value a command; it says nothing to a command that is not there.
MONITOR = """\
#!/usr/bin/env python3
import json, os, pathlib, socket, sys, threading
os.chdir(os.path.dirname(os.path.abspath(sys.argv[0])))
answers = json.loads(pathlib.Path("answers").read_text())


def guest():
    if sys.stdin.readline() == "ci: where\\n":
        print(pathlib.Path("tasks").read_text(), flush=True)


threading.Thread(target=guest, daemon=True).start()
where = sys.argv[sys.argv.index("-qmp") + 1].split(":")[1].split(",")[0]
server = socket.socket(socket.AF_UNIX)
server.bind(where)
server.listen()
print("Linux version 7.3.4\\nci: console alive", flush=True)
client, _ = server.accept()
client.sendall(b'{"QMP": {}}\\n')
for line in client.makefile():
    asked = json.loads(line)
    name = asked["execute"]
    name = asked["arguments"].get("command-line", name)
    client.sendall(b'{"event": "RESUME"}\\n')
    if name in answers:
        client.sendall(json.dumps(answers[name]).encode() + b"\\n")
    if name == "inject-nmi":
        print("[    9.000000] Kernel panic - not syncing: NMI: Not continuing", flush=True)
        break
else:
    threading.Event().wait()  # a machine goes on when its monitor is left
"""

ARM = """
CPU#0
 PC=ffff800080000010 X00=0000000000000000
X29=ffff800081000000 X30=0000000000000000  SP=ffff800081000000
PSTATE=600000c5 -ZC- EL1h
Q00=0000000000000000:0000000000000000 Q01=0000000000000000:0000000000000000

CPU#1
 PC=00000000004f4520 X00=0000000000000000
X29=0000ffffd9ceb230 X30=00000000004ff92c  SP=0000ffffd9cea6b0
PSTATE=60000000 -ZC- EL0t
"""
X86 = """
CPU#0
RAX=0000000000000000 RBX=0000000004000000 RCX=00000000025f1000 RDX=ffff88807bdf1000
RIP=ffffffff81000123 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
XMM00=00000000000000000000000000000000 XMM01=00000000000000000000000000000000
CPU#1
RIP=ffffffff81000200 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
"""
TASKS = """\
ci: where
ci: task 1 init S
[<0>] do_wait+0x7c/0x25c
[<0>] kernel_wait4+0x98/0x15c
ci: task 671 sh S
[<0>] do_wait+0x7c/0x25c
ci: task 673 timeout S
[<0>] hrtimer_nanosleep+0xb0/0x268
ci: task 674 sh R
ci: task 676 a (test) D
[<0>] __switch_to+0xf0/0x150
[<0>] vfio_pci_dma_buf_move+0x40/0x60 [vfio_pci_core]
[<0>] ioctl+0x40/0x60
ci: no more tasks
"""


class HangTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        (self.top / "qemu").write_text(MONITOR)
        (self.top / "qemu").chmod(0o755)
        (self.top / "tasks").write_text(TASKS)
        (self.top / "image").touch()
        with gzip.open(self.top / "symbols.gz", "wt") as stream:
            stream.write("ffff800080000000 T spin\nffff800080001000 T caller\nffff800080002000 T last\n"
                         "ffffffff81000100 T x86_spin\nffffffff81000200 t idle\nffffffff81000300 T end\n")

    def boot(self, text):
        """machine.run() on an emulator that is a shell script."""
        (self.top / "qemu").write_text(f"#!/bin/sh\n{text}\n")
        one = lane.Boot("main", "", [], None, ["unit"], 60, 1, 60, "every", [], False)
        found = mock.Mock(qemu=[str(self.top / "qemu"), "{image}", "{initrd}", "{results}", "{append}"],
                          append="console=x", source=self.top / "lane.toml", dtb="")
        return machine.run(found, one, ["unit"], self.top / "image", self.top / "initrd",
                           self.top / "boot", ["/cache/base a.cpio", "/cache/b.cpio"])

    def ask(self, answers):
        """(what hang.Asked.ask() says of a machine whose monitor has these answers, the console)."""
        (self.top / "answers").write_text(answers)
        console = self.top / "console"
        with open(console, "ab") as stream:
            child = process.spawn([self.top / "qemu", *qmp.SERVER], stdin=subprocess.PIPE, stdout=stream,
                                  cwd=self.top)
        try:
            while "alive" not in console.read_text():
                time.sleep(0.05)
            said = hang.Asked(child, self.top, console, symbols.Symbols(self.top)).ask("silent")
        finally:
            process.kill(child)
            process.reap(child)
            child.stdin.close()
        return said, console.read_text()

    @staticmethod
    def answers(registers, **more):
        """The answers of a monitor, as JSON."""
        said = {"qmp_capabilities": {}, "query-status": {"status": "running"}, "query-cpus-fast": [1, 2],
                "info registers -a": registers}
        return json.dumps({name: {"return": value} for name, value in said.items()} | more)

    def test_cpus_and_tasks_are_told_and_a_kernel_panics(self):
        said, console = self.ask(self.answers(X86))
        self.assertEqual(said, "CPU 0 in x86_spin+0x23; CPU 1 in idle+0x0, halted; task sh (674) runs; "
                               "task a (test) (676) in vfio_pci_dma_buf_move+0x40, D")
        self.assertIn("RAX=0000000000000000", console)
        self.assertNotIn("XMM00", console)
        self.assertIn("Kernel panic", console)

    def test_callers_by_frame_pointers_and_no_nmi(self):
        said, console = self.ask(self.answers(ARM, **{
            "x /2gx 0xffff800081000000": {
                "return": "ffff800081000000: 0xffff800081000040 0xffff800080001004\r\n"},
            "x /2gx 0xffff800081000040": {"error": {"desc": "Cannot access memory"}},
            "inject-nmi": {"error": {"desc": "not supported"}}}))
        self.assertIn("CPU 0 in spin+0x10; CPU 1 in user space; task", said)
        self.assertRegex(console, r"SP=ffff800081000000\nPSTATE.*\n caller\+0x4\n")
        self.assertIn("ci: inject-nmi: not supported", console)

    def test_functions_are_numbers_where_no_symbols_are_kept(self):
        (self.top / "symbols.gz").unlink()
        self.assertIn("CPU 0 in 0xffffffff81000123", self.ask(self.answers(X86))[0])

    def test_emulator_that_does_not_answer(self):
        start = time.monotonic()
        with mock.patch.object(hang, "_EMULATOR", 0.5):
            said, console = self.ask("{}")
        self.assertEqual(said, "task sh (674) runs; task a (test) (676) in vfio_pci_dma_buf_move+0x40, D")
        self.assertIn("ci: the emulator does not answer: qmp_capabilities", console)
        self.assertLess(time.monotonic() - start, 10)

    def test_answers_are_behind_what_is_judged(self):
        record = self.boot("echo alive\nread line\necho BUG: asked for\necho ci: task 7 loop R\n"
                           "echo ci: no more tasks\nexec sleep 60")
        self.assertEqual(record["ended"], "silent for 1 s; task loop (7) runs")
        judged = record["console"][:record["judged"]]
        self.assertTrue(judged.endswith("initrd\nalive\n"), judged)
        self.assertTrue(record["console"][record["judged"]:].startswith("\nci: silent for 1 s; asked"))

    def test_command_is_the_first_line_and_can_be_pasted(self):
        record = self.boot('touch "$2"; echo "$@"')
        first, second, said = record["console"].splitlines()
        self.assertEqual(second, "# its initrd: cat '/cache/base a.cpio' /cache/b.cpio >initrd")
        subprocess.run(["sh", "-ec", first.removeprefix("$ ")], cwd=self.top / "boot", check=True,
                       stdout=subprocess.DEVNULL)
        self.assertTrue((self.top / "boot/initrd").exists())
        self.assertIn("console=x ci.tests=unit", said)
        self.assertEqual((record["ended"], record["judged"]), ("done", None))

    def test_device_tree_of_kbuild(self):
        found = mock.Mock(dtb="arch/a.dtb", qemu=["no such emulator"])
        built = self.top / "machine.dtb"
        subprocess.run(["dtc", "-q", "-o", built], input='/dts-v1/; / { node { of = "kbuild"; }; };',
                       text=True, check=True, timeout=60)
        one = lane.Boot("main", "", [], None, ["unit"], 60, 1, 60, "every", [], False)
        self.assertEqual(machine.devicetree_of(found, [], one, self.top / "image", self.top), built)
        (self.top / "more.dtsi").write_text("/ { more { }; };")
        two = dataclasses.replace(one, devicetree=self.top / "more.dtsi")
        blob = machine.devicetree_of(found, [], two, self.top / "image", self.top)
        text = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", blob], capture_output=True, text=True,
                              check=True, timeout=60).stdout
        self.assertEqual(blob.name, "main.dtb")
        self.assertRegex(text, r'(?s)of = "kbuild";.*more')

    def test_emulator_that_fails_is_quoted_and_not_its_command(self):
        record = self.boot("exit 3")
        self.assertEqual(record["ended"], "the emulator ended with 3: ")

    def test_monitor_below_a_long_path(self):
        deep = self.top / ("d" * 200)
        deep.mkdir()
        with self.assertRaisesRegex(qmp.Silent, "No such file"):
            qmp.Monitor(deep, time.monotonic() + 1)

    def test_symbols_are_functions_and_equal_ones_equal_bytes(self):
        system_map = self.top / "System.map"
        system_map.write_text("0000000000000010 T f\n0000000000000020 d data\n0000000000000030 t g\n")
        symbols.keep(system_map, self.top)
        first = (self.top / "symbols.gz").read_bytes()
        symbols.keep(system_map, self.top)
        self.assertEqual(first, (self.top / "symbols.gz").read_bytes())
        found = symbols.Symbols(self.top)
        self.assertEqual([found.name(n) for n in (0x5, 0x22, 0x99)], ["0x5", "f+0x12", "0x99"])


class InitTest(unittest.TestCase):
    """What init answers, in this machine's own /proc."""

    def test_stacks_of_tasks(self):
        text = (TOP / "ci/guest/init").read_text()
        functions = re.search(r"(?ms)^# print_stack DIR.*?(?=^# Answers)", text).group()
        done = subprocess.run(["sh", "-c", functions + "print_stacks"], capture_output=True, text=True,
                              check=True, timeout=60)
        self.assertRegex(done.stdout, rf"(?m)^ci: task {os.getpid()} \S.* [RSD]$")
        self.assertTrue(done.stdout.endswith("\nci: no more tasks\n"))
        self.assertTrue(any(f"({os.getpid()})" in line for line in hang.waiting("\n" + done.stdout)) or
                        "do_wait" in done.stdout)


class AcceleratorTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="series-test-")
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        own_cache = mock.patch.dict(os.environ, {"XDG_CACHE_HOME": directory.name})
        own_cache.start()
        self.addCleanup(own_cache.stop)
        self.lane = dataclasses.replace(lane.read(TOP, "x86_64"), arch=lane.own_arch())

    def emulator(self, text):
        """The lane with this shell script as its emulator."""
        (self.top / "qemu").write_text(f"#!/bin/sh\necho \"$@\" >>{self.top}/calls\n{text}\n")
        (self.top / "qemu").chmod(0o755)
        self.lane = dataclasses.replace(self.lane, qemu=[str(self.top / "qemu"), *self.lane.qemu[1:]])
        return accelerator.suited(self.lane, "fake 1.0")

    def works(self):
        return f"exit {accelerator.PROBES[lane.own_arch()].rc}"

    def test_works(self):
        found, what = self.emulator(self.works())
        self.assertEqual(what, "kvm")
        self.assertEqual(found.qemu[found.qemu.index("-accel") + 1], "kvm")
        self.assertNotIn("tcg,thread=single", found.qemu)
        self.assertEqual([w for w in found.qemu if "intel-iommu" in w],
                         [w for w in self.lane.qemu if "intel-iommu" in w])
        calls = (self.top / "calls").read_text()
        self.assertIn("-M q35,kernel-irqchip=split -accel kvm -cpu max", calls)

    def test_answer_is_kept(self):
        self.emulator(self.works())
        _, what = self.emulator("exit 9")
        self.assertEqual(what, "kvm")
        self.assertEqual(len((self.top / "calls").read_text().splitlines()), 1)
        self.assertEqual(accelerator.suited(self.lane, "fake 2.0")[1],
                         "tcg: KVM: the probe ended with 9")

    def test_no_rights(self):
        found, what = self.emulator(
            "echo 'Could not access KVM kernel module: Permission denied' >&2; exit 1")
        self.assertEqual(what, "tcg: KVM: the probe ended with 1: Could not access KVM kernel module: "
                               "Permission denied")
        self.assertEqual(found, self.lane)

    def test_lanes_with_one_answer_are_one_sentence(self):
        self.assertEqual(accelerator.sentences({"a": "kvm", "b": "tcg: why", "c": "kvm"}),
                         ["lanes a, c boot under kvm", "lane b boots under tcg: why"])

    def test_hangs_and_ignores_sigterm(self):
        start = time.monotonic()
        with mock.patch.object(accelerator, "SECONDS", 0.5):
            found, what = self.emulator("trap '' TERM INT HUP\nwhile :; do sleep 1; done")
        self.assertEqual(what, "tcg: KVM does not end the probe within 0.5 s")
        self.assertEqual(found, self.lane)
        self.assertLess(time.monotonic() - start, 3)

    def test_emulator_that_cannot_even_be_killed_is_left_alone(self):
        with mock.patch.object(accelerator, "SECONDS", 0.1), \
                mock.patch.object(accelerator.process, "kill"):
            _, what = self.emulator("exec sleep 3")
        self.assertIn("does not end the probe", what)

    def test_firmware_ends_and_takes_time(self):
        """Under TCG, which is slower than a processor and faster than a KVM that interprets."""
        for arch, words in (("x86_64", ["qemu-system-x86_64", "-M", "q35"]),
                            ("arm64", ["qemu-system-aarch64", "-M", "virt", "-cpu", "max"])):
            with self.subTest(arch=arch):
                self.assertEqual(accelerator.probe(arch, words, 30), "")
                self.assertEqual(accelerator.probe(arch, words, 0.2),
                                 "KVM does not end the probe within 0.2 s")

    def test_answer_is_of_one_firmware(self):
        self.emulator(self.works())
        arch = lane.own_arch()
        other = dataclasses.replace(accelerator.PROBES[arch], rom=b"other")
        with mock.patch.dict(accelerator.PROBES, {arch: other}):
            self.assertEqual(self.emulator("exit 9")[1], "tcg: KVM: the probe ended with 9")

    def test_other_architecture_and_counted_instructions(self):
        for change, why in (({"arch": "fake"}, "tcg: this machine is not fake"),
                            ({"qemu": [*self.lane.qemu, "-icount", "shift=0"]},
                             "tcg: only TCG counts instructions")):
            found = dataclasses.replace(self.lane, **change)
            self.assertEqual(accelerator.suited(found, ""), (found, why))


class RunTest(unittest.TestCase):
    """ci/run on the fake kernel."""

    @classmethod
    def setUpClass(cls):
        cls.fixture = Fixture()
        cls.addClassCleanup(cls.fixture.close)
        cls.fixture.mend()
        cls.fixture.patch("hang", "boot.sh", 'echo "@@ begin unit" >&3',
                          'read -r line\necho "[    1.0] Kernel panic - not syncing: NMI"\n'
                          "echo ci: task 7 loop R\necho ci: no more tasks\nexec sleep 60")
        lanes = cls.fixture.top / "ci/lanes"
        (lanes / "fake.toml").write_text((lanes / "fake.toml").read_text()
                                         .replace("silence = 20", "silence = 1")
                                         .replace('"{append}"]', '"{append}", "{initrd}"]'))
        shell = 'case $3 in *ci.shell=1*) cp "$4" "${0%/*}/seen"; echo "prompt>"\n' \
                '[ ! -t 0 ] || { read -r line; echo "got $line"; }; exit;; esac\n'
        qemu = (lanes / "fake-qemu").read_text()
        (lanes / "fake-qemu").write_text(qemu.replace("exec sh", shell + "exec sh"))
        cls.code, cls.text = cls.fixture.run()

    words = ("--lane", "fake", "--step", "1", "--boot", "main", "--shell")

    def store(self):
        """The verdicts that are kept."""
        cache = self.fixture.directory / "cache/linux-dmabuf-series/verdicts"
        return {p: p.read_bytes() for p in cache.rglob("*") if p.is_file()}

    def test_answer_of_a_hang_is_in_the_report_and_no_splat(self):
        self.assertEqual(self.code, 125, self.text)
        self.assertIn("lost: step 2 fake boot:main: boot: silent for 1 s; task loop (7) runs", self.text)
        self.assertNotIn("splat:", self.text)
        log = (self.fixture.top / "out/logs/2-fake-boot-main.txt").read_text()
        self.assertTrue(log.startswith("$ "), log)
        self.assertIn("Kernel panic - not syncing: NMI", log)
        again = re.search(r"again: (.*)", self.text).group(1)
        self.assertEqual(again, "ci/run --no-static --again --lane fake --step 2 --boot main")

    def test_shell_runs_what_is_piped_in_and_judges_nothing(self):
        before = self.store()
        done = subprocess.run([self.fixture.top / "ci/run", *self.words], cwd=self.fixture.top, text=True,
                              input="echo in the guest\n", capture_output=True, timeout=60,
                              env=self.fixture.environment, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("prompt>", done.stdout)
        self.assertIn("echo in the guest", (self.fixture.top / "ci/lanes/seen").read_text(errors="replace"))
        self.assertEqual(self.store(), before)

    def test_shell_has_the_terminal(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.fixture.top)
            os.execve("ci/run", ["ci/run", *self.words], self.fixture.environment)
        os.write(terminal, b"typed\n")
        said = b""
        while True:
            try:
                more = os.read(terminal, 1 << 16)
            except OSError:
                break
            if not more:
                break
            said += more
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, said)
        self.assertIn(b"got typed", said)
        self.assertIn(b"to leave: exit, or Ctrl-A X", said)

    @slow
    def test_shell_that_is_not_for_one_machine(self):
        for words, why in (((), "name one --lane"), (self.words[:4], "name one --boot"),
                           ((*self.words[:6], "--step", "2"), "name one --step"),
                           (("--lane", "fake", "--step", "0..1", "--boot", "main"), "one step"),
                           ((*self.words, "--again"), "--again says how")):
            code, text = self.fixture.run(*words, "--shell")
            self.assertEqual(code, 1, text)
            self.assertIn(why, text)
            self.assertNotIn("Traceback", text)

    def test_shell_without_a_terminal(self):
        done = subprocess.run([self.fixture.top / "ci/run", *self.words], cwd=self.fixture.top, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              env=self.fixture.environment, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("standard input is no terminal; pipe in a script", done.stderr)
