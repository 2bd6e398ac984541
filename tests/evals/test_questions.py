"""Questions cover what was asked once; answers of an evaluation that was killed are found again and nothing else is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core import stats
from harness.core.errors import DatasetError
from harness.core.scores import Weights
from harness.dataset.shard import to_bytes
from harness.dataset.single_files import HeldFile
from harness.eval.checkpoints import Checkpoint, ModelScript
from harness.eval.evaluation import Texts, _Session, read_texts
from harness.eval.pieces import Pieces, open_pieces
from harness.eval.questions import GPT2_COLUMNS, Asked, Sampling, groups_of, loss_questions, token_file
from harness.eval.sources import Held
from harness.machine import computer
from tests.evals.small_texts import items_file, losses_of, tokenizer_files, weights, write_tokens


class Broken(Exception):
    """What ends a session in the middle."""


class QuickModel:
    """Answers with something that follows from the question; breaks where it is told to."""

    row_tokens, device, tier = 24, "cpu", "bubblewrap"

    def __init__(self, after: int | None = None) -> None:
        self.asked: list[str] = []
        self.after = after

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if len(self.asked) == self.after:
            raise Broken
        self.asked.append(question["question"])
        return self.answer(question)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        match question:
            case {"question": "loss", "offset_bytes": offset, "tokens": count}:
                return {"sum": float(offset), "tokens": count}
            case {"question": "choices", "rows": rows}:
                return {"sums": [float(sum(row) % 17) for row in rows]}
            case {"question": "sample", "count": count}:
                return {"tokens": [65] * count}
            case {"question": "size"}:
                return {"weights": 804_112, "bytes": 3_216_448}
            case {"question": "speed"}:
                return {"tokens_per_s": 100.0}
        return {}


class HandModel(QuickModel):
    """Answers as `asking` does, from the table of pairs, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.table = weights()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        match question:
            case {"question": "loss", "path": path, "offset_bytes": offset, "tokens": count}:
                ids = np.fromfile(path, dtype="<u2", offset=offset, count=count + 1).tolist()
                return {"sum": math.fsum(losses_of(ids, *self.table)), "tokens": count}
            case {"question": "choices", "rows": rows, "scored": scored}:
                return {
                    "sums": [math.fsum(losses_of(row, *self.table)[-n:]) for row, n in zip(rows, scored, strict=True)]
                }
        return super().answer(question)


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    for name, content in (*tokenizer_files().items(), ("items.parquet", items_file())):
        (tmp_path / name).write_bytes(content)
    held = [HeldFile(tmp_path / name, "0" * 64, None, True) for name in (*tokenizer_files(), "items.parquet")]
    return read_texts(Held(*held), Asked(style="completion"))


CHECKPOINT = Checkpoint(
    Path("model.pt"), Weights(10, "1" * 64), ModelScript("a", Path(), {"a.py": "2" * 64}, "a.py", None, None), None
)


class Silent:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, int, int]] = []

    def loaded(self, *_: object) -> None: ...

    def answered(self, weights_in: str, what: str, done: int, of: int, figure: str) -> None:
        self.said.append((weights_in, what, done, of))


def asked(folder: Path, **more: Any) -> Asked:
    write_tokens(folder / "text.bin", 301)
    file = token_file(folder / "text.bin", None, GPT2_COLUMNS)
    sampling = Sampling(("The roof",), count=3)
    return Asked(**{"style": "completion", "files": (file,), "sampling": sampling, "int8": True} | more)


def session(texts: Texts, wanted: Asked, model: QuickModel, folder: Path) -> tuple[Any, Silent]:
    watcher = Silent()
    with open_pieces(folder) as pieces:
        made = _Session(CHECKPOINT, wanted, texts, watcher, model, pieces)  # type: ignore[arg-type]
        return made.run(computer.capture(), "somebody"), watcher


