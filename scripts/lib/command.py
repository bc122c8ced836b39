# SPDX-License-Identifier: GPL-2.0
"""Running commands, and the ways a script may end."""

import argparse
import ctypes
import errno
import os
import pathlib
import shlex
import signal
import subprocess
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

# File descriptors every child keeps: locks stay held until the last child ends.
held = []


class Failed(Exception):
    """Judged, and not good, or used wrongly: exit code 1."""


class CannotJudge(Exception):
    """Could not be judged: exit code 125, so that `git bisect run` skips it."""


class Broken(CannotJudge):
    """A command ended with an error; keeps rc, stdout and stderr."""

    def __init__(self, command, rc, stdout="", stderr=""):
        self.rc, self.stdout, self.stderr = rc, stdout, stderr
        said = (stderr.strip() or stdout.strip())[-2000:]
        why = f"ended with {rc}" if rc is not None else "took too long"
        super().__init__(f"{why}: {shell(command)}\n{said}".rstrip())


def shell(command):
    """The command as one line to paste into a shell."""
    return shlex.join(str(word) for word in command)


def _child():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command, cwd=None, env=None, data=None, timeout=600, check=True, stdout=None):
    """Run a command in its own process group; CompletedProcess with text output.

    env: entries added to the environment. data: its standard input, text.
    timeout: seconds, after which the whole group is killed and rc is None.
    stdout: a file instead of a pipe. Broken where check is set and rc is not 0.
    """
    command = [str(word) for word in command]
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(os.environ, **(env or {})), start_new_session=True,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="surrogateescape", pass_fds=held, preexec_fn=_child)
    late = False
    try:
        out, err = process.communicate(data, timeout)
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    rc = None if late else process.returncode
    if check and rc != 0:
        raise Broken(command, rc, out or "", err or "")
    return subprocess.CompletedProcess(command, rc, out or "", err or "")


def output(command, **kwargs):
    """Standard output of a command, without the last newline."""
    return run(command, **kwargs).stdout.rstrip("\n")


def say(text):
    """Progress and remarks: standard error, so that stdout stays a result."""
    print(text, file=sys.stderr, flush=True)


def parse(parser, arguments):
    """Parsed arguments; wrong use ends with exit code 1, not argparse's 2."""
    parser.exit_on_error = False
    def error(message):
        raise Failed(f"{message}\n{parser.format_usage().strip()}")
    parser.error = error
    try:
        return parser.parse_args(arguments)
    except argparse.ArgumentError as problem:
        raise Failed(f"{problem}\n{parser.format_usage().strip()}") from None


def _full(text):
    return "No space left on device" in text or "Disk quota exceeded" in text


def main(function, name):
    """Call function(arguments), turn its end into an exit code and a message."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(125))
    # Called from a git hook or in a repository below another, we still mean our own.
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        os.environ.pop(variable, None)
    os.environ["GIT_CEILING_DIRECTORIES"] = str(cache_directory())
    try:
        sys.exit(function(sys.argv[1:]) or 0)
    except Failed as error:
        say(f"{name}: {error}")
        sys.exit(1)
    except (CannotJudge, OSError) as error:
        if _full(str(error)) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            say(f"{name}: the disk is full: {str(error).strip().splitlines()[-1]}\n"
                f"free some space below {cache_directory()} or point XDG_CACHE_HOME at "
                f"another disk, then repeat: scripts/{pathlib.Path(name).name}")
        else:
            say(f"{name}: {error}")
        sys.exit(125)
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        sys.exit(125)


def cache_directory():
    """${XDG_CACHE_HOME:-~/.cache}/linux-dmabuf-series."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(home) / "linux-dmabuf-series"
