# SPDX-License-Identifier: GPL-2.0
"""The source of each step: the base, the series applied by git am, worktrees."""

import os
import pathlib
import re
import subprocess

from lib import repository

from . import process
from .errors import CannotJudge
from .store import digest

# A fixed identity and date: the same patches on the same base give the same commits.
IDENTITY = {
    "GIT_COMMITTER_NAME": "series", "GIT_COMMITTER_EMAIL": "series@localhost",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_AUTHOR_NAME": "series", "GIT_AUTHOR_EMAIL": "series@localhost",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
}


class DoesNotApply(Exception):
    """git am refused a patch; the text is what git said."""


class Source:
    """The base repository in the cache and the worktrees made from it."""

    def __init__(self, paths):
        self.paths = paths

    def git(self, *arguments, cwd=None, env=None, data=None):
        """Standard output of a git command in the base repository."""
        where = ["-C", cwd] if cwd else [f"--git-dir={self.paths.git}"]
        full = dict(os.environ, **IDENTITY, **(env or {}))
        return process.output(["git", *where, *arguments], env=full, data=data).strip()

    def base(self):
        """The commit of the base; CannotJudge where scripts/base has not run."""
        try:
            return self.git("rev-parse", "--verify", "-q", "refs/heads/base^{commit}")
        except (subprocess.CalledProcessError, FileNotFoundError):
            raise CannotJudge(f"no base in {self.paths.git}; run: scripts/base") from None

    def tree(self, commit):
        return self.git("rev-parse", f"{commit}^{{tree}}")

    def object(self, commit, path):
        """The object name of a path in a commit, or "" where there is none."""
        try:
            return self.git("rev-parse", "-q", "--verify", f"{commit}:{path}")
        except subprocess.CalledProcessError:
            return ""

    def worktree(self, directory):
        """A detached worktree in the cache, made when missing, freed of what a kill left."""
        name = pathlib.Path(directory).relative_to(self.paths.cache)
        return repository.worktree(str(name), checkout=False)

    def checkout(self, directory, commit):
        """Plain checkout: git rewrites only the files that differ."""
        repository.move(directory, commit)

    def apply(self, series, last):
        """The commits of steps 0..last, by git am.

        Returns (commits, refusal): refusal is None, or what git said of the
        patch of step len(commits), which did not apply.
        """
        base = self.base()
        commits = [base]
        tree = None
        for patch in series.patches[:last]:
            key = digest(commits[-1], patch.text)
            ref = f"refs/steps/{key}"
            try:
                commits.append(self.git("rev-parse", "-q", "--verify", ref))
                continue
            except subprocess.CalledProcessError:
                pass
            if tree is None:
                tree = self.worktree(self.paths.cache / "series")
                self.checkout(tree, commits[-1])  # whatever a killed run left there
            elif self.git("rev-parse", "HEAD", cwd=tree) != commits[-1]:
                self.checkout(tree, commits[-1])  # the step before was kept
            done = subprocess.run(
                ["git", "-c", "gc.auto=0", "-C", tree, "am", "--quiet", "--committer-date-is-author-date",
                 patch.path], capture_output=True, text=True, timeout=300,
                env=dict(os.environ, **{k: v for k, v in IDENTITY.items() if "AUTHOR" not in k}))
            if done.returncode:
                self.worktree(tree)
                return commits, (done.stderr + done.stdout).strip()
            commits.append(self.git("rev-parse", "HEAD", cwd=tree))
            repository.point(ref, commits[-1])
        return commits, None

    def with_test_patches(self, commit, patches):
        """A commit of the step's tree plus test-only patches; DoesNotApply.

        The patches never enter the series: they give a lane's guest what the
        emulator cannot, and are inert until the kernel command line says so.
        """
        if not patches:
            return commit
        index = self.paths.cache / f".index-{os.getpid()}"
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            self.git("read-tree", commit, env=env)
            for patch in patches:
                try:
                    self.git("apply", "--cached", patch, env=env)
                except subprocess.CalledProcessError as error:
                    raise DoesNotApply(f"{patch}: {error.stderr.strip()}") from None
            tree = self.git("write-tree", env=env)
        finally:
            index.unlink(missing_ok=True)
        return self.git("commit-tree", tree, "-p", commit, data="test-only patches\n")

    def listing(self, commit, pattern):
        """A digest of all files whose path matches the regular expression."""
        lines = self.git("ls-tree", "-r", commit).split("\n")
        return digest([line for line in lines if re.search(pattern, line.split("\t", 1)[1])])
