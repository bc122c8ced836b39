# SPDX-License-Identifier: GPL-2.0
"""Ask a machine that hangs where it hangs, before it is ended.

The answers, of which each may be missing: the registers of its CPUs, from the emulator; the
stacks of its tasks, from ci/guest/init, while user space still runs; and the stacks of its
CPUs: by frame pointers on arm64; elsewhere from the kernel itself, by an NMI that makes it
panic where its command line has unknown_nmi_panic.
"""

import pathlib
import re
import subprocess
import time
from collections.abc import Iterator

from lib import process

from . import qmp
from .symbols import Symbols

# Seconds for all questions; for the emulator's answers, for the guest's, and until a kernel
# that got an NMI is taken to have said all.
_SECONDS, _EMULATOR, _GUEST, _QUIET = 10.0, 3.0, 5.0, 2.0
# The question that ci/guest/init reads on its console, and the last line of its answer.
_WHERE, _END = b"ci: where\n", "ci: no more tasks"
_CPU = re.compile(r"^CPU#(\d+)\s*$", re.M)
_X86 = re.compile(r"\bRIP=([0-9a-f]{16})")
_ARM = re.compile(r"\bPC=([0-9a-f]{16})")
_FRAME = re.compile(r"\bX29=([0-9a-f]{16})")
_USER = re.compile(r"\bCPL=3\b|\bEL0t\b")
_HALTED = re.compile(r"\bHLT=1\b")
# Registers of vectors and floating point say nothing of where a CPU is.
_VECTORS = re.compile(r"\b(?:XMM|YMM|ZMM|FP[R]|FCW|MXCSR|Opmask|Q|P|Z|FFR)\d*=|\bFPCR=")
_WORDS = re.compile(r"0x([0-9a-f]{16})")
_TASK = re.compile(r"(\d+) (.*) (\S)$")
_STACK = re.compile(r"\[<0>\] (\S+?)(?:/0x[0-9a-f]+)?(?: \[\w+\])?$")
# The innermost functions of a task that sleeps, and of one that waits for its child.
_SWITCH = re.compile(r"(?:__switch_to|(?:__)?schedule)\+")
_PARENT = re.compile(r"(?:__)?do_wait\+")
_FRAMES, _TASKS = 16, 4


