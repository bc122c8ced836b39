# SPDX-License-Identifier: GPL-2.0
"""What counts as a splat: a text for each line of ci/splats that it must match, and one that
it must not; excerpts and fingerprints; consoles that say nothing."""

import pathlib
import re
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "ci"))

from harness import splat  # noqa: E402

from lib.command import Failed  # noqa: E402

CASES = pathlib.Path(__file__).with_name("cases")

# pattern: (a line that it must match, a line that it must not)
TABLE = {
    r"^WARNING:": ("WARNING: kernel/dma/debug.c:1040 at check_unmap+0x4a0/0x8f0, CPU#0: sh/55",
                   "systemd: WARNING: not the kernel's"),
    r"^BUG:": ("BUG: kernel NULL pointer dereference, address: 0000000000000008", "DEBUG: fine"),
    r"^kernel BUG at": ("kernel BUG at mm/huge_memory.c:2874!", "no kernel BUG at all"),
    r"^Oops": ("Oops: Oops: 0000 [#1] SMP KASAN PTI", "panic on Oops is on"),
    r"Internal error:": ("Internal error: Oops: 0000000096000004 [#1]  SMP", "Internal clock: 1 MHz"),
    r"^Unable to handle kernel": (
        "Unable to handle kernel paging request at virtual address ffff800080000000",
        "Unable to handle the request"),
    r"^general protection fault": ("general protection fault, probably for non-canonical address "
                                   "0xdead000000000100: 0000 [#1] SMP", "no general protection fault"),
    r"^Kernel panic": ("Kernel panic - not syncing: Fatal exception", "Kernel parameter panic=-1"),
    r"^UBSAN:": ("UBSAN: array-index-out-of-bounds in drivers/vfio/pci/vfio_pci_core.c:12:3",
                 "CONFIG_UBSAN: y"),
    r"^INFO: task .* blocked for more than": ("INFO: task vfio:77 blocked for more than 61 seconds.",
                                              "INFO: task done"),
    r"^INFO: trying to register non-static key": ("INFO: trying to register non-static key.",
                                                  "INFO: a key is registered"),
    r"^watchdog: BUG": ("watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [sh:60]",
                        "watchdog: Delayed init of the lockup detector failed"),
    r"Watchdog detected hard LOCKUP": ("CPU1: Watchdog detected hard LOCKUP on cpu 0",
                                       "watchdog: hard lockup detector is off"),
    r"self-detected stall": ("rcu: INFO: rcu_preempt self-detected stall on CPU",
                             "rcu: RCU event tracing is enabled."),
    r"detected stalls on CPUs": ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                                 "rcu: RCU CPU stall warnings timeout set to 21"),
    r"detected expedited stalls": ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { }",
                                   "rcu: expedited grace periods are on"),
    r"possible circular locking dependency detected": (
        "WARNING: possible circular locking dependency detected", "Lock dependency validator: Copyright"),
    r"possible recursive locking detected": ("WARNING: possible recursive locking detected",
                                             "recursive locking API testsuite"),
    r"possible irq lock inversion dependency detected": (
        "WARNING: possible irq lock inversion dependency detected", "irq lock inversion: ok"),
    r"inconsistent lock state": ("WARNING: inconsistent lock state", "consistent lock state"),
    r"suspicious RCU usage": ("WARNING: suspicious RCU usage", "RCU usage: normal"),
    r"BUG: sleeping function called": (
        "BUG: sleeping function called from invalid context at mm/slab.h:321", "a sleeping function"),
    r"bad unlock balance detected": ("WARNING: bad unlock balance detected!", "bad unlock: ok"),
    r"held lock freed": ("WARNING: held lock freed!", "lock freed"),
    r"lock held when returning to user space": ("WARNING: lock held when returning to user space!",
                                                "returning to user space"),
    r"kmemleak: \d+ new suspected memory leaks": (
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15680)"),
    r"^DMA-API: .*: device driver": (
        "DMA-API: edu 0000:01:00.0: device driver frees DMA memory with different attributes",
        "DMA-API: preallocated 65536 debug entries"),
    r"^refcount_t:": ("refcount_t: underflow; use-after-free.", "a refcount_t: fine"),
    r"list_add corruption": ("list_add corruption. next->prev should be prev (ffff), but was 0.",
                             "list_add is checked"),
    r"list_del corruption": ("list_del corruption, ffff888100000000->next is LIST_POISON1",
                             "list_del is checked"),
    r"sysfs: cannot create duplicate filename": (
        "sysfs: cannot create duplicate filename '/devices/virtual/dma_heap/system'",
        "sysfs: created"),
    r"kobject_add_internal failed .* -EEXIST": (
        "kobject: kobject_add_internal failed for system with -EEXIST, don't try",
        "kobject_add_internal failed for system with -ENOMEM"),
    r"^BUG .* \(.*\):": ("BUG kmalloc-64 (Tainted: G    B  ): Poison overwritten",
                         "BUGS are welcome (here):"),
    r"^irq \d+: nobody cared": ('irq 16: nobody cared (try booting with the "irqpoll" option)',
                                "irq 16: affinity set"),
    r"^DMAR: (\[DMA |DRHD: handling fault status)": (
        "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0xfffff000 [fault reason "
        "0x05] PTE Write access is not set", "DMAR: DRHD base: 0x000000fed90000 flags: 0x1"),
    r"^arm-smmu-v3 .*: event(:| 0x[0-9a-f]+ received)": (
        "arm-smmu-v3 9050000.smmuv3: event 0x10 received:",
        "arm-smmu-v3 9050000.smmuv3: allocated 32768 entries for evtq"),
    r"^Out of memory: Killed process": (
        "Out of memory: Killed process 88 (heap_coherent) total-vm:1048kB, anon-rss:512kB",
        "Memory cgroup out of memory: Killed process 88 (heap_hold) total-vm:1048kB"),
    r": segfault at [0-9a-f]+ ip": (
        "vfio_importer[91]: segfault at 7f00 ip 0000000000401234 sp 00007ffc error 4 in vfio_importer",
        "a segfault at night"),
    r"^SError Interrupt on CPU": ("SError Interrupt on CPU1, code 0x00000000bf000002 -- SError",
                                  "CPU features: detected: RAS Extension Support"),
}