def test_a_session_that_breaks_after_any_question_goes_on_with_those_that_are_left(
    tmp_path: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.eval.questions.LOSS_TOKENS", 100)
    monkeypatch.setattr("harness.eval.questions.ITEMS_AT_ONCE", 1)
    wanted, whole = asked(tmp_path), QuickModel()
    result, watcher = session(texts, wanted, whole, tmp_path / "whole")
    once = ["size", "speed", *["loss"] * 4, *["choices"] * 4, "sample"]
    assert whole.asked == [*once, "int8", *once]
    assert ("as loaded", "text.bin", 300, 300) in watcher.said and ("int8", "HellaSwag", 4, 4) in watcher.said
    for after in range(len(whole.asked)):
        folder = tmp_path / f"after {after}"
        with pytest.raises(Broken):
            session(texts, wanted, QuickModel(after), folder)
        second = QuickModel()
        resumed, _ = session(texts, wanted, second, folder)
        assert (resumed.result, resumed.samples) == (result.result, result.samples)
        kept = whole.asked[:after]
        again = whole.asked[after:]
        if "int8" in kept:  # the weights have to be made int8 again
            again = ["int8", *again]
        assert second.asked == again


def test_a_session_sums_up_to_what_comes_out_by_hand(tmp_path: Path, texts: Texts) -> None:
    wanted, model = asked(tmp_path, int8=False, sampling=Sampling()), HandModel()
    found = session(texts, wanted, model, tmp_path / "answers")[0].result.variants[0]
    ids = np.fromfile(tmp_path / "text.bin", dtype="<u2", offset=1024).tolist()
    assert found.losses[0].tokens == 300
    assert found.losses[0].loss == pytest.approx(losses_of(ids, *model.table).mean(), rel=1e-9)
    hits, cut = [0, 0, 0], 0
    for item in texts.items:
        context = texts.tokenizer.encode(item.context)
        sums, counts, sizes = [], [], []
        for ending in item.endings:
            tokens = texts.tokenizer.encode(f" {ending}")
            row = [*context, *tokens][-25:]
            cut += len(context) + len(tokens) > 25
            sums.append(losses_of(row, *model.table)[-len(tokens) :].sum())
            counts.append(len(tokens))
            sizes.append(len(ending.encode()))
        for way, divisor in enumerate(([1] * 4, counts, sizes)):
            hits[way] += int(np.argmin(np.array(sums) / divisor)) == item.label
    swag = found.hellaswag
    assert swag is not None and [swag.summed, swag.per_token, swag.per_byte] == hits and len(set(hits)) > 1
    assert (swag.items, swag.of, swag.cut) == (4, 4, cut)
    assert 0 < cut < 16
    assert swag.share("summed") == (hits[0] / 4, *stats.share_interval(hits[0], 4))


def test_other_questions_have_other_keys_and_a_moved_file_has_the_same(tmp_path: Path, texts: Texts) -> None:
    write_tokens(tmp_path / "one.bin")
    (tmp_path / "two.bin").write_bytes((tmp_path / "one.bin").read_bytes())
    one, two = (token_file(tmp_path / name, None, GPT2_COLUMNS) for name in ("one.bin", "two.bin"))
    assert [q.key for q in loss_questions(one, 24)] == [q.key for q in loss_questions(two, 24)]
    assert loss_questions(one, 24)[0].key != loss_questions(one, 25)[0].key
    keys = {groups_of(texts.items, style, texts.tokenizer, 24)[0].question.key for style in ("completion", "lm-eval")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("tokens", "row"), [(1, 24), (24, 24), (25, 24), (100_000, 24), (100_000, 1024), (50_000, 65_536)]
)
def test_the_questions_of_a_file_cover_each_token_once_in_whole_rows(tokens: int, row: int) -> None:
    from harness.eval.questions import TokenFile

    questions = loss_questions(TokenFile(Path("a"), "a", "", tokens), row)
    at = 1024
    for question in questions:
        assert question.asks["offset_bytes"] == at
        at += 2 * question.asks["tokens"]
        assert question.asks["tokens"] % row == 0 or question is questions[-1]
    assert at == 1024 + 2 * tokens


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (b"no tokens", GPT2_COLUMNS, "less than its header"),
        (to_bytes(np.array([5], dtype=np.uint16)), GPT2_COLUMNS, "holds one token"),
        (to_bytes(np.array([5, 50_257], dtype=np.uint16)), GPT2_COLUMNS, "holds the id 50,257; the model knows those below"),
        (to_bytes(np.array([5, 256, 50_256], dtype=np.uint16)), 257, "holds the id 256"),
    ],
)  # fmt: skip
def test_files_that_a_model_cannot_read_are_named(tmp_path: Path, content: bytes, columns: int, said: str) -> None:
    (tmp_path / "text.bin").write_bytes(content)
    with pytest.raises(DatasetError) as error:
        token_file(tmp_path / "text.bin", None, columns)
    assert said in str(error.value)
    with pytest.raises(DatasetError, match="is no file"):
        token_file(tmp_path, None, columns)


@pytest.mark.parametrize(
    "torn", ['{"key": "b", "answ', '{"key": "b"}\n', "\x00\n", "[]\n", '{"key": "b", "answer": 5}\n']
)
def test_half_a_line_of_answers_is_no_answer_and_does_not_spoil_the_next(tmp_path: Path, torn: str) -> None:
    with open_pieces(tmp_path) as pieces:
        pieces.keep("a", {"sum": 0.1})
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write(torn)
    with open_pieces(tmp_path) as pieces:
        assert pieces.known == {"a": {"sum": 0.1}}
        pieces.keep("c", {"sum": 0.2})
    assert Pieces(tmp_path / "answers.jsonl").known == {"a": {"sum": 0.1}, "c": {"sum": 0.2}}


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (2872, 10_042, 0.2772, 0.2949)],
)  # Wilson's formula with z = 1.959964, by hand
def test_the_interval_of_a_share_is_wilsons(hits: int, count: int, low: float, high: float) -> None:
    assert stats.share_interval(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_no_share_has_no_interval() -> None:
    for hits, count in ((0, 0), (5, 4), (-1, 4)):
        with pytest.raises(Exception, match="is no share"):
            stats.share_interval(hits, count)
