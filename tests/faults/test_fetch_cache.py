"""What a fetch keeps, trusts, notices and refuses on this machine's own disk."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.tracks import load_track, load_tracks
from harness.core.errors import DatasetError, HarnessError, StoreError, TrackError
from harness.core.task import Shard
from harness.dataset.fetching import Fetched, offer, recheck
from tests.faults.fetch_project import TRAIN, VAL, Place, shard_bytes
from tests.faults.projects import wait_for
from tests.faults.small_hub import Hub

SIZE = 1_001_024


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """A file system of its own, of that size, at `folder`; skips where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()[:100]}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def change_without_a_trace(path: Path) -> None:
    """Flip a byte in place and set the old time again: the same size, mtime and inode."""
    stat = path.stat()
    os.chmod(path, 0o644)
    with path.open("r+b") as file:
        file.seek(700_000)
        byte = file.read(1)
        file.seek(700_000)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, 0o444)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def change(path: Path) -> None:
    """Put other bytes of the same size in the place of a shard, as a careless copy would."""
    path.unlink()
    path.write_bytes(shard_bytes(77))


# ------------------------------------------------------------------------------------------------ trust


def test_a_second_start_makes_no_request_and_reads_no_shard(place: Place, hub: Hub) -> None:
    first = place.fetch()
    asked = len(hub.requests)
    # Were any shard read again, the changed byte would be seen.
    change_without_a_trace(place.snapshot / TRAIN[1])
    second = place.fetch()
    assert len(hub.requests) == asked
    assert second.receipt == first.receipt
    assert second.downloaded_bytes == 0


def test_verify_finds_the_byte_that_stat_cannot_and_the_next_fetch_replaces_the_shard(place: Place, hub: Hub) -> None:
    assert place.run()[0] == 0
    change_without_a_trace(place.snapshot / TRAIN[1])
    code, data, said = place.run("--verify", "--json")
    assert code == 1
    assert len(data["problems"]) == 1
    assert f"{TRAIN[1]}: its bytes have changed since they were verified" in data["problems"][0]
    assert data["problems"][0] in said
    asked = len(hub.gets())
    assert place.run()[0] == 0
    assert [request.name for request in hub.gets()[asked:]] == [TRAIN[1]]
    assert (place.snapshot / TRAIN[1]).read_bytes() == hub.files[TRAIN[1]]
    assert place.run("--verify")[0] == 0


@pytest.mark.parametrize("harm", [change, Path.unlink, lambda path: os.truncate(path, 1000)])
def test_a_shard_that_was_replaced_removed_or_truncated_is_fetched_again_and_no_other(
    place: Place, hub: Hub, harm: object
) -> None:
    place.fetch()
    asked = len(hub.gets())
    harm(place.snapshot / TRAIN[0])  # type: ignore[operator]
    place.fetch()
    assert [request.name for request in hub.gets()[asked:]] == [TRAIN[0]]
    assert (place.snapshot / TRAIN[0]).read_bytes() == hub.files[TRAIN[0]]


@pytest.mark.parametrize("offset_s", [-20 * 365 * 86400, +20 * 365 * 86400])
def test_a_file_time_decades_off_costs_a_hash_and_no_request_for_bytes(place: Place, hub: Hub, offset_s: int) -> None:
    place.fetch()
    asked = len(hub.requests)
    for path in place.snapshot.glob("*.bin"):
        os.utime(path, (time.time() + offset_s, time.time() + offset_s))
    place.fetch()
    place.fetch(allow_network=False)
    assert len(hub.requests) == asked


def test_after_a_restart_of_the_computer_every_shard_is_hashed_once_more_and_then_trusted(
    place: Place, hub: Hub
) -> None:
    place.fetch(500_000)
    asked = len(hub.gets())
    receipt = place.snapshot / "receipt.json"
    data = json.loads(receipt.read_text(encoding="utf-8"))
    for shard in data["shards"].values():
        shard["boot"] = "a boot that is over"
    receipt.write_text(json.dumps(data), encoding="utf-8")
    change_without_a_trace(place.snapshot / TRAIN[0])  # as a power cut leaves a file whose last pages were not written
    place.fetch(500_000)
    assert [request.name for request in hub.gets()[asked:]] == [TRAIN[0]]
    assert (place.snapshot / TRAIN[0]).read_bytes() == hub.files[TRAIN[0]]
    change_without_a_trace(place.snapshot / VAL)
    place.fetch(500_000, allow_network=False)
    assert len(hub.gets()) == asked + 1
    assert json.loads(receipt.read_text(encoding="utf-8"))["shards"][VAL]["boot"] is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"shards": 3}', '{"commit": 1, "shards": {"a": {"bytes": 1}}}'])
