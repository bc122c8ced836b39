# SPDX-License-Identifier: GPL-2.0
"""A run over the mutants of a choice, several at once."""

import concurrent.futures
import os
from collections.abc import Sequence

from lib import process

from . import score
from .choice import Choice
from .mutant import Mutant
from .mutation import Judge, Detection, Result
from .progress import Progress
from .testbed import Testbed


def _judge_all(judge: Judge, mutants: Sequence[Mutant], show: Progress) -> list[Result]:
    """Judge mutants side by side, those of a file one after the other; in their order."""
    def one(each: Mutant) -> Result:
        show.begin(each.name, each.name)
        try:
            result = judge.judge(each)
        finally:
            show.end(each.name, cell=True)
        show.note(score.line(result))
        return result

    pool = concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        by_file = sorted(mutants, key=lambda m: (m.file, m.line, m.name))
        futures = {m.name: pool.submit(one, m) for m in by_file}
        results = {name: future.result() for name, future in futures.items()}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        process.kill_all()
        raise
    pool.shutdown()
    return [results[m.name] for m in mutants]


def _judge_choice(judge: Judge, choice: Choice, show: Progress) -> list[Result]:
    """Judge what is listed, and as many of those drawn as there are to be that compile."""
    results = _judge_all(judge, choice.listed, show)
    left, at = choice.count, 0
    while left and at < len(choice.drawn):
        batch = choice.drawn[at:at + left]
        at += len(batch)
        made = _judge_all(judge, batch, show)
        left -= sum(r.outcome is not Detection.UNCOMPILED for r in made)
        results += made
    return results


def run(judge: Judge, bed: Testbed, choice: Choice, show: Progress) -> list[Result]:
    """Judge a choice, and leave the worktrees without a fault; the results in its order."""
    bed.begin()
    try:
        return _judge_choice(judge, choice, show)
    finally:
        if not process.stopping():
            bed.end()
