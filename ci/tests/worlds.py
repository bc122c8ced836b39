# SPDX-License-Identifier: GPL-2.0
"""The worlds in which our commands are tried: scripts/* around the toy kernel, ci/* around the
fake one."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil

import belongings
import fixture
import gates_fixture
from smtp_sink import Sink
from world import Command, Ended, World

LETTER = "toy: return more\n\nWhy all of this is done,\nin two lines.\n\nChanges in v2: none.\n"


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
        "apply-newer": Command(("scripts/apply",), lambda w, e: {"fates": e.text},
                               {"BASE": "v7.4-rc1", "LINUX": "{}/linux"}),
        "apply-tree": Command(("scripts/apply", "{}/user"), lambda w, e: {}, once=True),
        "apply-worktree": Command(("scripts/apply", "--worktree", "{}/new"),
                                  lambda w, e: _worktree(w.top / "new"), once=True),
        "refresh": Command(("scripts/refresh", "--tree", "{}/work"),
                           lambda w, e: _worktree(w.top / "work")),
        "refresh-check": Command(("scripts/refresh", "--check"), _last_line),
        "check": Command(("scripts/check",), lambda w, e: {"gates": "\n".join(
            line for line in e.text.splitlines() if re.match(r" *\d+ ", line))}, builds=True),
        "send": Command(("scripts/send", "--topic", "toy", "--output", "{}/mails"), lambda w, e: {
            path.name: _mail(path.read_bytes()) for path in sorted((w.top / "mails").glob("*"))}),
        "send-send": Command(("scripts/send", "--topic", "toy", "--send", "--yes"), lambda w, e: w.received(),
                             then=("--continue", ("scripts/send", "--topic", "toy", "--continue", "--yes"))),
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
        made.git(self.top / "linux", "tag", "v7.4-rc1")
        made.git(made.work, "reset", "-q", "--hard", "HEAD~2")
        made.change(made.work, "return 2;", "return 21;", "toy: return more, part 2")
        made.change(made.work, "return 5;", "return 50;", "toy: return more, part 5")
        self.edit()
        user = self.top / "user"
        made.git(self.top, "clone", "-q", "--template=", self.top / "linux", user)
        made.git(user, "switch", "-q", "-c", "mine")
        self.trees["user"] = user
        self.configured = [*self.trees.values(), self.top / "linux"]
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
    """The fake kernel: ci/*. Three patches, of which one mends a case and one measures; a mutant
    that a case notices; the report of a run on another machine; what ci/test --quick tests is
    one unit test."""

    UNIT = ("# SPDX-License-Identifier: GPL-2.0\nimport subprocess\nimport unittest\n\n\n"
            "class Good(unittest.TestCase):\n    def test_one(self):\n"
            "        subprocess.run(['sleep', '0.2'], check=True)\n")

    commands = {
        "run": Command(("ci/run", "--no-static"), lambda w, e: {"table": w.report("table.txt")}, builds=True),
        "shard": Command(("ci/run", "--no-static", "--shard", "1/2"),
                         lambda w, e: {"table": w.report("table.txt")}, builds=True),
        "bisect": Command(("ci/bisect", "fake/main/unit/mended"), lambda w, e: {"answer": "\n".join(
            line for line in e.text.splitlines() if "fake/main/unit/mended" in line)}, builds=True),
        "mutate": Command(("ci/mutate",), lambda w, e: {"table": w.report("mutate.txt")}, builds=True),
        "report": Command(("ci/report", "{}/elsewhere/out"), lambda w, e: {"table": w.report("table.txt")}),
        "bench": Command(("ci/bench", "--step", "2..3"), lambda w, e: {"table": w.report("bench.txt")},
                         builds=True),
        "test": Command(("ci/test", "--quick"), lambda w, e: {"verdicts": "\n".join(sorted(
            re.sub(r", \d+ s of CPU$", "", line) for line in e.text.splitlines()
            if re.match(r"\[|\d+ passed", line)))}),
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
        (made.top / "ci/mutants.toml").write_text(
            '[[mutant]]\nname = "not-mended"\nfile = "boot.sh"\nwhy = "the case fails again"\n'
            'edits = [{ old = "\\nok 2", new = "\\nnot ok 2" }]\n')
        shutil.rmtree(made.top / "ci/tests", ignore_errors=True)
        (made.top / "ci/tests").mkdir()
        (made.top / "ci/tests/test_small.py").write_text(self.UNIT)
        for name in ("COPYING", ".editorconfig"):
            if (fixture.TOP / name).exists():
                shutil.copy(fixture.TOP / name, made.top / name)
        (made.top / "REUSE.toml").write_text(
            'version = 1\n[[annotations]]\npath = "**"\nSPDX-License-Identifier = "GPL-2.0"\n')
        tools = made.directory / "bin"
        for name in ("shellcheck", "pyflakes3", "mypy", "codespell"):
            (tools / name).write_text("#!/bin/sh\nexit 0\n")
            (tools / name).chmod(0o755)
        super().__init__(made.directory, made.top, {
            **made.environment, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"})
        self.edit()
        self.trees["kernel"] = made.linux
        self.configured = list(self.trees.values())
        self._work(made.linux, "Makefile")
        self._report_from_elsewhere(made)
        self.keep()

    @staticmethod
    def _report_from_elsewhere(made: fixture.Fixture) -> None:
        """elsewhere/out: the report of ci/run with another cache."""
        there, keep = made.directory / "elsewhere", made.environment["XDG_CACHE_HOME"]
        made.environment["XDG_CACHE_HOME"] = str(there / "cache")
        code, text = made.run("--output", str(there / "out"))
        made.environment["XDG_CACHE_HOME"] = keep
        assert code == 0, text

    @staticmethod
    def _listen(tree: pathlib.Path) -> None:
        """Let the fake kernel heed the variables that kbuild heeds."""
        text = (tree / "Makefile").read_text()
        for old, new in (("gcc -Wall -c", "$(CC) -Wall $(KCFLAGS) -c"),
                         ("srctree :=", "CC = gcc\nKCONFIG_CONFIG ?= $(O)/.config\nsrctree :="),
                         ("$(KCONFIG_ALLCONFIG) >$(O)/.config", "$(KCONFIG_ALLCONFIG) >$(KCONFIG_CONFIG)")):
            assert old in text
            text = text.replace(old, new)
        (tree / "Makefile").write_text(text)
        fixture.git(tree, "commit", "-q", "-a", "-m", "Linux 7.3")
        fixture.git(tree, "tag", "-f", "v7.3")

    def report(self, name: str) -> str:
        """A report in the clone without the times in it."""
        path = self.repo / "out" / name
        text = re.sub(r"(?m)^cost: .*\n", "", path.read_text()) if path.exists() else ""
        return re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)

    def close(self) -> None:
        super().close()
        self.fixture.close()


WORLDS = (Scripts, Harness)
COMMANDS = [name for kind in WORLDS for name in kind.commands]


def world_of(command: str) -> type[World]:
    """The kind of world in which a command is tried."""
    return next(kind for kind in WORLDS if command in kind.commands)
