# SPDX-License-Identifier: GPL-2.0
"""A command of ours in a world that can be had again as it was: a user with a clone of this
repository and a kernel tree, in both of which stands work of theirs.

A world is made once and copied back before each trial. Every command that ours start goes
through setpriv, and a world's own setpriv counts them: so a moment of a run has a name.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping

import belongings
import fixture

SIGNALS = {name: getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")}
SECONDS = 120  # for a command; it takes two at most where nothing else runs
EDIT = "Because it is a test, and the user has just edited this line."

HOOKS = ("applypatch-msg", "commit-msg", "post-checkout", "pre-applypatch", "pre-commit",
         "prepare-commit-msg", "sendemail-validate")

SETPRIV = """\
#!/bin/sh
# counts the commands that are started; at one of them a signal goes to who started all
printf x >>'{place}/started'
read -r all <'{place}/started'
if [ "${{#all}}" -ge {count} ] && mv '{place}/pid' '{place}/shot' 2>/dev/null; then
    read -r pid <'{place}/shot'
    {{ sleep {delay}; kill -s {signal} "$pid"; }} >/dev/null 2>&1 </dev/null &
fi
exec {real} "$@"
"""


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment of a run: `delay` seconds after the command number `count` was started, the
    first being 1; after our own start where that is 0."""

    count: int
    delay: float

    def __str__(self) -> str:
        return f"{self.count}+{self.delay:.3f}"

    @staticmethod
    def read(text: str) -> "Moment":
        count, delay = text.split("+")
        return Moment(int(count), float(delay))


@dataclasses.dataclass
class Ended:
    """How a command ended: exit code, all that it said, whether the signal was sent, commands
    that it started, seconds."""

    code: int
    text: str
    shot: bool = False
    started: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Command:
    """words: the command, {} for the world's top directory; verdict: parts of what it gave, from
    the world and its Ended; more: variables; once: done, it refuses to be done again;
    builds: in the cache, as kbuild does;
    then: of what it says when repeated, the words to go on with, by what the text matches."""

    words: tuple[str, ...]
    verdict: Callable[["World", Ended], dict[str, str]]
    more: Mapping[str, str] = dataclasses.field(default_factory=dict)
    once: bool = False
    builds: bool = False
    then: tuple[str, tuple[str, ...]] | None = None


