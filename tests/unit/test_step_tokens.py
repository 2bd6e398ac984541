"""A run under a ruleset that declares tokens per step is offered those of its steps, and the judge knows what it was offered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog.tracks import load_tracks
from harness.core import secret_source
from harness.core.measurement import DataReceipt, Metrics, Purpose, ShardReceipt
from harness.core.step_tokens import offered_tokens, tokens_for
from harness.core.task import Track
from harness.core.token_format import to_bytes
from harness.dataset import fetching, prepared
from harness.dataset.fetching import Fetched
from harness.dataset.shard import read_tokens
from harness.dataset.snapshot import Snapshot, try_remember
from harness.run import execution
from harness.run.ending import _still_the_same
from harness.store.entries import Ended, Started
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.ledger import Ledger
from tests.cheats.gallery import HONEST, eight_h100, make_project, the_case
from tests.unit.test_secret_source import SMALL
from tests.unit.test_verdict import RECEIPT, a_run, evidence, outcomes

TRACKS = load_tracks(Path(__file__).parents[2] / "tracks")
DECLARED = TRACKS["smoke"].rulesets[-1].tokens_per_step or 0


def last_token_read(steps: int, per_step: int, shard_tokens: int) -> int:
    """Read batches as the template's loader does; how far behind the first token the last one lies."""
    shard, position = 0, 0
    for _ in range(steps):
        if position + per_step + 1 >= shard_tokens:
            shard, position = shard + 1, 0
        position += per_step
    return shard * shard_tokens + position + 1


