"""Tokenizer and items are read from files in the real form; what is no such file is named with what to do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from harness.core.errors import DatasetError
from harness.eval import hellaswag
from harness.eval.byte_pairs import Tokenizer, read_tokenizer
from harness.eval.hellaswag import Choice, Item
from tests.evals.small_texts import ITEMS, MERGES, items_file, tokenizer_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, content in (*tokenizer_files().items(), ("items.parquet", items_file())):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return read_tokenizer(folder / "merges.txt", folder / "vocab.json")


@pytest.fixture(scope="module")
def items(folder: Path) -> list[Item]:
    return hellaswag.read_items(folder / "items.parquet")


# ------------------------------------------------------------------------------------------------ tokenizer


def test_the_tokenizer_is_the_one_that_tiktoken_makes_of_the_same_files(
    folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    theirs = data_gym_to_mergeable_bpe_ranks(str(folder / "merges.txt"), str(folder / "vocab.json"))
    assert tokenizer.encoding._mergeable_ranks == theirs
    assert len(theirs) == tokenizer.end == 256 + len(MERGES)


def test_text_becomes_the_longest_pieces_that_merges_make_and_comes_back(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(" the roof sings")
    first = 256
    assert ids[:2] == [first + MERGES.index("Ġ the"), first + MERGES.index("Ġro of")]
    text = " the roof sings in a café \N{WHITE SMILING FACE}\n\n  on"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_what_looks_like_a_special_token_is_text_and_ids_without_meaning_are_seen(tokenizer: Tokenizer) -> None:
    assert tokenizer.end not in tokenizer.encode("<|endoftext|>")
    assert tokenizer.decode([50_000]) == "\ufffd"


IDS = json.loads(tokenizer_files()["vocab.json"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("merges.txt", b"t h\n", "does not begin with #version"),
        ("merges.txt", b"#version: 0.2\nt h e\n", "merges.txt:2: is no merge of two pieces"),
        ("merges.txt", b"#version: 0.2\n\nt h\n", "merges.txt:2: is no merge"),
        ("merges.txt", b"#version: 0.2\n\xff\n", "cannot be read as UTF-8"),
        ("merges.txt", b"#version: 0.2\nt h\n", "does not hold the ids that follow"),
        ("vocab.json", b"[" * 100_000, "is no file of ids"),
        ("vocab.json", b"[]", "is no file of ids"),
        ("vocab.json", json.dumps(IDS | {"the": 1}).encode(), "does not hold the ids that follow"),
        ("vocab.json", json.dumps({k: v for k, v in IDS.items() if k[0] != "<"}).encode(), "does not hold the ids"),
    ],
)
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    for file, whole in tokenizer_files().items():
        (tmp_path / file).write_bytes(content if file == name else whole)
    with pytest.raises(DatasetError, match="fetch it again") as error:
        read_tokenizer(tmp_path / "merges.txt", tmp_path / "vocab.json")
    assert said in str(error.value)


# ------------------------------------------------------------------------------------------------ items


def test_items_are_read_with_labels_as_text_and_as_numbers(tmp_path: Path, items: list[Item]) -> None:
    assert [item.label for item in items] == [3, 0, 1, 0]
    assert items[0].endings[3] == "starts pulling up roofing on a roof."
    numbers = [item | {"label": int(str(item["label"]))} for item in ITEMS]
    (tmp_path / "numbers.parquet").write_bytes(items_file(numbers))
    assert hellaswag.read_items(tmp_path / "numbers.parquet") == items


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no table of HellaSwag"),
        (b"PAR1 and no more", "is no table of HellaSwag"),
        (parquet(text=["a"]), "is no table of HellaSwag"),
        (items_file([{**ITEMS[0], "label": "4"}]), "row 1 is no item"),
        (items_file([{**ITEMS[0], "endings": ["a", "b", "c"]}]), "row 1 is no item"),
        (items_file([ITEMS[0], {**ITEMS[1], "ctx": None}]), "row 2 is no item"),
        (items_file([ITEMS[0], {**ITEMS[1], "endings": None}]), "row 2 is no item"),
        (items_file([{**ITEMS[0], "endings": ["a", "b", "c", ""]}]), "row 1 is no item"),
    ],
)
def test_a_file_that_holds_no_items_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "items.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match="fetch it again") as error:
        hellaswag.read_items(tmp_path / "items.parquet")
    assert said in str(error.value)


# ------------------------------------------------------------------------------------------------ conventions


def test_completion_style_takes_the_texts_as_they_stand(items: list[Item]) -> None:
    assert hellaswag.texts_of(items[2], "completion") == (ITEMS[2]["ctx"], tuple(ITEMS[2]["endings"]))


def test_lm_eval_style_names_the_activity_and_removes_the_marks_of_wikihow(items: list[Item]) -> None:
    assert hellaswag.texts_of(items[0], "lm-eval")[0] == "Roof shingle removal: A man is sitting on a roof. He"
    context, endings = hellaswag.texts_of(items[2], "lm-eval")
    assert context == "Home: How to sing. Sit on a roof."
    assert endings == (" Sing.", " The roof sings on.", "Go in.", "Rest.")


@pytest.mark.parametrize("style", hellaswag.STYLES)
def test_the_tokens_of_a_choice_are_those_of_its_text_and_the_endings_are_scored(
    items: list[Item], tokenizer: Tokenizer, style: hellaswag.Style
) -> None:
    context, endings = hellaswag.texts_of(items[0], style)
    for choice, ending in zip(hellaswag.choices_of(items[0], style, tokenizer, 1024), endings, strict=True):
        assert tokenizer.decode(list(choice.tokens)) == f"{context} {ending}"
        assert tokenizer.decode(list(choice.tokens[-choice.scored :])) == f" {ending}"
        assert choice.bytes == len(ending.encode()) and not choice.cut


def test_bytes_are_counted_and_not_characters(items: list[Item], tokenizer: Tokenizer) -> None:
    assert hellaswag.choices_of(items[3], "completion", tokenizer, 1024)[3].bytes == len("a café") + 1


def test_of_what_is_longer_than_a_row_the_end_is_kept(items: list[Item], tokenizer: Tokenizer) -> None:
    whole = hellaswag.choices_of(items[3], "completion", tokenizer, 1024)
    cut = hellaswag.choices_of(items[3], "completion", tokenizer, 8)
    for one, other in zip(whole, cut, strict=True):
        assert other.cut and not one.cut
        assert other.tokens == one.tokens[-9:] and other.scored == one.scored
    tiny = hellaswag.choices_of(items[3], "completion", tokenizer, 2)[3]
    assert len(tiny.tokens) == 3 and tiny.scored == 2 < whole[3].scored


def test_before_an_empty_context_stands_the_end_of_a_text(tokenizer: Tokenizer) -> None:
    item = Item("", "", "", "", ("a", "b", "c", "d"), 0)
    assert hellaswag.choices_of(item, "completion", tokenizer, 16)[0].tokens[0] == tokenizer.end


def test_the_three_ways_to_compare_choose_different_endings() -> None:
    choices = [Choice((), scored, bytes, False) for scored, bytes in ((1, 8), (3, 9), (2, 30), (4, 4))]
    losses = [4.0, 5.0, 9.0, 7.0]  # least: 0; per token 4, 1.67, 4.5, 1.75; per byte 0.5, 0.56, 0.3, 1.75
    judged = [hellaswag.judge(losses, choices, label) for label in range(4)]
    assert [one.summed for one in judged] == [True, False, False, False]
    assert [one.per_token for one in judged] == [False, True, False, False]
    assert [one.per_byte for one in judged] == [False, False, True, False]
