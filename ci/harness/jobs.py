# SPDX-License-Identifier: GPL-2.0
"""Threads that take the most urgent of the jobs that wait."""

import concurrent.futures
import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any


class Jobs:
    """threads: how many jobs run side by side."""

    def __init__(self, threads: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=threads)
        self._changed = threading.Condition()
        self._number = itertools.count()
        self._waiting: list[tuple[Any, ...]] = []

    def submit(self, urgency: tuple[float, ...], function: Callable[..., Any], *arguments: Any,
               ) -> concurrent.futures.Future[Any]:
        """Let function(*arguments) run when a thread is free and no job of a lower urgency waits."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            heapq.heappush(self._waiting, (urgency, next(self._number), future, function, arguments))
        self._pool.submit(self._next)
        return future

    def _next(self) -> None:
        """Run one job: there are as many calls as jobs."""
        with self._changed:
            *_, future, function, arguments = heapq.heappop(self._waiting)
            self._changed.notify_all()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # pylint: disable=broad-except
            future.set_exception(error)

    def all_begun(self) -> None:
        """Wait until no job waits for a thread."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)

    def drop(self) -> None:
        """Begin no other job."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Wait for all jobs."""
        self._pool.shutdown()