def test_a_receipt_that_cannot_be_read_costs_hashes_and_no_bytes(place: Place, hub: Hub, text: str) -> None:
    place.fetch()
    asked = len(hub.gets())
    (place.snapshot / "receipt.json").write_text(text, encoding="utf-8")
    assert place.fetch().downloaded_bytes == 0
    assert len(hub.gets()) == asked
    assert json.loads((place.snapshot / "receipt.json").read_text())["shards"].keys() == {VAL, *TRAIN[:3]}


def test_the_shards_of_an_unpinned_track_all_come_from_the_revision_of_the_first(place: Place, hub: Hub) -> None:
    place.fetch(0)
    moved = hub.commit
    hub.commit = "f" * 40
    with pytest.raises(DatasetError, match=f"has no revision {moved}"):
        place.fetch()


# ------------------------------------------------------------------------------------------------ offline


@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline_with_everything_present_no_request_is_made(
    place: Place, hub: Hub, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    place.fetch()
    asked = len(hub.requests)
    if how == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetched = place.fetch(allow_network=how == "variable")
    assert len(fetched.paths) == 4
    assert len(hub.requests) == asked


def test_offline_with_something_missing_one_sentence_says_what(place: Place, hub: Hub) -> None:
    place.fetch(0)
    asked = len(hub.requests)
    code, data, said = place.run(HF_HUB_OFFLINE="1")
    assert code == 2
    assert data is None
    assert said.count("\n") == 1
    assert f"3 of 4 shards are missing ({', '.join(TRAIN[:3])}) and HF_HUB_OFFLINE forbids requests" in said
    assert len(hub.requests) == asked


def test_offline_a_shard_that_was_never_verified_is_not_trusted(place: Place, hub: Hub) -> None:
    place.snapshot.mkdir(parents=True)
    (place.snapshot / VAL).write_bytes(hub.files[VAL])
    with pytest.raises(DatasetError, match="bin: was never verified; fetch with the network on"):
        place.fetch(0, allow_network=False)
    assert hub.requests == []
    assert place.fetch(0).downloaded_bytes == 0


# ------------------------------------------------------------------------------------------------ the disk


def test_a_disk_without_room_for_all_of_it_is_said_before_the_first_byte(place: Place, hub: Hub) -> None:
    with small_disk(place.cache, 3_000_000):
        with pytest.raises(StoreError, match=r"4\.0 MB are needed and [23]\.\d MB are free"):
            place.fetch()
        assert hub.gets() == []
        assert place.fetch(500_000).downloaded_bytes == 2 * SIZE


def test_a_disk_that_fills_up_meanwhile_ends_in_one_sentence_and_the_fetch_goes_on_later(
    place: Place, hub: Hub
) -> None:
    with small_disk(place.cache, 3_000_000):
        pause = hub.pause(VAL, 300_000)
        process = place.start("--tokens", "0")
        assert pause.reached.wait(600)
        # The server has sent this much; the fetch must have stored some of it before the disk fills.
        assert wait_for(lambda: any(f.stat().st_size > 100_000 for f in place.cache.rglob(f"*{VAL}*") if f.is_file()))
        filler = place.cache / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        pause.go_on.set()
        _, said = process.communicate(timeout=600)
        assert process.returncode == 2
        assert "the disk is full" in said
        assert said.count("speedrun: ") == 1
        assert "Traceback" not in said
        filler.unlink()
        assert place.run("--tokens", "0")[0] == 0
        assert hub.gets(VAL)[-1].start > 0
        assert (place.snapshot / VAL).read_bytes() == hub.files[VAL]


def test_a_read_only_cache_serves_what_it_holds_and_refuses_the_rest_in_one_sentence(place: Place, hub: Hub) -> None:
    with small_disk(place.cache, 8_000_000):
        place.fetch(0)
        asked = len(hub.requests)
        subprocess.run(["mount", "-o", "remount,ro", str(place.cache)], check=True)
        assert len(place.fetch(0).paths) == 1
        with pytest.raises(HarnessError, match=r"cannot be written \(Read-only file system\)"):
            place.fetch()
        assert len(hub.requests) == asked
        code, _, said = place.run("--tokens", "0", "--verify")
        assert code == 0, said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_cache_without_write_permission_is_said_in_one_sentence(place: Place, hub: Hub) -> None:
    place.snapshot.mkdir(parents=True)
    place.snapshot.chmod(0o555)
    with pytest.raises(HarnessError, match="cannot be written"):
        place.fetch()
    assert hub.requests == []


# ------------------------------------------------------------------------------------------------ pins


def pins_of(place: Place) -> Path:
    return place.project / "tracks" / "small.pins.json"


def test_pin_writes_revision_and_every_hash_beside_the_track_and_leaves_its_file_alone(place: Place, hub: Hub) -> None:
    before = place.track_file.read_bytes()
    code, _, said = place.run("--pin")
    assert code == 0
    assert "pinned in tracks/small.pins.json" in said
    data = load_track(place.project / "tracks", "small").data
    assert data.revision == hub.commit
    assert {shard.name: shard.sha256 for shard in data.shards} == hub.promised
    assert [shard.tokens for shard in data.shards] == [500_000] * 5 + [123_456]
    assert place.track_file.read_bytes() == before
    assert json.loads(pins_of(place).read_text())["written_by"] == "speedrun fetch --pin"
    assert list(load_tracks(place.project / "tracks")) == ["small"]


CONTRADICTIONS = {
    "revision: null": (f"revision: {'a' * 40}", "the revision is pinned to another commit"),
    "shards: []": (f"shards: [{{name: {VAL}, sha256: {'a' * 64}}}]", f"{VAL} is pinned to other bytes"),
}


@pytest.mark.parametrize("old", CONTRADICTIONS)
def test_pins_that_contradict_those_in_the_tracks_own_file_are_refused(place: Place, hub: Hub, old: str) -> None:
    new, words = CONTRADICTIONS[old]
    assert place.run("--pin")[0] == 0
    text = place.track_file.read_text(encoding="utf-8")
    place.track_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(TrackError, match=re.escape(f"tracks/small.pins.json: {words}; a pin is never moved")):
        load_track(place.project / "tracks", "small")


def test_pins_in_the_tracks_own_file_are_read_and_may_stand_in_both(place: Place, hub: Hub) -> None:
    text = place.track_file.read_text(encoding="utf-8")
    sha256 = hub.promised[VAL]
    place.track_file.write_text(text.replace("shards: []", f"shards: [{{name: {VAL}, sha256: {sha256}}}]"))
    assert [s.sha256 for s in load_track(place.project / "tracks", "small").data.shards] == [sha256]
    assert place.run("--pin")[0] == 0
    data = load_track(place.project / "tracks", "small").data
    assert {shard.name: shard.sha256 for shard in data.shards} == hub.promised


def test_a_pin_is_never_moved(place: Place, hub: Hub) -> None:
    assert place.run("--pin")[0] == 0
    once = pins_of(place).read_text()
    pins_of(place).write_text(once.replace(hub.promised[TRAIN[4]], "a" * 64))
    forged = pins_of(place).read_bytes()
    code, _, said = place.run("--pin")
    assert code == 2
    assert f"{TRAIN[4]} is pinned to other bytes" in said
    assert pins_of(place).read_bytes() == forged


def test_a_damaged_file_of_pins_is_named(place: Place, hub: Hub) -> None:
    assert place.run("--pin")[0] == 0
    data = json.loads(pins_of(place).read_text())
    data["revision"], data["shards"][0]["sha256"] = "main", "x"
    pins_of(place).write_text(json.dumps(data))
    with pytest.raises(TrackError) as caught:
        load_track(place.project / "tracks", "small")
    assert [problem.what for problem in caught.value.problems] == ["`revision` is 'main'", "`shards[0].sha256` is 'x'"]


def test_after_a_pin_the_shards_that_are_there_are_linked_and_not_fetched_again(place: Place, hub: Hub) -> None:
    assert place.run("--pin")[0] == 0
    asked = len(hub.gets())
    code, data, said = place.run("--json")
    assert code == 0
    assert len(hub.gets()) == asked
    assert data["pinned"] is True
    assert data["folder"].endswith(hub.commit)
    assert "verified against the track's pins" in said
    pinned = Path(data["folder"]) / VAL
    assert pinned.stat().st_ino == (place.snapshot / VAL).stat().st_ino


def test_pinning_twice_changes_nothing(place: Place, hub: Hub) -> None:
    assert place.run("--pin")[0] == 0
    once = pins_of(place).read_bytes()
    assert place.run("--pin")[0] == 0
    assert pins_of(place).read_bytes() == once


def test_a_hub_that_offers_other_bytes_than_are_pinned_is_refused_before_any_byte(place: Place, hub: Hub) -> None:
    pins = tuple(Shard(name, None, "a" * 64) for name in (VAL, *TRAIN))
    data = dataclasses.replace(place.track.data, revision=hub.commit, shards=pins)
    with pytest.raises(DatasetError) as caught:
        place.fetch(track=dataclasses.replace(place.track, data=data))
    assert str(caught.value).count("the track pins aaaaaaaaaaaa…") == 4
    assert hub.gets() == []


def test_a_listing_that_contradicts_the_served_bytes_is_not_pinned(place: Place, hub: Hub) -> None:
    place.fetch()
    hub.promised[TRAIN[0]] = "b" * 64
    code, _, said = place.run("--pin")
    assert code == 2
    assert f"{TRAIN[0]}: the hub lists other bytes than it served" in said
    assert not pins_of(place).exists()


def test_a_track_that_names_more_shards_than_the_hub_has_is_not_pinned(place: Place, hub: Hub) -> None:
    place.fetch()
    del hub.promised[TRAIN[4]]
    code, _, said = place.run("--pin")
    assert code == 2
    assert f"{TRAIN[4]}: the hub lists no such file" in said
    assert not pins_of(place).exists()


# ------------------------------------------------------------------------------------------------ offered to a run


def offered(place: Place) -> tuple[Fetched, Path]:
    fetched = place.fetch()
    work = place.folder / "work"
    offer(fetched, place.track, work)
    return fetched, work / "data" / "small10B"


def test_a_run_finds_the_shards_read_only_under_the_path_that_its_script_expects(place: Place, hub: Hub) -> None:
    _, folder = offered(place)
    assert sorted(path.name for path in folder.iterdir()) == sorted([VAL, *TRAIN[:3]])
    for link in folder.iterdir():
        assert link.is_symlink() == (link.name != VAL), "a run has a validation shard of its own"
        assert link.read_bytes() == hub.files[link.name]
        assert link.stat().st_mode & 0o222 == 0


def test_a_cache_that_cannot_be_written_offers_its_own_files(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched, mkdir = place.fetch(), Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if "given" in path.parts:
            raise OSError(errno.EROFS, "read-only")
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    offer(fetched, place.track, place.folder / "work")
    folder = place.folder / "work" / "data" / "small10B"
    assert {link.readlink() for link in folder.iterdir() if link.is_symlink()} == {
        place.snapshot / name for name in TRAIN[:3]
    }


def test_offering_refuses_to_replace_what_is_there(place: Place) -> None:
    fetched, folder = offered(place)
    (folder / VAL).unlink()
    (folder / VAL).write_bytes(b"mine")
    with pytest.raises(StoreError, match="something else is there already"):
        offer(fetched, place.track, place.folder / "work")


def test_the_receipt_says_whether_the_shards_changed_while_the_run_went_on(place: Place) -> None:
    fetched, folder = offered(place)
    work = place.folder / "work"
    assert fetched.receipt.unchanged is None
    assert recheck(fetched, place.track, work) == dataclasses.replace(fetched.receipt, unchanged=True)
    assert not (folder / VAL).exists(), "the run's own copy is thrown away"
    offer(fetched, place.track, work)
    change_without_a_trace(place.snapshot / TRAIN[2])
    assert recheck(fetched, place.track, work).unchanged is False


def test_a_script_that_changes_its_copy_of_the_validation_shard_is_found_out(place: Place) -> None:
    fetched, folder = offered(place)
    (folder / VAL).chmod(0o644)
    (folder / VAL).write_bytes(bytes(len((folder / VAL).read_bytes())))
    assert recheck(fetched, place.track, place.folder / "work").unchanged is False
    assert recheck(fetched, place.track, place.folder / "work").unchanged is False, "nor may it be gone"


def test_shards_that_vanish_during_a_run_are_a_change_and_no_crash(place: Place) -> None:
    fetched, _ = offered(place)
    (place.snapshot / VAL).unlink()
    assert recheck(fetched, place.track, place.folder / "work").unchanged is False


# ------------------------------------------------------------------------------------------------ what is there


def test_the_list_shows_what_is_verified_doubtful_partial_and_missing_and_asks_nobody(place: Place, hub: Hub) -> None:
    place.fetch(1_000_000)
    change(place.snapshot / TRAIN[0])
    (place.snapshot / f"{TRAIN[4]}.part").write_bytes(b"x" * 1000)
    asked = len(hub.requests)
    code, data, said = place.run("--list", "--json")
    assert code == 0
    (track,) = data
    assert {shard["name"]: shard["state"] for shard in track["shards"]} == {
        VAL: "verified",
        TRAIN[0]: "unverified",
        TRAIN[1]: "verified",
        TRAIN[2]: "missing",
        TRAIN[4]: "partial",
    }
    assert "2 of 5 shards verified" in said
    assert len(hub.requests) == asked


def test_hash_of_every_shard_is_in_the_receipt_beside_the_data_and_nothing_is_in_the_checkout(
    place: Place, hub: Hub
) -> None:
    place.fetch(0)
    receipt = json.loads((place.snapshot / "receipt.json").read_text(encoding="utf-8"))
    assert receipt["commit"] == hub.commit
    assert receipt["shards"][VAL]["sha256"] == hashlib.sha256(hub.files[VAL]).hexdigest()
    assert [path.name for path in place.project.rglob("*") if path.is_file()] == ["small.yaml"]
