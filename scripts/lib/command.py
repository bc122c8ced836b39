# SPDX-License-Identifier: GPL-2.0
"""Run our commands and the commands that they call: arguments, messages, signals, exit codes."""

import _thread
import argparse
import errno
import faulthandler
import io
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TextIO

from . import environment, process
from .process import shell

__all__ = ["Broken", "CannotJudge", "Failed", "Full", "Interrupted", "Missing", "as_text",
           "cache_directory", "complete", "full", "ignore_signals", "main", "output", "parse",
           "print_anything", "run", "say", "shell"]


class Failed(Exception):
    """Judged, and not good, or used wrongly: exit code 1."""


class CannotJudge(Exception):
    """Could not be judged: exit code 125, so that `git bisect run` skips it."""


class Missing(CannotJudge):
    """A tool is not on this machine; the text names it and, where it has one, its package."""


class Broken(CannotJudge):
    """A command ended with an error; keeps rc, stdout and stderr."""

    def __init__(self, command: Sequence[object], rc: int | None, stdout: str = "",
                 stderr: str = "") -> None:
        self.rc, self.stdout, self.stderr = rc, stdout, stderr
        said = (stderr.strip() or stdout.strip())[-2000:]
        why = f"ended with {rc}" if rc is not None else "took too long"
        super().__init__(f"{why}: {shell(command)}\n{said}".rstrip())


class Full(CannotJudge):
    """A disk is full; the text says whose, and what to do."""


class Interrupted(KeyboardInterrupt):
    """A signal asks us to end; its name is the text."""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def as_text(data: bytes) -> str:
    """UTF-8 with every byte kept, carriage returns too, whatever the locale is."""
    return data.decode("utf-8", "surrogateescape")


def run(command: Sequence[object], cwd: pathlib.Path | str | None = None,
        env: Mapping[str, str] | None = None, data: str | None = None, timeout: float = 600,
        check: bool = True, stdout: Any = None, user: bool = False,
        ) -> subprocess.CompletedProcess[str]:
    """Run a command in its own process group; CompletedProcess with text output.

    env: entries added to the environment. user: that is the user's own environment, with
    their git configuration. data: its standard input, text. timeout: seconds, after which
    the whole group is ended and rc is None. stdout: a file instead of a pipe. Broken where
    check is set and rc is not 0.
    """
    words = [str(word) for word in command]
    child = process.spawn(
        words, cwd=cwd, env={**(environment.users() if user else os.environ), **(env or {})},
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE)
    late = False
    try:
        try:
            out, err = child.communicate(None if data is None else _bytes(data), timeout)
        except subprocess.TimeoutExpired:
            late = True
            process.kill(child, process.GRACE)
            out, err = child.communicate()
    except BaseException:
        process.kill(child, process.GRACE)
        child.wait()
        raise
    finally:
        process.forget(child)
    rc = None if late else child.returncode
    said, remarks = as_text(out or b""), as_text(err or b"")
    if check and rc != 0:
        raise Broken(words, rc, said, remarks)
    return subprocess.CompletedProcess(words, rc, said, remarks)  # type: ignore[arg-type]


def complete(command: Sequence[object], timeout: float, **kwargs: Any,
             ) -> subprocess.CompletedProcess[str]:
    """Run a command to its own end, good or bad: its exit code is one that it chose.

    CannotJudge where the time limit (seconds) or a signal ended it.
    """
    done = run(command, check=False, timeout=timeout, **kwargs)
    if ended := process.cut_short(done.returncode, timeout):
        raise CannotJudge(f"{ended}: {shell(command)}\n{done.stderr.strip()[-2000:]}".rstrip())
    return done


def output(command: Sequence[object], **kwargs: Any) -> str:
    """Standard output of a command, without the last newline."""
    return run(command, **kwargs).stdout.rstrip("\n")


def say(text: str) -> None:
    """Progress and remarks: standard error, so that stdout stays a result. Where both are one file,
    they are in it in the order of the calls, whatever $PYTHONUNBUFFERED says."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        pass  # said at the end, by main()
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens; the exit code tells


def _document(parser: argparse.ArgumentParser) -> None:
    """Let --help be the parser's description, a docstring with a block `usage: ...`, and then
    list the options that have a help= of their own: nothing is told twice."""
    head, block, rest = (parser.description or "").partition("\n\nusage: ")
    if block:
        usage, _, text = rest.partition("\n\n")
        parser.usage = usage.replace("%", "%%")
        parser.description = f"{head.strip()}\n\n{text.rstrip()}"
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        for action in parser._actions:  # pylint: disable=protected-access
            action.help = action.help or argparse.SUPPRESS


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parsed arguments; wrong use ends with exit code 1, not argparse's 2."""
    parser.allow_abbrev = False  # what looks for an option in the arguments looks for its whole name
    setattr(parser, "exit_on_error", False)  # an attribute that some stubs of argparse lack
    _document(parser)

    def error(message: str) -> NoReturn:
        raise Failed(f"{message}\n{parser.format_usage().strip()}")
    setattr(parser, "error", error)  # for this parser alone
    try:
        return parser.parse_args(arguments)
    except argparse.ArgumentError as problem:
        raise Failed(f"{problem}\n{parser.format_usage().strip()}") from None


