"""Scripts that use the tokenizer: they are told by their text, and find its files without network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.launch import vocabulary
from harness.launch.launcher import LaunchPlan
from harness.launch.torchrun import TorchrunLauncher, clean_environment
from harness.verdict.scan.tokenizer import find_tiktoken, find_tokenizer

USES = {
    "import torch\nimport tiktoken\n": "train_gpt.py:2 imports tiktoken",
    "from tiktoken.load import data_gym_to_mergeable_bpe_ranks\n": "train_gpt.py:1 imports tiktoken",
    "def table():\n    import tokenizers as t\n": "train_gpt.py:2 imports tokenizers",
    "import importlib\nm = importlib.import_module('tiktoken')\n": "train_gpt.py:2 imports tiktoken",
    "x = open('data/vocab.bpe').read()\n": "train_gpt.py:1 names data/vocab.bpe",
    "b = enc.decode_single_token_bytes(5)\n": "train_gpt.py:1 asks for decode_single_token_bytes",
    "# no tiktoken here\nx = 'the tiktoken of GPT-2'\n": None,
    "import torch, numpy\n": None,
    "this is no Python": None,
}


@pytest.mark.parametrize(("text", "said"), USES.items())
def test_the_use_of_a_tokenizer_is_seen_with_its_line(text: str, said: str | None) -> None:
    assert find_tokenizer({"train_gpt.py": text.encode(), "notes.md": b"import tiktoken"}) == said


def test_the_package_tiktoken_is_told_from_other_tokenizers() -> None:
    for text, said in USES.items():
        wanted = said.partition(" ")[0] if said is not None and said.endswith("imports tiktoken") else None
        assert find_tiktoken({"train_gpt.py": text.encode()}) == wanted
    assert find_tiktoken({"a.py": b"import transformers\nimport tiktoken\n"}) == "a.py:2"


def test_a_run_reads_the_tokenizers_files_where_they_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plan = LaunchPlan("id", tmp_path / "run", "train_gpt.py", 1, 1, (), 60, 60)
    assert vocabulary.find_vocabulary() == () and vocabulary.VARIABLE not in clean_environment(plan)
    place = tmp_path / "speedrun" / "tokenizer"
    place.mkdir(parents=True)
    known = {}
    for name in vocabulary.FILES:
        (place / name).write_bytes(name.encode())
        known[name] = hashlib.sha256(name.encode()).hexdigest()
    assert vocabulary.find_vocabulary() == (), "other bytes than the tokenizer's are given to no run"
    monkeypatch.setattr(vocabulary, "FILES", known)
    (place / "weights.bin").write_bytes(b"weights")
    assert set(TorchrunLauncher().view(plan).readable) == {place / name for name in known}
    assert clean_environment(plan)[vocabulary.VARIABLE] == str(place)
