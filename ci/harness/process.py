# SPDX-License-Identifier: GPL-2.0
"""Run a command with a bound, a log and its cost; leave nothing behind."""

import ctypes
import dataclasses
import os
import shlex
import signal
import subprocess
import threading
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_live = set()
_live_lock = threading.Lock()


@dataclasses.dataclass
class Outcome:
    """rc: exit status, or None when the time limit ended it; seconds: wall; cpu: user+sys."""

    rc: int | None
    seconds: float
    cpu: float


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def shell(command):
    """The command as a line to paste into a shell."""
    return shlex.join(str(word) for word in command)


def spawn(command, **kwargs):
    """Start a command in a process group of its own that dies with this process."""
    process = subprocess.Popen([str(word) for word in command], start_new_session=True,
                               preexec_fn=_die_with_parent, **kwargs)
    with _live_lock:
        _live.add(process.pid)
    return process


def reap(process):
    """Wait for a spawned process that has ended; its cpu seconds, rc set."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    with _live_lock:
        _live.discard(process.pid)
    return usage.ru_utime + usage.ru_stime


def kill(process):
    """Kill the whole process group of a spawned process."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_all():
    """Kill every process group still running: for an interrupted run."""
    with _live_lock:
        pids = list(_live)
    for pid in pids:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def run(command, log, timeout, cwd=None, env=None):
    """Run a command to its end or its time limit (seconds).

    Standard output and error go to the file `log`, after the line `$ command`.
    """
    start = time.monotonic()
    with open(log, "ab") as stream:
        stream.write(f"$ {shell(command)}\n".encode())
        stream.flush()
        process = spawn(command, stdin=subprocess.DEVNULL, stdout=stream,
                        stderr=subprocess.STDOUT, cwd=cwd, env=env)
        late = []
        timer = threading.Timer(timeout, lambda: (late.append(True), kill(process)))
        timer.daemon = True
        timer.start()
        cpu = reap(process)
        timer.cancel()
    rc = None if late else process.returncode
    return Outcome(rc, time.monotonic() - start, cpu)


def output(command, cwd=None, env=None, data=None, timeout=300):
    """Standard output of a short command, as text; CalledProcessError on failure."""
    return subprocess.run([str(word) for word in command], cwd=cwd, env=env, input=data,
                          check=True, text=True, capture_output=True, timeout=timeout).stdout


def end_orphans(marker):
    """Kill processes that a killed run left behind; returns how many.

    marker: an environment entry "NAME=value" that only such a run's processes
    carry. The caller holds the run's lock, so whoever carries it is an orphan.
    """
    found = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as stream:
                environ = stream.read().split(b"\0")
        except OSError:
            continue
        if marker.encode() in environ:
            try:
                os.kill(int(entry), signal.SIGKILL)
                found += 1
            except ProcessLookupError:
                pass
    return found