WARN = """\
[    3.400000] a
[    3.400001] b
[    3.400002] c
[    3.400003] d
[    3.400004] e
[    3.400005] ------------[ cut here ]------------
[    3.500002][   T55] WARNING: kernel/x.c:10 at f+0x4a0/0x8f0, CPU#0: sh/55
[    3.500003][   T55] Modules linked in:
[    3.500004][   T55] CPU: 0 UID: 0 PID: 55 Comm: sh Not tainted 7.3.4 #1
[    3.500005][   T55] RIP: 0010:f+0x4a0/0x8f0
[    3.500006][   T55] Code: 48 8b
[    3.500007][   T55] RSP: 0018:ffffc900001d3b40 EFLAGS: 00010246
[    3.500008][   T55] Call Trace:
[    3.500009][   T55]  <TASK>
[    3.500010][   T55]  ? show_regs+0x1/0x2
[    3.500011][   T55]  g+0x12/0x34
[    3.500012][   T55]  h+0x%d/0x34
[    3.500013][   T55]  i+0x12/0x34
[    3.500014][   T55]  j+0x12/0x34
[    3.500015][   T55]  k+0x12/0x34
[    3.500016][   T55]  </TASK>
[    3.500017][   T55] ---[ end trace 0000000000000000 ]---
[    3.600000] after
"""


def patterns(text):
    with tempfile.NamedTemporaryFile("w", suffix="splats") as stream:
        stream.write(text)
        stream.flush()
        return splat.patterns(pathlib.Path(stream.name))


class TableTest(unittest.TestCase):
    def test_each_line_of_the_file_has_its_texts(self):
        deny = splat.patterns(TOP / "ci/splats")
        self.assertEqual([e.pattern for e in deny.expressions], list(TABLE))

    def test_each_line_matches_its_text_and_not_the_other(self):
        for pattern, (splat_line, other) in TABLE.items():
            deny = patterns(pattern + "\n")
            with self.subTest(pattern):
                stamped = f"[    1.234567][   T12] {splat_line}\r"
                self.assertEqual([s.line for s in splat.scan(f"[    1.0] x\n{stamped}\n", deny)],
                                 [splat_line])
                self.assertEqual(splat.scan(f"[    1.234567] {other}\n", deny), [])

    def test_what_a_program_wrote_before_it_does_not_hide_it(self):
        deny = patterns("^WARNING:\n")
        self.assertEqual([s.line for s in splat.scan("waiting... [    1.234567] WARNING: x\n", deny)],
                         ["WARNING: x"])


