# SPDX-License-Identifier: GPL-2.0
"""The files of patches/ and series: what may be replaced there, and the write."""

import pathlib
from collections.abc import Iterable, Iterator

from . import applied, aside, contents, journal, plumbing, series as series_file
from .command import Failed
from .clone import TOP
from .series import Series, read_text


def guard(tree: pathlib.Path, series: Series, found: contents.Export,
          known: applied.Applied | None) -> None:
    """Failed where the write would remove a patch that was never in the branch."""
    lost = [f"patches/{p.name}" for p in found.dropped if not (known and known.held(p))]
    listed = {p.name for p in series.patches}
    strays = [f"patches/{n}" for n in series_file.present(TOP)
              if n.endswith(".patch") and n not in listed and n not in found.files]
    if lost:
        here = len(series.patches) - len(found.dropped)
        raise Failed(f"{tree} holds {here} of {len(series.patches)} patches; these were never in "
                     f"its branch:\n{listed_briefly(lost)}\nto keep them, apply all patches "
                     "(scripts/apply) and add your commits (git cherry-pick); to drop them, as when the "
                     "base has them already, repeat this with --remove")
    if strays:
        raise Failed(f"not in series, nor in the branch:\n{listed_briefly(strays)}\n"
                     "move them away, or drop them: scripts/refresh --remove")


def listed_briefly(names: list[str]) -> str:
    """At most five names, a line each."""
    more = [f"and {len(names) - 5} more"] if len(names) > 5 else []
    return "\n".join(f"  {name}" for name in [*names[:5], *more])


def unknown(names: Iterable[str], known: applied.Applied | None) -> Iterator[str]:
    """Those of the files that are not in HEAD and that this command did not write."""
    written = known.written if known else {}
    for name in names:
        if written.get(name.removeprefix("patches/")) == applied.digest((TOP / name).read_bytes()):
            continue
        head = plumbing.result(TOP, "rev-parse", "-q", "--verify", f"HEAD:{name}").stdout
        own = plumbing.result(TOP, "hash-object", "--no-filters", "--", name).stdout
        if not head or head != own:
            yield name


def write(found: contents.Export, known: applied.Applied | None) -> None:
    """Bring patches/ and series to that content: all of it, or nothing."""
    there = series_file.present(TOP)
    changes: dict[str, str | None] = {
        f"patches/{name}": text for name, text in found.files.items() if there.get(name) != text}
    changes |= {f"patches/{name}": None for name in sorted(set(there) - set(found.files))
                if name.endswith(".patch")}
    if read_text(TOP / "series") != found.listing:
        changes["series"] = found.listing
    done = [f"{'removed' if text is None else 'changed' if (TOP / name).exists() else 'new'}: {name}"
            for name, text in changes.items()]
    aside.keep(TOP, unknown([name for name in changes if (TOP / name).exists()], known))
    journal.replace(TOP, {name: None if text is None else text.encode("utf-8", "surrogateescape")
                          for name, text in changes.items()})
    for line in done or ["no change"]:
        print(line)