class Asked:
    """One machine that is asked. child: its emulator; scratch: its working directory; console:
    where the answers go, and where the guest's own are found."""

    def __init__(self, child: subprocess.Popen[bytes], scratch: pathlib.Path, console: pathlib.Path,
                 symbols: Symbols) -> None:
        self.child, self.scratch, self.console, self.symbols = child, scratch, console, symbols
        self.start = console.stat().st_size
        self.limit = time.monotonic() + _SECONDS

    def ask(self, why: str) -> str:
        """The decisive parts of what it answers, as "CPU 0 in ...; task ... in ...", or ""."""
        self._note(f"{why}; asked where it hangs")
        cpus: list[str] = []
        try:
            with qmp.Monitor(self.scratch, min(self.limit, time.monotonic() + _EMULATOR)) as monitor:
                self._note(f"the emulator: {monitor.execute('query-status').get('status')}, "
                           f"{len(monitor.execute('query-cpus-fast'))} CPUs")
                cpus = list(self._registers(monitor))
                tasks = self._tasks()
                monitor.limit = self.limit
                self._interrupt(monitor)
        except qmp.Silent as error:
            self._note(f"the emulator does not answer: {error}")
            tasks = self._tasks()
        return "; ".join([*cpus, *tasks])

    def _note(self, text: str) -> None:
        """A line of ours in the console, between those of the machine."""
        with open(self.console, "ab") as stream:
            stream.write(f"\nci: {text}\n".encode())

    def _registers(self, monitor: qmp.Monitor) -> Iterator[str]:
        """Where each CPU is; its registers go to the console."""
        try:
            said = monitor.human("info registers -a").replace("\r", "")
        except qmp.ErrorAnswer as error:
            self._note(str(error))
            return
        parts = _CPU.split(said)
        for number, text in zip(parts[1::2], parts[2::2], strict=False):
            lines = [line for line in text.splitlines() if line and not _VECTORS.search(line)]
            found = _X86.search(text) or _ARM.search(text)
            where = "at an unknown place"
            if _USER.search(text):
                where = "in user space"
            elif found:
                where = f"in {self.symbols.name(int(found.group(1), 16))}"
            where += ", halted" if _HALTED.search(text) else ""
            self._note("\n".join([f"CPU {number} is {where}", *lines,
                                  *self._backtrace(monitor, int(number), text)]))
            yield f"CPU {number} {where}"

    def _backtrace(self, monitor: qmp.Monitor, cpu: int, registers: str) -> Iterator[str]:
        """The callers on a CPU of arm64, whose kernel has frame pointers: a pair of the next
        frame and the return address at each."""
        found = _FRAME.search(registers)
        if not found or _USER.search(registers):
            return
        frame = int(found.group(1), 16)
        for _ in range(_FRAMES):
            try:
                pair = _WORDS.findall(monitor.human(f"x /2gx {frame:#x}", cpu).partition(":")[2])
            except qmp.ErrorAnswer:
                return
            if len(pair) != 2 or not (caller := int(pair[1], 16)):
                return
            yield f" {self.symbols.name(caller)}"
            if (after := int(pair[0], 16)) <= frame:
                return  # the stack grows down, and its end has no next frame
            frame = after

    # --- the guest's own answers

    def _answer(self) -> str:
        """What the console has got since the first question."""
        with open(self.console, "rb") as stream:
            stream.seek(self.start)
            return stream.read().decode(errors="replace").replace("\r", "")

    def _wait(self, seconds: float, end: str) -> str:
        """The answer, when a line of it is `end`, when the machine ends, or when time is over."""
        limit = min(self.limit, time.monotonic() + seconds)
        while time.monotonic() < limit and f"\n{end}\n" not in self._answer():
            if process.ended(self.child):
                break
            time.sleep(0.1)
        return self._answer()

    def _tasks(self) -> list[str]:
        """Where the tasks of the guest are, but for those that wait for their child."""
        try:
            assert self.child.stdin is not None
            self.child.stdin.write(_WHERE)
            self.child.stdin.flush()
        except OSError:
            return []
        answer = self._wait(_GUEST, _END)
        if "ci: task " not in answer:
            self._note("user space does not answer")
        found = waiting(answer)
        return found[:_TASKS] + ([f"{len(found) - _TASKS} more tasks"] if len(found) > _TASKS else [])

    def _interrupt(self, monitor: qmp.Monitor) -> None:
        """Let the kernel say where its CPUs are, and panic."""
        try:
            monitor.execute("inject-nmi")
        except qmp.ErrorAnswer as error:
            self._note(str(error))
            return
        except qmp.Silent:
            pass  # a kernel that panics at once ends the emulator
        size, quiet = -1, time.monotonic() + _QUIET
        while time.monotonic() < min(self.limit, quiet):
            if process.ended(self.child):
                return
            if (grown := self.console.stat().st_size) != size:
                size, quiet = grown, time.monotonic() + _QUIET
            time.sleep(0.1)


def waiting(answer: str) -> list[str]:
    """Where the guest says that its tasks are, but for those that wait for others."""
    found = []
    for part in answer.split("\nci: task ")[1:]:
        head, _, rest = part.partition("\n")
        if not (match := _TASK.match(head)):
            continue
        number, name, state = match.groups()
        stack = [m.group(1) for m in map(_STACK.match, rest.splitlines()) if m]
        stack = [one for one in stack if not _SWITCH.match(one)]
        if name == "timeout" or (stack and _PARENT.match(stack[0])):
            continue
        where = "runs" if state == "R" else f"in {stack[0]}" if stack else "at an unknown place"
        found.append(f"task {name} ({number}) {where}" + (", D" if state == "D" else ""))
    return found
