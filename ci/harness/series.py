# SPDX-License-Identifier: GPL-2.0
"""The file `series`, as scripts/lib reads it, and the words ci/run has for its patches."""

import re

from lib.series import read, subject

__all__ = ["ends", "last", "read", "slug", "title"]


def last(series):
    """The last step: the number of patches."""
    return len(series.patches)


def ends(series):
    """The last steps of the topics."""
    patches = series.patches
    return {p.step for p, q in zip(patches, [*patches[1:], None], strict=True)
            if q is None or p.topic != q.topic}


def slug(patch):
    """topic/subject: the patch's file name without number, stable across insertions."""
    return re.sub(r"/\d+-", "/", patch.name).removesuffix(".patch")


def title(series, step):
    """The subject of a step's patch; the base for step 0."""
    return subject(series.patches[step - 1].text) if step else f"the base, {series.base}"
