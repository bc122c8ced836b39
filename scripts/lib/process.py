# SPDX-License-Identifier: GPL-2.0
"""Start commands and end them: each has a time limit and a process group of its own, and none
outlives us."""

import contextlib
import dataclasses
import errno
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Seconds from SIGTERM to SIGKILL: git removes its lock files in between.
GRACE = 3.0

# File descriptors every child keeps: locks stay held until the last child ends.
held: list[int] = []

_live: dict[int, subprocess.Popen[bytes]] = {}
_live_lock = threading.Lock()
_stopping = threading.Event()


class _Deferred:
    """depth: sections that a signal must not cut short; pending: what it would have raised."""

    depth = 0
    pending: BaseException | None = None


def interrupt(error: BaseException) -> None:
    """For handlers of signals: raise the error, at the end of a section that must be whole."""
    if _Deferred.depth:
        _Deferred.pending = error
        return
    raise error


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """A section that signals do not cut short: what they raise comes at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers of signals run in the main thread only
        return
    _Deferred.depth += 1
    try:
        yield
    finally:
        _Deferred.depth -= 1
        pending, _Deferred.pending = _Deferred.pending, None
        if pending is not None:
            interrupt(pending)


def deferring() -> bool:
    """Whether the main thread is in a section that must be whole."""
    return _Deferred.depth > 0


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a process ended. rc: exit status, or None when the time limit ended it; seconds: wall; cpu:
    user+sys."""

    rc: int | None
    seconds: float
    cpu: float


def shell(command: Sequence[object]) -> str:
    """The command as a line to paste into a shell."""
    return shlex.join(str(word) for word in command)


def cut_short(rc: int | None, seconds: float) -> str:
    """How a command was ended that did not end by itself, or "". rc: its exit status, None where its
    time limit (seconds) ended it."""
    if rc is None:
        return f"took more than {seconds:g} s"
    return f"was ended by {signal.Signals(-rc).name}" if rc < 0 else ""


def how_ended(rc: int | None, seconds: float) -> str:
    """How a command ended, by itself or not."""
    return cut_short(rc, seconds) or f"ended with {rc}"


def spawn(command: Sequence[object], env: Mapping[str, str] | None = None,
          **kwargs: Any) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own; the kernel kills it when we die.

    FileNotFoundError where there is no such program.
    """
    words = [str(word) for word in command]
    program = shutil.which(words[0], path=(os.environ if env is None else env).get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), words[0])
    # setpriv, as code of ours between fork() and exec() is not safe in a process with threads
    with whole(), _live_lock:
        if _stopping.is_set():
            raise KeyboardInterrupt
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", program, *words[1:]],
                                   env=env, process_group=0, pass_fds=held, **kwargs)
        _live[process.pid] = process
    return process


def reap(process: subprocess.Popen[bytes]) -> float:
    """Wait for a spawned process to end; its cpu seconds, with returncode set."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    forget(process)
    return float(usage.ru_utime + usage.ru_stime)


def forget(process: subprocess.Popen[bytes]) -> None:
    """The process has been waited for: its number may be somebody else's from now on."""
    with _live_lock:
        _live.pop(process.pid, None)


def _signal(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended; it still waits to be reaped."""
    return _ended(process.pid)


def _ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _end(pids: Sequence[int], grace: float) -> None:
    """SIGTERM to process groups, SIGKILL to what is left of them after `grace` seconds."""
    for pid in pids:
        _signal(pid, signal.SIGTERM)
    limit = time.monotonic() + grace
    while time.monotonic() < limit and not all(map(_ended, pids)):
        time.sleep(0.02)
    for pid in pids:
        _signal(pid, signal.SIGKILL)


def kill(process: subprocess.Popen[bytes], grace: float = 0.0) -> None:
    """End the process group of a spawned process that nobody has waited for yet."""
    _end([process.pid], grace)


def kill_all(grace: float = GRACE) -> None:
    """End every process group still running and let no other begin: for an interrupted run."""
    with _live_lock:
        _stopping.set()
    end_all(grace)


def end_all(grace: float = GRACE) -> None:
    """End every process group still running; others may begin."""
    with _live_lock:
        pids = list(_live)
    _end(pids, grace)


def stopping() -> bool:
    """Whether kill_all() has been called: what a command says from now on is our doing."""
    return _stopping.is_set()


def run(command: Sequence[object], log: pathlib.Path, timeout: float,
        cwd: pathlib.Path | None = None, env: Mapping[str, str] | None = None) -> Ending:
    """Run a command to its end or its time limit (seconds).

    Standard output and error go to the file `log`, after the line `$ command`.
    """
    start = time.monotonic()
    with open(log, "ab") as stream:
        stream.write(f"$ {shell(command)}\n".encode())
        stream.flush()
        process = spawn(command, stdin=subprocess.DEVNULL, stdout=stream,
                        stderr=subprocess.STDOUT, cwd=cwd, env=env)
        rc, cpu = _bounded(process, timeout)
    return Ending(rc, time.monotonic() - start, cpu)


def follow(command: Sequence[object], timeout: float, stdout: Any = None,
           cwd: pathlib.Path | None = None) -> Ending:
    """Run a command to its end or its time limit (seconds), with what it says on our own
    standard error, and on our standard output unless `stdout` is another file."""
    start = time.monotonic()
    sys.stdout.flush()
    rc, cpu = _bounded(spawn(command, stdin=subprocess.DEVNULL, stdout=stdout, cwd=cwd), timeout)
    return Ending(rc, time.monotonic() - start, cpu)


def _bounded(process: subprocess.Popen[bytes], timeout: float) -> tuple[int | None, float]:
    """Wait for a spawned process: its exit status, None when it took too long; cpu seconds."""
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        kill(process, GRACE)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    try:
        cpu = reap(process)
    finally:
        timer.cancel()
    return None if late else process.returncode, cpu


def end_orphans(marker: str) -> int:
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