@given(steps=st.integers(1, 400), per_step=st.integers(1, 900), more=st.integers(2, 3000))
def test_the_tokens_of_its_steps_are_enough_for_a_loader_and_hardly_more(steps: int, per_step: int, more: int) -> None:
    shard = per_step + more
    offered, used = tokens_for(steps, per_step, shard), last_token_read(steps, per_step, shard)
    assert used + 1 <= offered, "the loader of the field stops one token before the end"
    dropped = per_step + 1  # at most, of each shard
    assert offered <= used + per_step + 1 + (dropped if used // shard != (offered - 1) // shard else 0)


def test_the_tracks_that_rank_steps_declare_what_their_scripts_train_on() -> None:
    assert (DECLARED, TRACKS["optimization"].rulesets[-1].tokens_per_step) == (4096, 512 * 1024)
    assert all(rules.tokens_per_step is None for track in TRACKS.values() for rules in track.rulesets[:-1])
    assert tokens_for(100, 4096, 4_000_000) == 101 * 4096 + 2
    assert tokens_for(3250, 524_288, 100_000_000) == 17 * 100_000_000 + 21 * 524_288 + 2


# ------------------------------------------------------------------------------------------------ offered


def three_shards(folder: Path) -> tuple[Track, Fetched]:
    """A track on the disk with a validation shard and two training shards of 1,000 tokens."""
    data = dataclasses.replace(TRACKS["smoke"].data, folder="data/t", shard_tokens=1000, train_shards=2, shards=())
    track = dataclasses.replace(TRACKS["smoke"], data=data)
    names = [data.val_pattern % 0, data.train_pattern % 1, data.train_pattern % 2]
    snapshot, known = Snapshot(folder), []
    for number, name in enumerate(names):
        path = folder / name
        path.write_bytes(to_bytes(np.arange(1000 * number, 1000 * number + 1000, dtype=np.uint16)))
        known.append(snapshot.describe(name, path, sha256_file(path), 1000))
        try_remember(snapshot, known[-1], None)
    receipt = DataReceipt("t", None, tuple(ShardReceipt(k.name, k.bytes, k.tokens, k.sha256) for k in known))
    return track, Fetched(tuple(folder / name for name in names), receipt, pinned=False)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Track, Fetched, Path]:
    """A run that was offered 1,100 of 2,000 tokens."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "shards").mkdir()
    track, fetched = three_shards(tmp_path / "shards")
    part = fetching.cut(fetched, 1100)
    fetching.offer(part, track, tmp_path / "work")
    return track, part, tmp_path / "work"


def test_the_last_shard_is_cut_under_a_header_of_its_own(offered: tuple[Track, Fetched, Path]) -> None:
    track, part, work = offered
    folder = work / "data" / "t"
    assert [read_tokens(folder / (track.data.train_pattern % n))[-1] for n in (1, 2)] == [1999, 2099]
    assert len(read_tokens(folder / (track.data.train_pattern % 2))) == 100, "its length is what its header promises"
    assert part.receipt.cut is not None
    assert part.receipt.cut.sha256 == sha256_file(folder / part.receipt.cut.name)
    assert offered_tokens(part.receipt) == 1100
    whole = part.receipt.shards[-1]
    assert (whole.tokens, whole.sha256) == (1000, sha256_file(part.paths[-1])), "the receipt names the whole one too"


def test_shards_that_the_steps_do_not_need_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    track, fetched = three_shards(tmp_path)
    assert fetching.cut(fetched, 2000) == fetched and fetching.cut(fetched, 9999) == fetched
    first = fetching.cut(fetched, 1000)
    assert (len(first.paths), first.receipt.cut, offered_tokens(first.receipt)) == (2, None, 1000)
    fetching.offer(fetching.cut(fetched, 7), track, tmp_path / "work")
    training = sorted((tmp_path / "work" / "data" / "t").glob("*train*"))
    assert [len(read_tokens(path)) for path in training] == [7]


def test_a_part_that_is_changed_during_the_run_is_seen(offered: tuple[Track, Fetched, Path]) -> None:
    track, part, work = offered
    assert _still_the_same(work, part.receipt) is True, "also by whoever closes the books of a killed harness"
    assert fetching.recheck(part, track, work).unchanged is True
    fetching.offer(part, track, work)
    place = (work / "data" / "t" / (track.data.train_pattern % 2)).resolve()
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-1] + b"\7")
    assert _still_the_same(work, part.receipt) is False
    assert fetching.recheck(part, track, work).unchanged is False


def test_a_part_of_a_secret_source_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths, receipt = prepared.write_secret_shards(secret_source.draw_track(SMALL))
    part = fetching.cut(Fetched(paths, receipt, pinned=False), 100)
    prepared.discard(paths[0].parent)
    drawn = secret_source.draw_again(SMALL, part.receipt)
    assert drawn is not None and drawn.cut == part.receipt.cut is not None
    for tokens in (0, 10**9):
        forged = dataclasses.replace(part.receipt.cut, tokens=tokens)
        again = secret_source.draw_again(SMALL, dataclasses.replace(part.receipt, cut=forged))
        assert again is not None and again.cut is None, "a forged one is no part of it"


# ------------------------------------------------------------------------------------------------ how many steps


def test_a_run_is_offered_the_tokens_of_the_steps_that_an_earlier_run_has_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project: Project = make_project(tmp_path, HONEST)
    subject = the_case(project)
    subject = dataclasses.replace(subject, ruleset=dataclasses.replace(subject.ruleset, tokens_per_step=64))
    ready = execution.prepare(subject, eight_h100())
    ledger = Ledger(project.ledger)

    def tell(run: str, purpose: Purpose, step: int, state: str = "finished") -> None:
        ledger.append(Started(script=subject.chain, run=run, series="s", seed=1, purpose=purpose))
        ledger.append(
            Ended(
                script=subject.chain, run=run, state=state, exit_code=0, last_step=step, log_sha256=None, received={},
                files={}, launched=True,
            )
        )  # fmt: skip

    def tokens(**changes: object) -> int:
        made = execution.own_tokens(project, dataclasses.replace(ready, **changes))  # type: ignore[arg-type]
        return offered_tokens(made.fetched.receipt)

    assert execution.steps_of(project, subject) is None
    assert tokens() == 16384, "the first one tells it"
    tell("a", "dry", 2)
    tell("b", "screening", 9, "failed")
    assert tokens() == 16384
    tell("c", "screening", 20)
    assert tokens() == tokens(purpose="probe") == 21 * 64 + 2
    assert tokens(purpose="screening") == tokens(dry=True) == 16384
    older = dataclasses.replace(subject, ruleset=dataclasses.replace(subject.ruleset, tokens_per_step=None))
    assert tokens(subject=older) == 16384, "rulesets that declare no tokens see whole shards"


# ------------------------------------------------------------------------------------------------ judged


def under_smoke_2(run: Metrics) -> str:
    return outcomes(evidence(run, ruleset="smoke@2"))["D5"]


def replace_cut(run: Metrics) -> Metrics:
    """The same run, offered whole shards."""
    assert run.data is not None
    return dataclasses.replace(run, data=dataclasses.replace(run.data, cut=None))


def test_what_was_offered_is_held_against_the_steps_and_the_declared_tokens() -> None:
    whole = RECEIPT.shards[-1]

    def run(tokens: int, steps: int = 100, printed: int | None = DECLARED) -> Metrics:
        data = dataclasses.replace(RECEIPT, cut=dataclasses.replace(whole, tokens=tokens))
        return a_run(1, 2.85, data=data, final_step=steps, tokens_per_step=printed)

    most = tokens_for(100, DECLARED, whole.tokens)
    assert under_smoke_2(run(most)) == under_smoke_2(run(100 * DECLARED)) == "pass"
    assert under_smoke_2(run(most + 1)) == "inconclusive"
    assert under_smoke_2(run(most, steps=99)) == "inconclusive", "it could have trained on what a step more needs"
    assert under_smoke_2(run(100 * DECLARED - 1)) == "inconclusive", "the run before it did fewer steps"
    assert under_smoke_2(run(most, printed=2 * DECLARED)) == "fail"
    assert under_smoke_2(run(most, printed=None)) == "inconclusive"
    epochs = run(most, steps=1500)
    assert under_smoke_2(replace_cut(epochs)) == "pass", "all that the track has, more than once"
    whole_shards = a_run(1, 2.85, data=RECEIPT, tokens_per_step=DECLARED)
    assert under_smoke_2(whole_shards) == "inconclusive"
    assert outcomes(evidence(whole_shards))["D5"] == "not applicable", "smoke@1 never asked"
