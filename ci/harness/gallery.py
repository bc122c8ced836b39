# SPDX-License-Identifier: GPL-2.0
"""What the displays of the boots showed, as HTML for the report, which has the pictures in itself."""

import base64
import html
import pathlib
from collections.abc import Iterator, Sequence

from .cell import Cell, Picture


class Gallery:
    """The pictures of cells."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = {(cell.step, cell.lane): cell for cell in cells if cell.pictures}

    def of(self, step: int, lane: str) -> str:
        """The HTML of a cell's pictures: those that are wrong first, each beside what is expected."""
        cell = self._cells.get((step, lane))
        found = sorted(cell.pictures, key=lambda one: not one[1].wrong) if cell else []
        return "".join(_figure(boot, picture) for boot, picture in found)


def _files(picture: Picture) -> Iterator[tuple[str, pathlib.Path]]:
    """What there is of a picture: the logs of a kept verdict may be gone."""
    for which, path in (("seen", picture.seen), ("expected", picture.expected)):
        if path is not None and path.is_file():
            yield which, path


def _figure(boot: str, picture: Picture) -> str:
    there = {which: base64.b64encode(path.read_bytes()).decode() for which, path in _files(picture)}
    images = "".join(f'<img width="240" alt="{which}" title="{which}" src="data:image/png;base64,{data}">'
                     for which, data in there.items())
    said = picture.wrong or "as expected"
    said += "" if "seen" in there else "; the picture is missing"
    return (f'<figure class="{"fail" if picture.wrong else "pass"}">{images}<figcaption>'
            f"{html.escape(boot)}: {html.escape(picture.name)}: {html.escape(said)}</figcaption></figure>")