class PatternFileTest(unittest.TestCase):
    def test_golden_consoles(self):
        deny = splat.patterns(TOP / "ci/splats")
        for path in sorted(CASES.glob("*.console")):
            with self.subTest(path.name):
                found = splat.scan(path.read_text(), deny)
                expected = path.with_suffix(".splats").read_text().splitlines()
                self.assertEqual([s.line for s in found], expected)

    def test_a_file_that_would_see_nothing_is_refused(self):
        for text, words in (("# fine\n(\n", ":2: "), ("# only\n\n# comments\n", "it has no pattern"),
                            ("", "it has no pattern"), ("x\ny*\n", ":2: it matches every line")):
            with self.subTest(text), self.assertRaisesRegex(Failed, words):
                patterns(text)
        with self.assertRaisesRegex(Failed, "/nope: no such file"):
            splat.patterns(pathlib.Path("/nope"))

    def test_the_key_follows_the_patterns_and_not_the_comments(self):
        self.assertEqual(patterns("a\n").key, patterns("# why\na\n").key)
        self.assertNotEqual(patterns("a\n").key, patterns("b\n").key)

    def test_a_console_that_says_nothing(self):
        self.assertEqual(splat.missing("QEMU: terminating\n"), [splat.BANNER, splat.ALIVE])
        self.assertEqual(splat.missing("[    0.0] Linux version 7.3\n"), [splat.ALIVE])
        self.assertEqual(splat.missing("[    0.0] Linux version 7.3\n[    2.0] ci: console alive\n"), [])


class ExcerptTest(unittest.TestCase):
    def test_from_the_lines_before_to_the_end_of_the_trace(self):
        [one] = splat.scan(WARN % 1, splat.patterns(TOP / "ci/splats"))
        self.assertEqual((one.excerpt[0], one.excerpt[5]), ("b", one.line))
        self.assertEqual(one.excerpt[-1], "---[ end trace 0000000000000000 ]---")

    def test_one_fingerprint_whatever_the_addresses(self):
        deny = splat.patterns(TOP / "ci/splats")
        one, other = splat.scan(WARN % 1 + WARN % 2, deny)
        self.assertEqual(one.fingerprint, "f < g < h < i < j")
        self.assertEqual(one.fingerprint, other.fingerprint)

    def test_of_arm64(self):
        text = ("WARNING: mm/x.c:1 at f+0x1/0x2\npc : f+0x1/0x2\nlr : q+0x1/0x2\nx1 : 0\n"
                "Call trace:\n f+0x1/0x2 (P)\n g+0x1/0x2\n el0t_64_sync+0x1/0x2\n"
                "---[ end trace 0000000000000000 ]---\nmore\n")
        [one] = splat.scan(text, splat.patterns(TOP / "ci/splats"))
        self.assertEqual(one.fingerprint, "f < g < el0t_64_sync")
        self.assertEqual(one.excerpt[-1], "---[ end trace 0000000000000000 ]---")

    def test_without_a_trace(self):
        lines = ["DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x1000", *"abcdefghij"]
        [one] = splat.scan("\n".join(lines), splat.patterns(TOP / "ci/splats"))
        self.assertEqual(one.excerpt, lines[:6])
        self.assertEqual(one.fingerprint, "DMAR: [DMA Write NO_PASID] Request device [N:N.N] fault addr N")

    def test_the_trace_of_the_kernel_s_own_functions_has_no_reporters(self):
        text = ("BUG: KASAN: slab-use-after-free in f+0x1/0x2\nCall Trace:\n dump_stack_lvl+0x1/0x2\n"
                " print_report+0x1/0x2\n kasan_report+0x1/0x2\n f+0x1/0x2\n g+0x1/0x2\n\n"
                "Allocated by task 1:\n")
        [one] = splat.scan(text, splat.patterns(TOP / "ci/splats"))
        self.assertEqual(one.fingerprint, "f < g")


class PatternsAreUsedTest(unittest.TestCase):
    def test_no_pattern_is_twice(self):
        lines = [line for line in (TOP / "ci/splats").read_text().splitlines()
                 if line and not line.startswith("#")]
        self.assertEqual(len(lines), len(set(lines)))
        self.assertFalse([line for line in lines if re.search(r"\s$", line)])


if __name__ == "__main__":
    unittest.main()
