# SPDX-License-Identifier: GPL-2.0
"""What the displays of the boots showed, in the report: the pictures, and the HTML around them."""

import html
import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence

from .cell import Cell, Picture

DIRECTORY = "pictures"
# The names that write() gives, and no others.
_NAME = re.compile(r"\d+-[\w.-]+\.png$")


class Gallery:
    """The pictures of cells."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = [cell for cell in cells if cell.pictures]

    def write(self, report: pathlib.Path) -> None:
        """Copy the pictures below the directory of a report, in place of those of an earlier run."""
        directory = report / DIRECTORY
        for old in directory.glob("*.png"):
            if _NAME.match(old.name):
                old.unlink()
        for cell in self._cells:
            directory.mkdir(exist_ok=True)
            for number, (boot, picture) in enumerate(cell.pictures, 1):
                for which, path in _files(picture):
                    shutil.copyfile(path, directory / _name(cell, boot, number, which))

    def of(self, step: int, lane: str) -> str:
        """The HTML of a cell's pictures: those that are wrong first, each beside what is expected."""
        return "".join(_figure(cell, boot, number, picture)
                       for cell in self._cells if (cell.step, cell.lane) == (step, lane)
                       for number, (boot, picture) in sorted(
                           enumerate(cell.pictures, 1), key=lambda one: not one[1][1].wrong))


def _files(picture: Picture) -> Iterator[tuple[str, pathlib.Path]]:
    """What there is of a picture: the logs of a kept verdict may be gone."""
    for which, path in (("seen", picture.seen), ("expected", picture.expected)):
        if path is not None and path.is_file():
            yield which, path


def _name(cell: Cell, boot: str, number: int, which: str) -> str:
    return f"{cell.step}-{cell.lane}-{boot}-{number}-{which}.png"


def _figure(cell: Cell, boot: str, number: int, picture: Picture) -> str:
    there = [which for which, _ in _files(picture)]
    links = [f'<a href="{DIRECTORY}/{name}"><img loading="lazy" width="240" alt="{which}" '
             f'title="{which}" src="{DIRECTORY}/{name}"></a>'
             for which in there for name in [html.escape(_name(cell, boot, number, which))]]
    said = picture.wrong or "as expected"
    said += "" if "seen" in there else "; the picture is missing"
    return (f'<figure class="{"fail" if picture.wrong else "pass"}">{"".join(links)}<figcaption>'
            f"{html.escape(boot)}: {html.escape(picture.name)}: {html.escape(said)}</figcaption></figure>")
