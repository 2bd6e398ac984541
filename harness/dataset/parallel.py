"""Items and a function in, results in the same order out, from a few threads that end when the user says so.

The threads are daemons: a server that says nothing for half a minute must not hold up Ctrl-C.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.core.errors import DatasetError, HarnessError, Problem, StoreError
from harness.dataset.retry import Line, LineDown, Stopped

_GRACE_S = 3.0  # for the threads to store what they hold
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(line: Line, items: Sequence[Item], work: Callable[[Item], Result], threads: int) -> list[Result]:
    """Call `work` on every item.

    A problem of one item does not stop the others, except a full disk or a dead line, which is everyone's. Raises one
    error with the problems of all items.
    """
    todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        todo.put(numbered)
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def worker() -> None:
        while True:
            try:
                index, item = todo.get_nowait()
                line.check()
                results[index] = work(item)
            except (queue.Empty, Stopped):
                return
            except BaseException as error:
                failures.append(error)
                if not isinstance(error, DatasetError) or isinstance(error, LineDown):
                    line.stop.set()

    workers = [threading.Thread(target=worker, daemon=True) for _ in range(min(threads, len(items)))]
    _wait(line, workers)
    _raise(failures)
    line.check()
    return [results[index] for index in range(len(items))]


def _wait(line: Line, workers: list[threading.Thread]) -> None:
    try:
        for thread in workers:
            thread.start()
        for thread in workers:
            while thread.is_alive():
                thread.join(0.2)  # a join without a limit would not hear Ctrl-C on every platform
    except BaseException:
        line.stop.set()
        deadline = time.monotonic() + _GRACE_S
        for thread in workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def _raise(failures: list[BaseException]) -> None:
    """Raise the one error that says it all: a bug first, then the disk, then the line, then all the rest."""
    for error in failures:
        if not isinstance(error, HarnessError):
            raise error
    for kind in (StoreError, LineDown):
        for error in failures:
            if isinstance(error, kind):
                raise error
    problems: dict[Problem, None] = {}
    for error in failures:
        if isinstance(error, HarnessError):
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise DatasetError(*problems)
