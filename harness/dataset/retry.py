"""Faults that may pass in, waiting and trying again out: polite, bounded, and shared by all files of a fetch.

A server that says when to come back (Retry-After) is believed, on its own clock: this computer's may be wrong by
years. Waiting ends at once when the user stops the fetch.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from harness.core.errors import DatasetError

T = TypeVar("T")


class Stopped(Exception):
    """The fetch was told to end; whatever is stored is kept."""


class PassingFault(Exception):
    """A fault that may be gone in a moment; raised by one attempt, consumed by `Line.keep_trying`."""

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


class LineDown(DatasetError):
    """Nobody answers: the same for every file, so one sentence ends the whole fetch."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to insist."""

    attempts: int = 6  # failures in a row, without a new byte; 0.5 + 1 + 2 + 4 + 8 = 15.5 s of waiting
    attempts_unreached: int = 3  # while nobody has ever answered: 1.5 s of waiting
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_told_s: float = 600.0  # a server that asks for more gets its wish by our giving up
    timeout_s: float = 30.0  # without a byte


class Line:
    """What all the transfers of one fetch share: whether to stop, how long to hold back, whether anyone answered."""

    def __init__(self, patience: Patience, say: Callable[[str], None]) -> None:
        self.patience = patience
        self.say = say
        self.stop = threading.Event()
        self.answered = False
        self._hold_until = 0.0  # monotonic seconds

    def check(self) -> None:
        """Raise Stopped when the fetch is to end."""
        if self.stop.is_set():
            raise Stopped

    def keep_trying(self, where: str, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it returns, waiting between the faults that may pass.

        Raises Stopped, what `attempt` raises for good, or DatasetError once the patience is used up.
        """
        failures = 0
        while True:
            while (held_s := self._hold_until - time.monotonic()) > 0:
                self._wait(held_s)
            self.check()
            try:
                result = attempt()
            except PassingFault as fault:
                failures = 1 if fault.progress else failures + 1
                self._give_up_or_wait(where, fault, failures)
            else:
                self.answered = True
                return result

    def _give_up_or_wait(self, where: str, fault: PassingFault, failures: int) -> None:
        self.check()
        if not fault.connection:
            self.answered = True
        attempts = self.patience.attempts if self.answered else self.patience.attempts_unreached
        if failures >= attempts:
            kind = LineDown if fault.connection else DatasetError
            raise kind.at(where, f"{fault.what}, {failures} times in a row", fault.todo) from None
        wait_s = min(self.patience.first_wait_s * 2.0 ** (failures - 1), self.patience.longest_wait_s)
        if fault.wait_s is not None:
            wait_s = fault.wait_s
            if wait_s > self.patience.longest_told_s:
                raise DatasetError.at(where, f"{fault.what} for {wait_s:,.0f} s", fault.todo) from None
        self.say(f"{where}: {fault.what}; trying again in {wait_s:.1f} s")
        if fault.everyone:
            self._hold_until = max(self._hold_until, time.monotonic() + wait_s)
        else:
            self._wait(wait_s)

    def _wait(self, seconds: float) -> None:
        self.stop.wait(seconds)
        self.check()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a server asks to wait by Retry-After, given in seconds or as a date; None where it does not."""
    found = {name.lower(): value for name, value in headers.items()}
    told = found.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", told):
        return float(told)
    try:
        # The difference of two of the server's own times; this computer's clock plays no part.
        pause = parsedate_to_datetime(told) - parsedate_to_datetime(found.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, pause.total_seconds())


def rate_limit_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the limit of a RateLimit header (`"api";r=0;t=55`) is lifted; None where there is none."""
    found = {name.lower(): value for name, value in headers.items()}
    reset = re.search(r";\s*t=(\d{1,9})", found.get("ratelimit", ""))
    return float(reset.group(1)) if reset else None
