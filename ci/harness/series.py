"""The file `series`, as scripts/lib reads it, and the words ci/run has for its patches."""

import re

from lib.series import read, subject

__all__ = ["last", "read", "slug", "title"]


def last(series):
    """The last step: the number of patches."""
    return len(series.patches)


def slug(patch):
    """topic/subject: the patch's file name without number, stable across insertions."""
    return re.sub(r"/\d+-", "/", patch.name).removesuffix(".patch")


def title(series, step):
    """The subject of a step's patch; the base for step 0."""
    return subject(series.patches[step - 1].text) if step else f"the base, {series.base}"
