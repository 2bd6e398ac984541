"""Tokenizer and items are fetched verified: by a pin, else the first fetch decides what the file is from then on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.cli import main
from harness.core.errors import DatasetError
from harness.dataset.retry import RetryPolicy
from harness.dataset.single_files import HubFile, fetch_file
from harness.eval import sources
from harness.eval.questions import validation_file
from harness.launch import vocabulary
from harness.run import tokenizer_ready
from harness.store.layout import Project
from tests.evals.small_texts import TextHub, items_file, make_project, tokenizer_files
from tests.faults.fetch_project import VAL, Place, shard_bytes
from tests.faults.small_hub import Hub

QUICK = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.05, timeout_s=600.0)
ITEMS = Path(sources.ITEMS.name).name


def fetched(path: Path, file: HubFile = sources.ITEMS, **options: bool) -> str:
    return fetch_file(file, path, policy=QUICK, **options).sha256


def test_the_first_fetch_is_noted_and_other_bytes_are_refused_from_then_on(hub: TextHub, tmp_path: Path) -> None:
    path = tmp_path / "cache" / ITEMS
    sha256 = fetched(path)
    assert (
        sha256
        == hashlib.sha256(items_file()).hexdigest()
        == json.loads((tmp_path / f"cache/{ITEMS}.json").read_text())["sha256"]
    )
    asked = len(hub.requests)
    assert fetched(path, allow_network=False) == sha256
    assert len(hub.requests) == asked, "a file that is there and right costs no request"

    hub.files[ITEMS] = b"other items"
    hub.promised[ITEMS], hub.sizes[ITEMS] = hashlib.sha256(b"other items").hexdigest(), len(b"other items")
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"at the first fetch here it was .* remove .*\.json"):
        fetched(path)
    Path(f"{path}.json").unlink()
    assert fetched(path) == hub.promised[ITEMS] and path.read_bytes() == b"other items"


def test_a_damaged_file_is_fetched_again(hub: TextHub, tmp_path: Path) -> None:
    path = tmp_path / ITEMS
    sha256 = fetched(path)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DatasetError, match=r"is not the file that it should be .* the network is off"):
        fetched(path, allow_network=False)
    assert fetched(path) == sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_that_are_not_what_the_hub_promises_are_not_kept(hub: TextHub, tmp_path: Path) -> None:
    hub.files[ITEMS] = hub.files[ITEMS][:-1] + b"?"
    with pytest.raises(DatasetError, match="nothing was kept"):
        fetched(tmp_path / ITEMS)
    assert not (tmp_path / ITEMS).exists() and not (tmp_path / f"{ITEMS}.json").exists()


def test_a_pin_stands_in_where_the_hub_gives_no_hash_and_decides_over_the_bytes(hub: TextHub, tmp_path: Path) -> None:
    content = tokenizer_files()["merges.txt"]
    good = HubFile("openai-community/gpt2", "merges.txt", "model", sha256=hashlib.sha256(content).hexdigest())
    assert fetched(tmp_path / "merges", good) == good.sha256
    assert not (tmp_path / "merges.json").exists(), "what is pinned needs no note"
    with pytest.raises(DatasetError, match="the hub gives no sha256 for it"):
        fetched(tmp_path / "unpinned", HubFile("openai-community/gpt2", "merges.txt", "model"))
    with pytest.raises(DatasetError, match="nothing was kept"):
        fetched(tmp_path / "other", HubFile("openai-community/gpt2", "merges.txt", "model", sha256="0" * 64))
    with pytest.raises(DatasetError, match=r"the hub offers sha256 .*, pinned is 000000000000"):
        fetched(tmp_path / "items", HubFile(sources.ITEMS.repository, sources.ITEMS.name, sha256="0" * 64))


def test_the_command_fetches_all_three_files_and_pins_the_items_for_the_project(
    hub: TextHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(make_project(tmp_path / "project"))
    monkeypatch.chdir(project.root)
    assert main(["fetch", "hellaswag", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == ["merges.txt", "vocab.json", sources.ITEMS.name]
    assert not hub.requests
    assert main(["fetch", "hellaswag", "--pin", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["pinned"] for file in files] == [True, True, False]
    assert vocabulary.find_vocabulary(), "a run is given the tokenizer's files from the same place"
    sha256 = hashlib.sha256(items_file()).hexdigest()
    assert sources.pinned(project).sha256 == sha256 and sources.pinned(project).revision == hub.commit
    assert main(["fetch", "hellaswag", "--pin"]) == 0

    pins = project.tracks / "hellaswag.pins.json"
    pins.write_text(pins.read_text().replace(sha256, "0" * 64))
    assert main(["fetch", "hellaswag"]) == 2
    assert "pinned is 000000000000" in capsys.readouterr().err
    pins.write_text(pins.read_text().replace(ITEMS, "another.parquet"))
    assert main(["fetch", "hellaswag"]) == 2
    assert "holds no hash of" in capsys.readouterr().err


def test_more_of_the_same_text_is_listed_and_has_no_pins(
    hub: TextHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "project"))
    assert main(["fetch", "fineweb100B", "--list", "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["folder"].endswith("kjj0--fineweb100B-gpt2/unpinned")
    assert len(listed["shards"]) == 1 + 101, "10.1 billion tokens, of which the preset 1.5b trains on 10.0"
    assert main(["fetch", "fineweb100B", "--pin"]) == 2
    assert "is no track" in capsys.readouterr().err


def test_the_loss_that_is_always_asked_is_that_on_the_tracks_official_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hub({VAL: shard_bytes(0)}) as running:
        place = Place(tmp_path, running.url)
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DatasetError, match="the network is off"):
            validation_file(place.track, allow_network=False)
        file = validation_file(place.track, allow_network=True)
        assert len(running.gets()) == 1, "the validation shard and no other"
    assert (file.name, file.tokens, file.sha256) == (VAL, 1000, hashlib.sha256(shard_bytes(0)).hexdigest())
    assert file.path.read_bytes() == shard_bytes(0)


def using_tiktoken(root: Path, track: str, ruleset: str) -> str:
    """A submission whose script imports tiktoken."""
    folder = root / "submissions" / "2026-11-20_prefix"
    folder.mkdir(parents=True)
    (folder / "train_gpt.py").write_text("import torch\nimport tiktoken\n")
    digest = hashlib.sha256((folder / "train_gpt.py").read_bytes()).hexdigest()
    manifest = {"schema": 1, "track": track, "ruleset": ruleset, "title": "t", "contributors": ["@t"], "claim": "ml"}
    manifest |= {"entry": "train_gpt.py", "files": {"train_gpt.py": digest}}
    (folder / "manifest.yaml").write_text(json.dumps(manifest))
    return f"submissions/{folder.name}"


def test_a_script_that_uses_the_tokenizer_has_its_files_fetched_before_it_is_started(
    hub: TextHub, tmp_path: Path
) -> None:
    project = Project(make_project(tmp_path / "project"))
    name = using_tiktoken(project.root, "short", "short@4")
    catalog = Catalog(project)
    subject = catalog.subject(catalog.find(name))
    with pytest.raises(DatasetError) as refused:
        tokenizer_ready.fetch_for(subject, allow_network=False)
    assert str(refused.value) == (
        f"{name}/train_gpt.py:2: uses GPT-2's tokenizer, whose two files are not on this machine; a run has no network to"
        f" load them by; fetch them where there is one: speedrun fetch {name}"
    )
    assert not hub.requests and not vocabulary.find_vocabulary()
    assert tokenizer_ready.fetch_for(subject)
    assert vocabulary.find_vocabulary()
    asked = len(hub.requests)
    assert not tokenizer_ready.fetch_for(subject, allow_network=False), "it is there"
    assert len(hub.requests) == asked


@pytest.mark.parametrize(("track", "ruleset"), [("smoke", "smoke@2"), ("short", "short@2")])
def test_it_is_left_alone_where_ids_mean_no_text_and_where_a_run_may_download(
    hub: TextHub, tmp_path: Path, track: str, ruleset: str
) -> None:
    project = Project(make_project(tmp_path / "project"))
    catalog = Catalog(project)
    subject = catalog.subject(catalog.find(using_tiktoken(project.root, track, ruleset)))
    assert not tokenizer_ready.fetch_for(subject, allow_network=False)
    assert not hub.requests
