"""Waiting: what a server asks for, on its own clock; how often we try; and that stopping is immediate."""

from __future__ import annotations

import threading

import pytest

from harness.core.errors import DatasetError
from harness.dataset.retry import (
    Retrying,
    RetryPolicy,
    Stopped,
    TransientFault,
    Unreachable,
    rate_limit_s,
    retry_after_s,
)

DATE = "Tue, 01 Jan 1980 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Tue, 01 Jan 1980 00:01:30 GMT", "Date": DATE}, 90.0),
        ({"Retry-After": "Mon, 31 Dec 1979 23:59:59 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Tue, 01 Jan 1980 00:01:30 GMT"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "9" * 30}, None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date_of_the_servers_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers) == seconds


def test_the_reset_of_a_rate_limit_is_read() -> None:
    assert rate_limit_s({"RateLimit": '"api";r=0;t=55'}) == 55.0
    assert rate_limit_s({}) is None


def test_waits_double_up_to_the_longest() -> None:
    said: list[str] = []
    retrying = Retrying(RetryPolicy(attempts=6, first_wait_s=0.001, longest_wait_s=0.004), said.append)
    retrying.answered = True

    def attempt() -> None:
        raise TransientFault("it fails", "wait")

    with pytest.raises(DatasetError, match="it fails, 6 times in a row; wait"):
        retrying.keep_trying("x", attempt)
    assert len(said) == 5


def test_nobody_answering_at_all_is_given_up_sooner() -> None:
    calls = []
    retrying = Retrying(RetryPolicy(first_wait_s=0.001), lambda text: None)

    def attempt() -> None:
        calls.append(1)
        raise TransientFault("no answer", "check the network", connection=True)

    with pytest.raises(Unreachable):
        retrying.keep_trying("x", attempt)
    assert len(calls) == RetryPolicy().attempts_unreached


class Noted(threading.Event):
    """An event that keeps what ended each wait for it: True is the event, False the time."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[bool] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.ended.append(super().wait(timeout))
        return self.ended[-1]


def test_stopping_ends_a_wait_at_once() -> None:
    retrying = Retrying(RetryPolicy(first_wait_s=600.0, longest_wait_s=600.0), lambda text: None)
    retrying.stop = stop = Noted()
    threading.Timer(0.1, stop.set).start()

    def attempt() -> None:
        raise TransientFault("it fails", "wait")

    with pytest.raises(Stopped):
        retrying.keep_trying("x", attempt)
    assert stop.ended == [True]