def full(said: BaseException | str) -> bool:
    """Whether an error, or the output of a command, says that a disk is full."""
    return isinstance(said, Full) or getattr(said, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
        words in str(said) for words in ("No space left on device", "Disk quota exceeded",
                                         "Out of diskspace"))


def print_anything() -> None:
    """Let standard output take any text, in any locale: what it cannot spell it gets as \\x..."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


_AGAIN = 5.0  # seconds after a signal at which it is tried once more
_AT_LAST = 20.0  # seconds after a signal at which we end, unless in a section that must be whole


class _Asked:
    """name: the signal that asked us to end; number: the same while it is yet to be raised;
    heard: what it raised has come to where it is meant to; bounded: ignore_signals() was called."""

    name = ""
    number = 0
    heard = False
    bounded = False


def ignore_signals() -> None:
    """From here to the end no signal interrupts our work, which takes a bounded time."""
    _Asked.bounded = True
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # not SIG_IGN, which children would inherit
        signal.signal(name, lambda _number, _frame: None)


def _interrupt(number: int, _frame: Any) -> None:
    if not _Asked.name:
        _Asked.name, _Asked.number = signal.Signals(number).name, number
        # not of threading's, whose locks the code may hold that we are called in
        _thread.start_new_thread(_insist, (number,))
    if number == _Asked.number:
        _Asked.number = 0
        process.interrupt(Interrupted(_Asked.name))


def _insist(number: int) -> None:
    """Let a signal have its effect where its exception is lost, as it is in a destructor, or
    where whoever has it waits for what does not come."""
    time.sleep(_AGAIN)
    if not (_Asked.heard or _Asked.bounded):
        _Asked.number = number
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    time.sleep(_AT_LAST - _AGAIN)
    while process.deferring():  # it may be restoring a tree of the user's: the time begins after it
        while process.deferring():
            time.sleep(0.1)
        time.sleep(_AT_LAST - _AGAIN)
    if not _Asked.bounded:
        say(f"interrupted by {_Asked.name}, {_AT_LAST:.0f} s ago; this is a bug in what goes on still:")
        faulthandler.dump_traceback()
        os._exit(125)


def _flush(stream: TextIO) -> str:
    """Write out what a standard stream holds; why that fails, or ""."""
    try:
        stream.flush()
        return ""
    except OSError as error:
        # else the interpreter tries again at its end, and makes the exit code 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return os.strerror(error.errno or 0)
    except ValueError:
        return "it is closed"


def _interrupted(name: str, signalled: KeyboardInterrupt) -> int:
    """The exit code after a signal, with a message."""
    _Asked.heard = True
    say(f"{name}: interrupted by {signalled or 'SIGINT'}; to go on, repeat: "
        f"{shell([name, *sys.argv[1:]])}")
    return 125


def _ended(function: Callable[[Sequence[str]], int | None], name: str) -> int:
    """Call the function; its exit code, with a message where that is not 0."""
    try:
        return function(sys.argv[1:]) or 0
    except Failed as error:
        say(f"{name}: {error}")
        return 1
    except BrokenPipeError:
        return 125  # the reader of our standard output has gone, and needs no message
    except (CannotJudge, OSError) as error:
        if isinstance(error, OSError) and sys.stdout is not None and (why := _flush(sys.stdout)):
            say(f"{name}: standard output: {why}")  # what it did not take is still in its buffer
        elif full(error) and not isinstance(error, Full):
            say(f"{name}: the disk is full: {str(error).strip().splitlines()[-1]}\n"
                f"free some space below {cache_directory()} or point XDG_CACHE_HOME at "
                f"another disk, then repeat: {shell([name, *sys.argv[1:]])}")
        else:
            say(f"{name}: {error}")
        return 125
    except KeyboardInterrupt as signalled:
        return _interrupted(name, signalled)
    except Exception:  # pylint: disable=broad-except
        say(f"{traceback.format_exc()}{name}: this is a bug in {name}; it says nothing about the series")
        return 125
    finally:
        process.kill_all()


def main(function: Callable[[Sequence[str]], int | None], name: str) -> NoReturn:
    """Call function(arguments) in the constructed environment; end with its exit code.

    0 it passes, 1 it fails or was used wrongly, 125 it could not be judged. SIGINT, SIGTERM
    and SIGHUP end what was started and then us.
    """
    _with_docstrings()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        environment.isolate()
        code = _ended(function, name)
        ignore_signals()  # the verdict stands
    except KeyboardInterrupt as signalled:  # before the function began, or when it had ended
        process.kill_all()
        code = _interrupted(name, signalled)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and (why := _flush(stream)) and code == 0:
            if why != os.strerror(errno.EPIPE):
                say(f"{name}: standard output: {why}")
            code = 125
    os._exit(code)  # neither waits for threads nor, as $PYTHONINSPECT has it, for more to do


def _with_docstrings() -> None:
    """Start anew where the interpreter leaves out docstrings and assertions, as $PYTHONOPTIMIZE
    demands: --help prints docstrings."""
    if sys.flags.optimize:
        options = ["-E", *(["-B"] if sys.dont_write_bytecode else [])]
        os.execv(sys.executable, [sys.executable, *options, *sys.argv])


def cache_directory() -> pathlib.Path:
    """${XDG_CACHE_HOME:-~/.cache}/linux-dmabuf-series."""
    return pathlib.Path(environment.cache_home(dict(os.environ))) / "linux-dmabuf-series"
