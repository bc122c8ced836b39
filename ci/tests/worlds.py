# SPDX-License-Identifier: GPL-2.0
"""Our commands, each in a world of its own that can be had again as it was: a user with a clone
of this repository and a kernel tree, in both of which stands work of theirs.

A world is made once and copied back before each trial. Every command that ours start goes
through setpriv, and a world's own setpriv counts them: so a moment of a run has a name.
"""

import dataclasses
import hashlib
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
import gates_fixture
from smtp_sink import Sink

SECONDS = 120  # for a command; it takes two at most where nothing else runs
LETTER = "toy: return more\n\nWhy all of this is done,\nin two lines.\n\nBase: v7.3\n"
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
    name; env: the user's environment; commands: by name."""

    commands: dict[str, Command] = {}

    def __init__(self, top: pathlib.Path, repo: pathlib.Path, env: Mapping[str, str]) -> None:
        self.top, self.repo = top, repo
        self.env = dict(env)
        self.cache = pathlib.Path(env["XDG_CACHE_HOME"]) / "linux-dmabuf-series"
        self.trees: dict[str, pathlib.Path] = {"clone": repo}
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


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
                          ).hexdigest()[:16]


def _last_line(_world: World, ended: Ended) -> dict[str, str]:
    return {"last line": (ended.text.strip().splitlines() or [""])[-1]}


def _worktree(tree: pathlib.Path) -> dict[str, str]:
    return {"HEAD": belongings.git(tree, "symbolic-ref", "-q", "HEAD"),
            "history": belongings.history(tree), "status": belongings.git(tree, "status", "--porcelain"),
            "left over": belongings.leftovers(tree)}


def _mail(content: bytes) -> str:
    """A mail without what depends on the time and on chance."""
    text = re.sub(rb"(?m)^(Date|Message-Id|In-Reply-To|References|X-B4-Tracking|X-Mailer|X-Developer-\w+)"
                  rb":.*(\n[ \t].*)*\n", b"", content, flags=re.IGNORECASE)
    return f"{_digest(text)} " + text.decode(errors="replace").replace("\r", "")


class Scripts(World):
    """The toy kernel: scripts/*. Three patches; two of them applied in the cache; a worktree
    `work` in which the second is changed, the third dropped and another one made."""

    commands = {
        "base": Command(("scripts/base",), _last_line, {"LINUX": "{}/linux", "XDG_CACHE_HOME": "{}/empty"}),
        "apply": Command(("scripts/apply",), lambda w, e: _worktree(w.cache / "tree")),
        "apply-tree": Command(("scripts/apply", "{}/user"), lambda w, e: {}, once=True),
        "apply-worktree": Command(("scripts/apply", "--worktree", "{}/new"),
                                  lambda w, e: _worktree(w.top / "new"), once=True),
        "refresh": Command(("scripts/refresh", "--tree", "{}/work"),
                           lambda w, e: _worktree(w.top / "work")),
        "refresh-check": Command(("scripts/refresh", "--check"), _last_line),
        "check": Command(("scripts/check",), lambda w, e: {"gates": "\n".join(
            line for line in e.text.splitlines() if re.match(r" *\d+ ", line))}, builds=True),
        "send": Command(("scripts/send", "--output", "{}/mails"), lambda w, e: {
            path.name: _mail(path.read_bytes()) for path in sorted((w.top / "mails").glob("*"))}),
        "send-send": Command(("scripts/send", "--send", "--yes"), lambda w, e: w.received(),
                             then=("--continue", ("scripts/send", "--continue", "--yes"))),
    }

    def __init__(self, clone: str = "", cache: str = "") -> None:
        """clone, cache: names of directories to have them below, "" for none."""
        self.fixture = gates_fixture.GatesFixture()
        self.fixture.setUp()
        made = self.fixture
        if clone:
            made.write(made.top / clone / "x", "")
            made.repo = made.repo.rename(made.top / clone / "repo")
        if cache:
            place = made.top / cache / "cache"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made.top / "cache", place, symlinks=True)
            shutil.rmtree(made.top / "cache")
            made.env["XDG_CACHE_HOME"] = str(place)
            made.cache = place / made.cache.name
            made.git(made.cache / "linux.git", "worktree", "repair", made.work)
        super().__init__(made.top, made.repo, made.env)
        if cache:
            self.commands = dict(self.commands) | {"base": dataclasses.replace(
                self.commands["base"], more={"LINUX": "{}/linux", "XDG_CACHE_HOME": f"{{}}/{cache}/empty"})}
        self.sink = Sink()
        (self.top / ".gitconfig").write_text(
            "[user]\n\tname = A Submitter\n\temail = submitter@toy.example\n"
            f"[sendemail]\n\tsmtpServer = 127.0.0.1\n\tsmtpServerPort = {self.sink.port}\n")
        self._fill(made)
        self.keep()

    def _fill(self, made: gates_fixture.GatesFixture) -> None:
        for number in (2, 3):
            made.change(made.work, f"return {number};", f"return {number * 10};",
                        f"toy: return more, part {number}")
        made.script("refresh", "--tree", made.work)
        (self.repo / "COVER-LETTER.txt").write_text(LETTER)
        made.script("apply", "--step", "2")
        made.git(made.work, "reset", "-q", "--hard", "HEAD~2")
        made.change(made.work, "return 2;", "return 21;", "toy: return more, part 2")
        made.change(made.work, "return 5;", "return 50;", "toy: return more, part 5")
        self.edit()
        user = self.top / "user"
        made.git(self.top, "clone", "-q", "--template=", self.top / "linux", user)
        made.git(user, "switch", "-q", "-c", "mine")
        self.trees["user"] = user
        self._work(user, "Makefile")

    def renew(self) -> None:
        super().renew()
        self.sink.mails.clear()

    def received(self) -> dict[str, str]:
        """What the mail server has, by subject; twice the same Message-Id is one mail."""
        seen, parts = set(), {}
        for mail in self.sink.mails:
            if mail.message["Message-Id"] not in seen:
                seen.add(mail.message["Message-Id"])
                name = mail.subject
                parts[name if name not in parts else f"{name} again"] = _mail(mail.content)
        return parts

    def close(self) -> None:
        self.sink.close()
        super().close()
        self.fixture.doCleanups()


