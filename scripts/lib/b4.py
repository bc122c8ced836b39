# SPDX-License-Identifier: GPL-2.0
"""The mails as b4 writes them, and the proof that git am takes them back."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

from . import cache, diff_form, environment, mailserver, posting, recipients, replay
from . import series as series_file
from . import submission, submitter
from .command import CannotJudge, Failed, run
from .plumbing import git

# b4's own, with what has changed, and with lines of ours for b4 and git: to b4 the base is the
# commit below the cover letter.
TEMPLATE = ("${cover}\n\n---\n${shortlog}\n\n${diffstat}\n---\n%s%schange-id: ${change_id}\n\n"
            "Best regards,\n-- \n${signature}\n")
# For b4, over the constructed configuration and that of the cache's repository.
PINNED = {
    **diff_form.PATCHES, **diff_form.PREFIXES_OF_B4,
    "b4.prep-cover-strategy": "commit", "b4.prep-pre-flight-checks": "disable-all",
    "b4.send-endpoint-web": "", "b4.send-no-patatt-sign": "yes", "b4.sendemail-identity": "",
    "sendemail.smtpserver": "localhost",  # never asked, but else b4 wants its web service
    "format.encodeEmailHeaders": "true",
}
# What of the user's b4.* is heeded: it concerns recipients only.
HEEDED = ("b4.email-exclude", "b4.send-series-to", "b4.send-series-cc")


def write(branch: submission.Branch, directory: pathlib.Path, config: dict[str, list[str]],
          not_to: Sequence[str], made: submission.Made) -> list[posting.Mail]:
    """Have b4 write the mails of the branch to a directory; the mails.

    b4 sees of the user's configuration what is given to it here. made: what the branch holds.
    """
    shutil.rmtree(directory, ignore_errors=True)
    name, address = submitter.person(config)
    values = {key: config[key][-1] for key in HEEDED if key in config}
    if not_to:
        values["b4.email-exclude"] = ",".join([
            *config.get("b4.email-exclude", [])[-1:], *map(recipients.bare, not_to), *not_to])
    if sender := mailserver.section(config).get("from"):
        values["sendemail.from"] = sender
    start = int(os.environ["GIT_CONFIG_COUNT"])
    changed = made.changes.replace("$", "$$") + "\n---\n" if made.changes else ""
    with tempfile.NamedTemporaryFile("w", suffix=".template", encoding="utf-8") as template:
        template.write(TEMPLATE % (changed, "".join(f"{line}\n" for line in made.lines)))
        template.flush()
        values |= {**PINNED, "b4.prep-cover-template": template.name,
                   "user.name": name, "user.email": address}
        home = {k: v for k, v in environment.users().items() if k == "HOME"}  # for ~/.signature
        done = run(["b4", "send", "--no-sign", "-o", directory], cwd=branch.tree, check=False,
                   env={**environment.git_config(values, start), **home, "COLUMNS": "80"})
    if done.returncode != 0:
        raise CannotJudge(f"b4 ended with {done.returncode}:\n{(done.stderr + done.stdout).strip()}")
    return posting.mails(directory)


def verify(branch: submission.Branch, patches: Sequence[series_file.Patch],
           mails: Sequence[posting.Mail]) -> None:
    """Failed unless git am makes of the mails what the patches make."""
    mails = mails[len(mails) - len(patches):]  # without the cover letter
    files = [series_file.Patch(p.step, p.topic, p.name, m.path)
             for p, m in zip(patches, mails, strict=True)]
    with cache.lock("steps"):
        commits, why = replay.replay(files, git(branch.tree, "rev-parse", f"HEAD~{len(patches)}"))
    if why:
        bad = files[len(commits) - 1]
        raise Failed(f"the mail of patches/{bad.name} does not apply:\n{why}\nit is {bad.path}")
    if git(branch.tree, "rev-parse", f"{commits[-1]}^{{tree}}") != \
            git(branch.tree, "rev-parse", "HEAD^{tree}"):
        raise Failed("the mails, applied by git am, do not give what the patches give; to see where: "
                     f"git -C {branch.tree} diff {commits[-1][:12]} b4/{branch.name}")
