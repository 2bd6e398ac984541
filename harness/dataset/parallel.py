"""Call a function on many items from a few threads, which end when the user stops them.

The threads are daemons: a server that sends nothing for half a minute must not delay Ctrl-C.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.core.errors import DatasetError, HarnessError, Problem, StoreError
from harness.dataset.retry import Retrying, Stopped, Unreachable

_GRACE_S = 3.0  # for the threads to store what has arrived
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    retrying: Retrying, items: Sequence[Item], work: Callable[[Item], Result], threads: int
) -> list[Result]:
    """Call `work` on every item; the results come in the order of the items.

    A problem of one item does not stop the others, except a full disk or an unreachable server, which all share.
    Raises one error with the problems of all items.
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
                retrying.check()
                results[index] = work(item)
            except (queue.Empty, Stopped):
                return
            except BaseException as error:
                failures.append(error)
                if not isinstance(error, DatasetError) or isinstance(error, Unreachable):
                    retrying.stop.set()

    workers = [threading.Thread(target=worker, daemon=True) for _ in range(min(threads, len(items)))]
    _wait(retrying, workers)
    _raise(failures)
    retrying.check()
    return [results[index] for index in range(len(items))]


def _wait(retrying: Retrying, workers: list[threading.Thread]) -> None:
    try:
        for thread in workers:
            thread.start()
        for thread in workers:
            while thread.is_alive():
                thread.join(0.2)  # a join without a limit would not notice Ctrl-C on every platform
    except BaseException:
        retrying.stop.set()
        deadline = time.monotonic() + _GRACE_S
        for thread in workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def _raise(failures: list[BaseException]) -> None:
    """Raise one error for all: a bug first, then the disk, then an unreachable server, then all the rest."""
    for error in failures:
        if not isinstance(error, HarnessError):
            raise error
    for kind in (StoreError, Unreachable):
        for error in failures:
            if isinstance(error, kind):
                raise error
    problems: dict[Problem, None] = {}
    for error in failures:
        if isinstance(error, HarnessError):
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise DatasetError(*problems)
