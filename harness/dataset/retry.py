"""Try again after faults that may pass: politely, a bounded number of times, and together for all files of a fetch.

A server that says when to come back (Retry-After) is believed, on its own clock: this computer's may be wrong by
years. Waiting ends at once when the user stops the fetch, and so do the threads that work on several files. They are
daemons: a server that sends nothing for half a minute must not delay Ctrl-C.
"""

import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from harness.core.errors import DatasetError, HarnessError, StoreError, raise_if

_GRACE_S = 3.0  # for the threads to store what has arrived
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """The fetch was told to end; whatever is stored is kept."""


class TransientFault(Exception):
    """A fault that may be gone in a moment; raised by one attempt, consumed by `Retrying.keep_trying`."""

    def __init__(
        self,
        what: str,
        todo: str,
        *,
        wait_s: float | None = None,
        everyone: bool = False,
        connection: bool = False,
        progress: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.wait_s = wait_s  # what the server asks for
        self.everyone = everyone  # all files must wait, not only this one
        self.connection = connection  # there was no answer at all
        self.progress = progress  # new bytes arrived before the fault: the count of failures starts again


class Unreachable(DatasetError):
    """Nobody answers: the same for every file, so one sentence ends the whole fetch."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to wait in between."""

    attempts: int = 6  # failures in a row, without a new byte; 0.5 + 1 + 2 + 4 + 8 = 15.5 s of waiting
    attempts_unreached: int = 3  # while nobody has ever answered: 1.5 s of waiting
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_asked_s: float = 600.0  # where a server asks for a longer wait, the fetch ends
    timeout_s: float = 30.0  # without a byte


class Retrying:
    """What all transfers of one fetch share: whether to stop, how long to wait, whether anyone has answered."""

    def __init__(self, policy: RetryPolicy, say: Callable[[str], None]) -> None:
        self.policy = policy
        self.say = say
        self.stop = threading.Event()
        self.answered = False
        self._wait_until = 0.0  # monotonic seconds

    def check(self) -> None:
        """Raise Stopped when the fetch is to end."""
        if self.stop.is_set():
            raise Stopped

    def keep_trying(self, where: str, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` until it returns, waiting between the faults that may pass.

        Raises Stopped, what `attempt` raises for good, or DatasetError after the last attempt.
        """
        failures = 0
        while True:
            while (left_s := self._wait_until - time.monotonic()) > 0:
                self._wait(left_s)
            self.check()
            try:
                result = attempt()
            except TransientFault as fault:
                failures = 1 if fault.progress else failures + 1
                self._give_up_or_wait(where, fault, failures)
            else:
                self.answered = True
                return result

    def _give_up_or_wait(self, where: str, fault: TransientFault, failures: int) -> None:
        self.check()
        if not fault.connection:
            self.answered = True
        attempts = self.policy.attempts if self.answered else self.policy.attempts_unreached
        if failures >= attempts:
            kind = Unreachable if fault.connection else DatasetError
            raise kind.at(where, f"{fault.what}, {failures} times in a row", fault.todo) from None
        wait_s = min(self.policy.first_wait_s * 2.0 ** (failures - 1), self.policy.longest_wait_s)
        if fault.wait_s is not None:
            wait_s = fault.wait_s
            if wait_s > self.policy.longest_asked_s:
                raise DatasetError.at(where, f"{fault.what} for {wait_s:,.0f} s", fault.todo) from None
        self.say(f"{where}: {fault.what}; trying again in {wait_s:.1f} s")
        if fault.everyone:
            self._wait_until = max(self._wait_until, time.monotonic() + wait_s)
        else:
            self._wait(wait_s)

    def _wait(self, seconds: float) -> None:
        self.stop.wait(seconds)
        self.check()


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
    bugs = [error for error in failures if not isinstance(error, HarnessError)]
    shared = [error for kind in (StoreError, Unreachable) for error in failures if isinstance(error, kind)]
    for error in (*bugs, *shared):
        raise error
    problems = (problem for error in failures if isinstance(error, HarnessError) for problem in error.problems)
    raise_if(dict.fromkeys(problems), DatasetError)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to wait by Retry-After, in seconds or as a date; None where it does not."""
    values = {name.lower(): value for name, value in headers.items()}
    value = values.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        # The difference of two of the server's own times; this computer's clock plays no part.
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(values.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, pause.total_seconds())


def rate_limit_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a RateLimit header (`"api";r=0;t=55`) lifts its limit; None where there is none."""
    values = {name.lower(): value for name, value in headers.items()}
    reset = re.search(r";\s*t=(\d{1,9})", values.get("ratelimit", ""))
    return float(reset.group(1)) if reset else None