class World:
    """top: the directory that is copied; repo: the user's clone; trees: what is the user's by
    name; configured: those and other repositories of theirs; env: the user's environment;
    commands: by name."""

    commands: dict[str, Command] = {}

    def __init__(self, top: pathlib.Path, repo: pathlib.Path, env: Mapping[str, str]) -> None:
        self.top, self.repo = top, repo
        self.env = dict(env)
        self.cache = pathlib.Path(env["XDG_CACHE_HOME"]) / "linux-dmabuf-series"
        self.trees: dict[str, pathlib.Path] = {"clone": repo}
        self.configured = [repo]
        self._beside = tempfile.TemporaryDirectory(prefix="surroundings-")
        self.beside = pathlib.Path(self._beside.name)

    def close(self) -> None:
        self._beside.cleanup()

    def edit(self) -> None:
        """The user's work in the clone: commits, staged, unstaged, untracked, ignored, stashed."""
        self.user(self.repo, "init", "-q", "-b", "main")
        (self.repo / ".gitignore").write_text("*.o\n/out/\n__pycache__/\n")
        self.user(self.repo, "add", "-A")
        self.user(self.repo, "commit", "-q", "-m", "The series")
        self.user(self.repo, "branch", "other")
        self._work(self.repo, "series")
        path = min((self.repo / "patches").glob("*/0001-*"))
        text = path.read_text()
        assert text.count("\nBecause it is a test.\n") + text.count("\nA reason.\n") == 1
        path.write_text(re.sub(r"\n(Because it is a test|A reason)\.\n", f"\n{EDIT}\n", text))

    def _work(self, tree: pathlib.Path, name: str) -> None:
        (tree / name).write_text((tree / name).read_text() + "# stashed\n")
        self.user(tree, "stash", "push", "-q")
        (tree / "note").write_text("An untracked note.\n")
        (tree / "note.o").write_text("An ignored file.\n")

    def user(self, tree: pathlib.Path, *words: str) -> None:
        """Git of the user in a tree, at a fixed date."""
        subprocess.run(["git", "-C", tree, *words], check=True, capture_output=True, timeout=60,
                       env={**self.env, **belongings.PLAIN, **fixture.IDENTITY})

    def _name_files(self) -> None:
        """Files that settings of git and variables name."""
        theirs = self.top / "theirs"
        (theirs / "hooks").mkdir(parents=True)
        for name in HOOKS:
            (theirs / "hooks" / name).write_text(f"#!/bin/sh\necho '{name} refuses' >&2\nexit 1\n")
            (theirs / "hooks" / name).chmod(0o755)
        (theirs / "attributes").write_text("* text eol=crlf\n")
        (theirs / "ignore").write_text("*\n")
        (theirs / "line").write_text("A line.\n")
        (theirs / "code").write_text("raise SystemExit('code of the user was run')\n")

    def keep(self) -> None:
        """What stands now is what renew() gives."""
        shutil.rmtree(self.beside / "kept", ignore_errors=True)
        if not (self.top / "theirs").exists():
            self._name_files()
        subprocess.run(["cp", "-a", f"{self.top}/.", self.beside / "kept"], check=True)

    def renew(self) -> None:
        """The world as it was kept."""
        for entry in self.top.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        subprocess.run(["cp", "-a", f"{self.beside}/kept/.", self.top], check=True)

    def _shim(self, number: int, moment: Moment | None) -> str:
        """The directory with a setpriv that knows the moment."""
        place = self.beside / "shim"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / "setpriv").write_text(SETPRIV.format(
            place=place, count=moment.count if moment and moment.count else 1 << 30,
            delay=f"{moment.delay:.3f}" if moment else 0, signal=number, real=shutil.which("setpriv")))
        (place / "setpriv").chmod(0o755)
        return str(place)

    def run(self, name: str, more: Mapping[str, str | None] | None = None, words: tuple[str, ...] = (),
            number: int = 0, moment: Moment | None = None, umask: int = -1) -> Ended:
        """Run a command to its end, or to a signal.

        more: variables, None for one that is taken away; words: others than its own;
        number, moment: a signal and when it comes.
        """
        command = self.commands[name]
        place = self._shim(number, moment)
        env = {**self.env, **command.more, **(more or {})}
        env = {k: v.replace("{}", str(self.top)) for k, v in env.items() if v is not None}
        env["PATH"] = f"{place}:{env['PATH']}"
        program, *rest = words or command.words
        start = time.monotonic()
        log = self.beside / "log"
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                ["env", "--default-signal=INT,HUP,TERM", "sh", "-c", 'exec "$0" "$@"',
                 str(self.repo / program), *[w.replace("{}", str(self.top)) for w in rest]],
                cwd=self.top, env=env, stdin=subprocess.DEVNULL, stdout=stream, umask=umask,
                stderr=subprocess.STDOUT, start_new_session=True)
            pid = pathlib.Path(place, "pid.new")
            pid.write_text(f"{process.pid}\n")
            pid.rename(pathlib.Path(place, "pid"))
            if moment and not moment.count:
                time.sleep(moment.delay)
                if process.poll() is None:
                    pathlib.Path(place, "pid").rename(pathlib.Path(place, "shot"))
                    process.send_signal(number)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        calls = pathlib.Path(place, "started")
        return Ended(process.returncode, log.read_text(errors="surrogateescape"),
                     pathlib.Path(place, "shot").exists(),
                     calls.stat().st_size if calls.exists() else 0, time.monotonic() - start)

    def processes(self) -> list[str]:
        """Command lines of processes that work in this world."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environ = (entry / "environ").read_bytes()
                place = os.readlink(entry / "cwd")
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words and (str(self.top).encode() in environ or place.startswith(str(self.top))):
                found.append(f"{entry.name}: {words.strip()}")
        return found

    def verdict(self, name: str, ended: Ended) -> dict[str, str]:
        """What a command gave: parts, each a text without times and places."""
        parts = {"exit code": str(ended.code)} | self.commands[name].verdict(self, ended)
        return {part: self.neutral(text) for part, text in parts.items()}

    def neutral(self, text: str) -> str:
        """A text without the places that are this world's own."""
        for path, word in ((self.repo, "CLONE"), (self.cache, "CACHE"), (self.top, "TOP")):
            text = text.replace(str(path), word)
        return text

    def belongings(self) -> dict[str, str]:
        """All that is the user's: parts, each a text."""
        return {f"{name}: {part}": text for name, tree in self.trees.items()
                for part, text in belongings.of(tree).items()}

    def holds(self, data: bytes) -> bool:
        """Whether some file of the world holds these bytes."""
        return any(data in path.read_bytes() for path in self.top.rglob("*")
                   if path.is_file() and not path.is_symlink())

    def describe(self, name: str, ended: Ended) -> str:
        words = " ".join(self.commands[name].words)
        return f"{words} ended with {ended.code}:\n" + "\n".join(
            "    " + line for line in ended.text.strip().splitlines()[-25:])
