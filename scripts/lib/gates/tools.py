# SPDX-License-Identifier: GPL-2.0
"""What the gates share: the worktree, the objects, the tools; each made when first needed."""

import functools
import pathlib
import shutil
from collections.abc import Sequence

from .. import checkout, clone, release
from .. import sparse as sparse_file
from ..command import CannotJudge, Missing, output, run, say
from ..documentation import Directives
from ..history import History, find as find_history
from ..lane import Lane
from ..kernel import patched
from ..kernel.build import Builder
from ..kernel.sources import directories
from ..lane import building as building_lanes
from ..plumbing import git
from ..spatch import Reports, Spatch
from .step import Step

_CODESPELL = pathlib.Path("/usr/lib/python3/dist-packages/codespell_lib")  # of Debian's package


class Tools:
    """steps: all that are to be judged in this run."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self._builders: dict[str, Builder] = {}
        self._versions: dict[str, str] = {}

    @functools.cached_property
    def _tree(self) -> pathlib.Path:
        path = checkout.worktree("check-tree", checkout=False)
        git(path, "clean", "-ffdxq")  # tools look for their configuration here, too
        return path

    def tree(self, commit: str | None = None) -> pathlib.Path:
        """The worktree of the checks; at that commit when one is given."""
        here = self._tree
        if (commit and git(here, "rev-parse", "HEAD") != commit) or not (here / "Makefile").exists():
            checkout.move(here, commit or release.BASE)
        return here

    def program(self, name: str, package: str) -> str:
        """The path of a program; Missing names the Debian package that has it."""
        path = shutil.which(name)
        if path is None:
            raise Missing(f"no {name} (package {package})")
        return path

    def version(self, program: str) -> str:
        """What a program calls itself."""
        if program not in self._versions:
            self._versions[program] = output([program, "--version"])
        return self._versions[program]

    @functools.cached_property
    def dictionary(self) -> pathlib.Path | None:
        """The misspellings that codespell knows; None where it is not installed.

        The python3 of PATH may be another than the one that Debian's package is for.
        """
        found = run(["python3", "-c", "import codespell_lib; print(codespell_lib.__file__)"], check=False)
        library = pathlib.Path(found.stdout.strip()).parent if found.returncode == 0 else _CODESPELL
        return next((path for path in (library / "data/dictionary.txt", _CODESPELL / "data/dictionary.txt")
                     if path.is_file()), None)

    @functools.cached_property
    def history(self) -> History:
        """The history in which Fixes: are looked up."""
        return find_history()

    @functools.cached_property
    def lanes(self) -> list[Lane]:
        """The lanes whose objects are built."""
        return building_lanes(clone.TOP)

    @functools.cached_property
    def _sparse(self) -> tuple[pathlib.Path | None, CannotJudge | None]:
        return sparse_file.obtained(say)

    def sparse(self) -> pathlib.Path:
        """A sparse that the kernel accepts; Missing or CannotJudge where there is none."""
        path, error = self._sparse
        if path is None:
            assert error is not None
            raise error
        return path

    def builder(self, lane: Lane, files: Sequence[str]) -> Builder:
        """What builds the objects of a lane, where these files are touched; Missing where it has
        no compiler."""
        if lane.name not in self._builders:
            checker = self._sparse[0] if lane.builds == "image" else None
            self._builders[lane.name] = Builder(lane, directories(files), checker)
        return self._builders[lane.name]

    def commit(self, lane: Lane, commit: str) -> str:
        """What the lane builds of a step: with its test-only patches."""
        try:
            return patched.commit(commit, lane.test_patches)
        except patched.DoesNotApply as error:
            raise CannotJudge(f"lane {lane.name}: a test-only patch does not apply: {error}") from None

    @functools.cached_property
    def directives(self) -> Directives:
        """Which pages of the base's documentation include which files."""
        return Directives(release.base())

    @functools.cached_property
    def spatch(self) -> Spatch:
        """The semantic patches of the base."""
        return Spatch(self.tree(release.base()))

    @functools.cached_property
    def reports(self) -> Reports:
        """What coccinelle says of the touched C files before and after all steps.

        All contents at once: the start of spatch costs more than a file.
        """
        contents = {(name, text) for step in self.steps for name in step.present((".c",))
                    for commit in (step.before, step.after)
                    if (text := step.content(commit, name)) is not None}
        self.tree(release.base())  # other runs move it between two judgements
        return self.spatch.reports(contents)
