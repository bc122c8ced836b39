# SPDX-License-Identifier: GPL-2.0
"""Steps as people read them: "0-3,5", and what was the case on which."""

from collections.abc import Collection, Mapping


def story(words: Mapping[int, str]) -> str:
    """{step: word} as "fail 0-3, pass 4-7"."""
    runs: list[tuple[str, int, int]] = []
    for step in sorted(words):
        if runs and runs[-1][0] == words[step] and runs[-1][2] == step - 1:
            runs[-1] = words[step], runs[-1][1], step
        else:
            runs.append((words[step], step, step))
    return ", ".join(f"{word} {first}" + (f"-{last}" if last > first else "")
                     for word, first, last in runs)


def spans(steps: Collection[int]) -> str:
    """Steps as "0-3,5", each once, in ascending order."""
    return story(dict.fromkeys(steps, "")).replace(" ", "")
