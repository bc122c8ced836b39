# SPDX-License-Identifier: GPL-2.0
"""Packages of newer Debian suites, or of another architecture, by apt directories of our own:
nothing of the machine's apt changes, and no root is needed."""

import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import scratch
from .command import Broken, CannotJudge, Missing, full, output, run

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# By role, so that the list does not age, then by the name that the role has today (a
# mirror may serve the two at different ages); the first that has the package wins.
SUITES = ("stable-backports", "testing", "unstable")

_Value = TypeVar("_Value")


def mirrors(etc: pathlib.Path = pathlib.Path("/etc/apt")) -> list[str]:
    """Archive URIs of this machine's own apt configuration, in order, no duplicates.

    The archive of security updates is left out: it has no other suites.
    """
    found: list[tuple[str, list[str]]] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        try:
            text = path.read_text()
        except OSError:
            continue
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                found_in = re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.M)
                fields = {name.lower(): value.split() for name, value in found_in}
                if fields.get("enabled", ["yes"])[0].lower() in ("no", "false", "0"):
                    continue
                if "deb" in fields.get("types", []) and "main" in fields.get("components", []):
                    found += [(uri, fields.get("suites", [])) for uri in fields.get("uris", [])]
        elif path.suffix == ".list":
            for line in text.splitlines():
                match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b", line)
                if match:
                    found.append((match.group(1), [match.group(2)]))
    uris: list[str] = []
    for uri, suites in found:
        uri = uri.rstrip("/")
        if all(s.endswith("security") or "/updates" in s for s in suites) or uri in uris:
            continue
        uris.append(uri)
    return uris


def trusted_mirrors() -> list[str]:
    """mirrors(), at least one; Missing where there is none, or no keys of Debian's."""
    if not KEYRING.exists():
        raise Missing(f"no {KEYRING} (package debian-archive-keyring)")
    found = mirrors()
    if not found:
        raise Missing("no Debian mirror in this machine's apt configuration")
    return found


class Archive:
    """One suite of one mirror, or the suites of the machine's own apt configuration where no mirror is
    named, with lists and downloads below `directory`.

    architecture: of the packages, "" for the machine's own.
    """

    def __init__(self, directory: pathlib.Path, uri: str = "", suite: str = "", source: bool = False,
                 architecture: str = "") -> None:
        self.directory, self.architecture = pathlib.Path(directory).resolve(), architecture
        kind = "deb-src" if source else "deb"
        shutil.rmtree(self.directory / "lists", ignore_errors=True)
        for name in ("lists/partial", "archives/partial", "download"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.list = self.directory / "sources.list" if uri else None
        if self.list:
            self.list.write_text(f"{kind} [signed-by={KEYRING}] {uri} {suite} main\n")

    def options(self) -> list[str]:
        """The words that give apt our directories."""
        values: dict[str, object] = {
            "Dir::State::lists": self.directory / "lists",
            "Dir::Cache": self.directory, "Dir::Cache::archives": self.directory / "archives",
            "Acquire::Languages": "none", "Acquire::Retries": "1", "APT::Sandbox::User": "root",
            "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20",
        }
        if self.list:
            values |= {"Dir::Etc::sourcelist": self.list, "Dir::Etc::sourceparts": "/dev/null",
                       "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
                       "APT::Update::Error-Mode": "any"}
        if self.architecture:
            values |= {"APT::Architecture": self.architecture, "APT::Architectures": self.architecture}
        return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]

    def get(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """apt-get with our directories, in the download directory."""
        return run(["apt-get", "-q", *self.options(), *arguments], timeout=timeout,
                   cwd=self.directory / "download", env={"LC_ALL": "C"})

    def update(self) -> None:
        """Fetch the lists of the suite; Broken where its mirror does not have it."""
        self.get("update", timeout=300)

    def codename(self) -> str:
        """What the suite is called in its Release file, or ""."""
        for path in (self.directory / "lists").glob("*Release"):
            match = re.search(r"(?m)^Codename: (\S+)$", path.read_text(errors="replace"))
            if match:
                return match.group(1)
        return ""

    def has(self, *names: str) -> bool:
        """Whether the suite has the (source) package."""
        return bool(output(["apt-cache", *self.options(), *names], check=False,
                           env={"LC_ALL": "C"}).strip())


def _said(error: Broken) -> str:
    """What apt says first of why it failed."""
    lines = [x for x in error.stderr.splitlines() if x.startswith(("E:", "W:"))]
    return (lines or [str(error)])[0]


def _need_tools() -> None:
    """Missing where no packages can be fetched on this machine."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Missing(f"no {tool} on this machine")


def unpack(target: pathlib.Path, architecture: str, packages: Sequence[str]) -> None:
    """Unpack packages of an architecture, as the machine's own suites have them, into a new
    directory, which is there as a whole or not at all. CannotJudge says why it cannot be."""
    _need_tools()
    with scratch.directory("apt") as holder:
        archive, root = Archive(holder / "apt", architecture=architecture), holder / "root"
        root.mkdir()
        what = "update"
        missing: Broken | None = None
        try:
            try:
                archive.update()
            except Broken as error:
                if full(error):
                    raise
                missing = error  # of one suite, perhaps; the others may have the packages
            for package in packages:
                what = f"download {package}:{architecture}"
                archive.get("download", package, timeout=300)
                deb = next((archive.directory / "download").glob(f"{package}_*.deb"), None)
                if deb is None:
                    raise CannotJudge(f"apt-get {what}: it gives no package")
                run(["dpkg-deb", "-x", deb, root])
        except Broken as error:
            if full(error):
                raise
            if missing:
                what = "update"
            raise CannotJudge(f"apt-get {what}: {_said(missing or error)}") from None
        root.chmod(0o755)
        target.parent.mkdir(parents=True, exist_ok=True)
        root.rename(target)


def search(directory: pathlib.Path, package: str, fetch: Callable[[Archive, str], _Value | None],
           source: bool = False, say: Callable[[str], None] = lambda text: None) -> _Value:
    """fetch(archive, suite) for the suites that have the package, until one gives a value.

    Returns that value. Missing: no packages can be fetched on this machine; CannotJudge says what
    each suite answered.
    """
    _need_tools()
    uris = trusted_mirrors()
    answers = []
    for uri in uris:
        suites = list(SUITES)
        for suite in suites:
            archive = Archive(directory, uri, suite, source)
            try:
                archive.update()
            except Broken as error:
                if full(error):
                    raise
                answers.append(f"{suite}: {_said(error)}")
                continue
            if archive.has("showsrc" if source else "show", package):
                say(f"{package} from {suite}")
                value = fetch(archive, suite)
                if value is not None:
                    return value
                answers.append(f"{suite}: its {package} is not suitable")
            else:
                answers.append(f"{suite}: has no package {package}")
            if (name := archive.codename()) and name not in suites:
                suites.insert(suites.index(suite) + 1, name)
    raise CannotJudge("; ".join(answers))