class Harness(World):
    """The fake kernel: ci/run, ci/bench, ci/test. Three patches, of which one mends a case and
    one measures; what ci/test --quick tests is one unit test."""

    UNIT = ("# SPDX-License-Identifier: GPL-2.0\nimport subprocess\nimport unittest\n\n\n"
            "class Good(unittest.TestCase):\n    def test_one(self):\n"
            "        subprocess.run(['sleep', '0.2'], check=True)\n")

    commands = {
        "run": Command(("ci/run", "--no-static"), lambda w, e: {"table": w.report("table.txt")}, builds=True),
        "bench": Command(("ci/bench", "--step", "2..3"), lambda w, e: {"table": w.report("bench.txt")},
                         builds=True),
        "test": Command(("ci/test", "--quick"), lambda w, e: {"verdicts": "\n".join(sorted(
            line for line in e.text.splitlines() if re.match(r"\[|\d+ passed", line)))}),
    }

    def __init__(self, clone: str = "", cache: str = "") -> None:
        self.fixture = made = fixture.Fixture()
        self._listen(made.linux)
        if clone:
            (made.directory / clone).mkdir(parents=True, exist_ok=True)
            made.top = made.top.rename(made.directory / clone / "repo")
        if cache:
            made.environment["XDG_CACHE_HOME"] = str(made.directory / cache / "cache")
        lane = (made.top / "ci/lanes/fake.toml").read_text()
        (made.top / "ci/lanes/bench-fake.toml").write_text('default = false\nsizes = ["fake"]\n' + lane)
        made.mend()
        measured = "# measured map 10 500\n" * 3
        made.patch("measure", "boot.sh", "1..2\n", "1..2\n" + measured)
        made.patch("be cheaper", "boot.sh", measured, measured.replace("500", "490"))
        shutil.rmtree(made.top / "ci/tests", ignore_errors=True)
        (made.top / "ci/tests").mkdir()
        (made.top / "ci/tests/test_small.py").write_text(self.UNIT)
        for name in ("COPYING", ".editorconfig"):
            if (fixture.TOP / name).exists():
                shutil.copy(fixture.TOP / name, made.top / name)
        (made.top / "REUSE.toml").write_text(
            'version = 1\n[[annotations]]\npath = "**"\nSPDX-License-Identifier = "GPL-2.0"\n')
        tools = made.directory / "bin"
        tools.mkdir()
        for name in ("shellcheck", "pyflakes3", "codespell"):
            (tools / name).write_text("#!/bin/sh\nexit 0\n")
            (tools / name).chmod(0o755)
        super().__init__(made.directory, made.top, {
            **made.environment, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"})
        self.edit()
        self.trees["kernel"] = made.linux
        self._work(made.linux, "Makefile")
        self.keep()

    @staticmethod
    def _listen(tree: pathlib.Path) -> None:
        """Let the fake kernel heed the variables that kbuild heeds."""
        text = (tree / "Makefile").read_text()
        for old, new in (("gcc -Wall -c", "$(CC) -Wall $(KCFLAGS) -c"),
                         ("srctree :=", "CC = gcc\nKCONFIG_CONFIG ?= $(O)/.config\nsrctree :="),
                         ("$(KCONFIG_ALLCONFIG) $(O)/.config", "$(KCONFIG_ALLCONFIG) $(KCONFIG_CONFIG)")):
            assert old in text
            text = text.replace(old, new)
        (tree / "Makefile").write_text(text)
        fixture.git(tree, "commit", "-q", "-a", "-m", "Linux 7.3")
        fixture.git(tree, "tag", "-f", "v7.3")

    def report(self, name: str) -> str:
        """A report in the clone without the times in it."""
        path = self.repo / "out" / name
        return re.sub(r"\b\d+(\.\d+)? s\b", "N s", path.read_text()) if path.exists() else ""

    def close(self) -> None:
        super().close()
        self.fixture.close()


WORLDS = (Scripts, Harness)


def world_of(command: str) -> type[World]:
    """The kind of world in which a command is tried."""
    return next(kind for kind in WORLDS if command in kind.commands)


SIGNALS = {name: getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")}
