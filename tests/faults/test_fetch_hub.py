"""What a hub can do wrong, and what a fetch makes of it. Every test talks to a real server on 127.0.0.1."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import threading
import time

import pytest

from harness.core.errors import DatasetError
from harness.dataset.progress import Progress
from harness.dataset.retry import RetryPolicy
from harness.dataset.shard import to_bytes
from tests.faults.fetch_project import QUICK, TRAIN, VAL, Place, shard_bytes
from tests.faults.projects import wait_for
from tests.faults.small_hub import Handler, Hub, cut, status

SLICE = 1 << 17


def stored(place: Place) -> set[str]:
    """The finished shards of the snapshot."""
    return {path.name for path in place.snapshot.glob("*.bin")}


def problem_of(place: Place, tokens: int | None = 0, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        place.fetch(tokens, **options)
    return str(caught.value)


@pytest.mark.parametrize(("tokens", "count"), [(0, 0), (1, 1), (500_000, 1), (500_001, 2), (None, 3), (2_500_000, 5)])
def test_as_many_shards_are_fetched_as_the_tokens_fill_and_no_more(
    place: Place, hub: Hub, tokens: int | None, count: int
) -> None:
    fetched = place.fetch(tokens)
    assert [path.name for path in fetched.paths] == [VAL, *TRAIN[:count]]
    assert sorted(request.name for request in hub.gets()) == sorted([VAL, *TRAIN[:count]])
    for path, receipt in zip(fetched.paths, fetched.receipt.shards, strict=True):
        assert path.read_bytes() == hub.files[path.name]
        assert receipt.sha256 == hub.promised[path.name]
        assert receipt.tokens == (receipt.bytes - 1024) // 2
    assert fetched.receipt.revision == hub.commit
    assert not fetched.pinned


def test_more_tokens_than_the_dataset_holds_are_refused_without_a_request(place: Place, hub: Hub) -> None:
    assert "the dataset holds 5 × 500,000" in problem_of(place, 2_500_001)
    assert hub.requests == []


@pytest.mark.parametrize("after", [0, 1, 1023, 1024, SLICE, SLICE + 1, 777_777, 1_001_023])
def test_a_connection_cut_at_any_byte_is_taken_up_where_it_broke(place: Place, hub: Hub, after: int) -> None:
    hub.fail(VAL, cut(after))
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]
    assert [(request.start, request.sent) for request in hub.gets(VAL)] == [(0, after), (after, 1_001_024 - after)]


def test_a_connection_that_is_reset_loses_a_slice_at_most(place: Place, hub: Hub) -> None:
    hub.fail(VAL, cut(700_000, reset=True))
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]
    again = hub.gets(VAL)[1]
    assert again.start % SLICE == 0 or again.start == 700_000
    assert again.sent == 1_001_024 - again.start


def test_many_cuts_do_not_use_up_the_retries_while_bytes_arrive(place: Place, hub: Hub) -> None:
    for after in range(100_000, 1_000_000, 100_000):
        hub.fail(VAL, cut(after))
    assert len(hub.faults[VAL]) > QUICK.attempts
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]
    assert sum(request.sent for request in hub.gets(VAL)) == 1_001_024


def test_wrong_bytes_of_the_right_size_are_refused_and_not_kept(place: Place, hub: Hub) -> None:
    wrong = bytearray(hub.files[TRAIN[0]])
    wrong[500_001] ^= 1
    hub.files[TRAIN[0]] = bytes(wrong)
    said = problem_of(place, 1_000_000)
    assert TRAIN[0] in said
    assert f"the hub promises {hub.promised[TRAIN[0]][:12]}" in said
    assert stored(place) == {VAL, TRAIN[1]}
    assert not list(place.snapshot.glob("*.part*"))


@pytest.mark.parametrize("change", [-2, +2, -1_001_024])
def test_a_file_of_another_length_than_promised_is_refused(place: Place, hub: Hub, change: int) -> None:
    data = hub.files[VAL]
    hub.files[VAL] = data[:change] if change < 0 else data + b"\0" * change
    said = problem_of(place)
    assert f"the hub promises 1,001,024 bytes, the server sends {1_001_024 + change:,}" in said
    assert stored(place) == set()


def test_a_resumed_file_that_has_another_length_now_is_refused(place: Place, hub: Hub) -> None:
    def cut_and_grow(handler: Handler, name: str) -> None:
        cut(300_000)(handler, name)
        hub.files[name] += b"\0\0"

    hub.fail(VAL, cut_and_grow)
    said = problem_of(place)
    assert "the hub promises 1,001,024 bytes, the server sends 1,001,026" in said
    assert hub.gets(VAL)[1].start == 300_000
    assert stored(place) == set()


def test_a_shard_that_changes_on_the_hub_meanwhile_is_refused(place: Place, hub: Hub) -> None:
    def change(handler: object, name: str) -> None:
        hub.files[name] = shard_bytes(99)
        hub.promised[name] = hashlib.sha256(hub.files[name]).hexdigest()
        cut(0)(handler, name)

    hub.fail(VAL, change)
    assert "it changed on the hub while it was fetched" in problem_of(place)


@pytest.mark.parametrize("kind", ["header", "id", "text"])
def test_a_file_with_the_promised_bytes_that_is_no_shard_is_refused(place: Place, hub: Hub, kind: str) -> None:
    import numpy as np

    if kind == "header":
        data = hub.files[VAL][:-2]
    elif kind == "id":
        data = to_bytes(np.array([50256, 50257, 3], dtype=np.uint16))
    else:
        data = b"<html>log in to continue</html>" * 100
    hub.files[VAL], hub.promised[VAL] = data, hashlib.sha256(data).hexdigest()
    hub.sizes[VAL] = len(data)
    said = problem_of(place)
    wanted = {"header": "its header promises", "id": "holds the id 50257", "text": "not a token shard"}
    assert wanted[kind] in said
    assert not list(place.snapshot.glob("*.bin*"))


def test_a_missing_file_a_missing_revision_and_a_missing_repository_are_told_apart(place: Place, hub: Hub) -> None:
    del hub.files[TRAIN[1]], hub.files[TRAIN[2]]
    said = problem_of(place, None)
    assert [f"someone/tokens/{name}: there is no such file at revision" in said for name in TRAIN[:3]] == [
        False,
        True,
        True,
    ]
    assert hub.gets() == []

    data = dataclasses.replace(place.track.data, revision="f" * 40)
    said = problem_of(place, track=dataclasses.replace(place.track, data=data))
    assert f"someone/tokens has no revision {'f' * 40}" in said

    data = dataclasses.replace(place.track.data, repository="nobody/nothing")
    said = problem_of(place, track=dataclasses.replace(place.track, data=data))
    assert "the hub has no dataset nobody/nothing" in said
    assert said.count("\n") == 0


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_refused_access_says_how_to_log_in_and_is_not_tried_again(
    place: Place, hub: Hub, code: int, method: str
) -> None:
    hub.fail(VAL, status(code), times=99, method=method)
    said = problem_of(place)
    assert f"HTTP {code}" in said
    assert "`hf auth login`" in said
    assert len([request for request in hub.requests if request.method == method]) == 1


def test_a_gated_dataset_says_that_its_terms_must_be_accepted(place: Place, hub: Hub) -> None:
    hub.fail(VAL, status(403, X_Error_Code="GatedRepo"), times=99, method="HEAD")
    assert "accept the dataset's terms" in problem_of(place)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_too_many_requests_are_answered_with_the_wait_that_the_hub_asks_for(
    place: Place, hub: Hub, method: str
) -> None:
    hub.fail(VAL, status(429, Retry_After="1"), method=method)
    began = time.monotonic()
    place.fetch(0)
    assert time.monotonic() - began >= 1.0


def test_when_one_file_is_asked_to_wait_no_other_file_asks_meanwhile(place: Place, hub: Hub) -> None:
    times: list[float] = []

    def limited(handler: object, name: str) -> None:
        times.append(time.monotonic())
        status(429, Retry_After="1")(handler, name)

    hub.fail(TRAIN[0], limited)

    told = threading.Event()

    class Told(Progress):
        def say(self, text: str) -> None:
            if "HTTP 429" in text:
                told.set()

    def slow_cut(handler: object, name: str) -> None:
        assert told.wait(600)  # both files are under way when one is asked to wait
        time.sleep(0.3)
        cut(10)(handler, name)

    def served(handler: Handler, name: str) -> None:
        times.append(time.monotonic())
        handler.send_file(name)

    hub.fail(TRAIN[1], slow_cut)
    hub.fail(TRAIN[1], served)
    place.fetch(1_000_000, progress=Told())
    assert len(times) == 2
    assert times[1] - times[0] >= 1.0


def test_a_date_to_come_back_is_read_on_the_hubs_own_clock(place: Place, hub: Hub) -> None:
    hub.date = "Tue, 01 Jan 1980 00:00:00 GMT"
    hub.fail(VAL, status(429, Retry_After="Tue, 01 Jan 1980 00:00:01 GMT"))
    began = time.monotonic()
    place.fetch(0)
    assert time.monotonic() - began >= 1.0


def test_a_wait_of_hours_is_reported_instead_of_waited_for(place: Place, hub: Hub) -> None:
    hub.fail(VAL, status(429, Retry_After="7200"), times=99, method="HEAD")
    assert "rate-limited (HTTP 429) for 7,200 s" in problem_of(place)
    assert len(hub.requests) == 1, "nobody waited and asked again"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_server_fault_that_passes_is_sat_out(place: Place, hub: Hub, method: str) -> None:
    hub.fail(VAL, status(503), times=2, method=method)
    hub.fail(VAL, status(500), times=2, method=method)
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_server_fault_that_stays_ends_after_a_bounded_number_of_attempts(place: Place, hub: Hub, method: str) -> None:
    hub.fail(VAL, status(502), times=99, method=method)
    assert f"the hub has a fault (HTTP 502), {QUICK.attempts} times in a row" in problem_of(place)
    assert len([request for request in hub.requests if request.method == method]) == QUICK.attempts


@pytest.mark.parametrize("late", [False, True])
def test_a_redirect_to_another_host_is_followed_without_the_token(
    place: Place, hub: Hub, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirects, hub.redirects_get_only = not late, late
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]
    assert {(request.host, request.token) for request in hub.requests} == {("hub", True), ("storage", False)}


def test_the_range_survives_a_redirect(place: Place, hub: Hub) -> None:
    hub.redirects_get_only = True
    place.snapshot.mkdir(parents=True)
    hub.pause(VAL, 600_000)
    process = place.start("--tokens", "0")
    assert hub.pauses[VAL].reached.wait(600)
    partial = place.snapshot / f"{VAL}.part"
    assert wait_for(lambda: partial.exists() and partial.stat().st_size > 0)
    process.kill()
    process.wait()
    place.fetch(0)
    assert hub.gets(VAL)[-1].host == "storage"
    assert hub.gets(VAL)[-1].start > 0


def test_the_token_goes_with_a_download_from_the_hub_itself(
    place: Place, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    place.fetch(0)
    assert [(request.method, request.token) for request in hub.requests] == [("HEAD", True), ("GET", True)]


def test_an_expired_storage_address_is_asked_for_again(place: Place, hub: Hub) -> None:
    hub.redirects = True
    hub.fail(VAL, status(403))
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]
    assert [(r.host, r.method) for r in hub.requests] == [
        ("hub", "HEAD"),
        ("storage", "GET"),
        ("hub", "HEAD"),
        ("storage", "GET"),
    ]


def test_a_server_without_ranges_is_read_from_the_start_again(place: Place, hub: Hub) -> None:
    hub.knows_ranges = False
    hub.fail(VAL, cut(600_000))
    assert place.fetch(0).paths[0].read_bytes() == hub.files[VAL]


def test_a_mirror_with_other_etags_is_asked_for_its_listing(place: Place, hub: Hub) -> None:
    hub.weak_etags = True
    assert place.fetch(0).receipt.shards[0].sha256 == hub.promised[VAL]


def test_a_hub_that_knows_no_hash_is_refused(place: Place, hub: Hub) -> None:
    hub.weak_etags = True
    del hub.promised[VAL]
    hub.promised = {**hub.promised, VAL: ""}
    assert "the hub gives no sha256 for it" in problem_of(place)
    assert hub.gets() == []


def test_a_hub_that_nobody_answers_for_is_said_in_one_sentence_and_soon(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    said = problem_of(place, None, policy=RetryPolicy())
    assert f"{url} cannot be reached" in said
    assert f"{RetryPolicy().attempts_unreached} times in a row" in said
    assert said.count("\n") == 0


def test_a_server_that_stays_silent_is_given_up(place: Place, hub: Hub) -> None:
    hub.fail(VAL, lambda handler, name: time.sleep(3), times=9)
    few_attempts = dataclasses.replace(QUICK, attempts=2, timeout_s=0.3)
    assert "2 times in a row" in problem_of(place, policy=few_attempts)


def test_the_hub_clock_and_ours_may_differ_by_decades(place: Place, hub: Hub) -> None:
    hub.date = "Fri, 01 Jan 2094 00:00:00 GMT"
    assert place.fetch(None).downloaded_bytes == 4 * 1_001_024
