"""What is stored of an evaluation: added and never replaced, read strictly, and shown without becoming anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.board import eval_section, leaderboard
from harness.core.errors import StoreError
from harness.core.scores import Weights
from harness.store.evals import EvalResult, HellaSwag, TokenLoss, Variant, add_eval, read_evals
from harness.ui import eval_report
from tests.unit.test_board import TRACKS, record, run
from tests.unit.test_codec import MACHINE

SWAG = HellaSwag("completion", 10_042, 10_042, 2_872, 2_967, 3_130, 0, "a" * 64, None)


def result(**changes: Any) -> EvalResult:
    losses = (TokenLoss("fineweb_val_000000.bin", "b" * 64, 10_485_760, 3.2762),)
    variants = (
        Variant("as loaded", 648_806_400, 1000.0, losses, SWAG),
        Variant("int8", 163_000_000, 900.0, (replace(losses[0], loss=3.2771),), replace(SWAG, summed=2_870)),
    )
    told: dict[str, Any] = {"script": "records/short/2024-11-03_untie-embed", "script_sha256": "c" * 64, "run": None}
    told |= {"weights": Weights(648_806_400, "d" * 64), "date": "2026-11-27", "by": "Somebody", "machine": MACHINE}
    told |= {"device": "cuda", "tier": "bubblewrap", "row_tokens": 1024, "weights_count": 162_201_600}
    return EvalResult(**told | {"variants": variants} | changes)


def test_a_second_evaluation_of_a_day_stands_beside_the_first(tmp_path: Path) -> None:
    folders = [add_eval(tmp_path, result(by=name)) for name in ("A", "B")]
    assert [folder.name for folder in folders] == [f"2026-11-27_{MACHINE.fingerprint[:8]}{end}" for end in ("", "_2")]
    assert [(path, found.by) for path, found in read_evals(tmp_path)] == [(folders[0], "A"), (folders[1], "B")]
    assert read_evals(tmp_path / "nowhere") == []


def test_what_cannot_be_stored_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "evals").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        add_eval(tmp_path, result())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"summed": 2872', '"summed": 10043', "has 10,043 right answers to 10,042 items"),
        ('"items": 10042', '"items": 0', "items"),
        ('"loss": 3.2762', '"loss": NaN', "loss"),
        ('"loss": 3.2762', '"loss": 1e999', "loss"),
        ('"style": "completion"', '"style": "mine"', "style"),
        ('"date": "2026-11-27"', '"date": "today"', "date"),
        ('"tokens_per_s": 1000.0', '"tokens_per_s": 0', "tokens_per_s"),
        ('"device": "cuda",', "", "device"),
        ('"device": "cuda",', '"device": "cuda", "more": 1,', "more"),
        ('"as loaded"', '"as I like"', "weights_in"),
        ("{", "[", "is not JSON"),
    ],
)
def test_a_damaged_file_is_named_and_never_shown(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = add_eval(tmp_path / "short" / "a", result()) / "eval.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StoreError) as error:
        read_evals(tmp_path / "short" / "a")
    assert said in str(error.value) and "short/a/evals/" in str(error.value)


def test_names_of_this_machine_are_taken_out(tmp_path: Path) -> None:
    home = str(Path.home())
    losses = (TokenLoss(f"{home}/text.bin", "b" * 64, 5, 3.0),)
    add_eval(tmp_path, result(variants=(Variant("as loaded", None, None, losses, None),)))
    [(_, found)] = read_evals(tmp_path)
    assert home == "/" or home not in found.variants[0].losses[0].file


def test_the_page_shows_shares_with_intervals_and_both_forms_of_the_weights() -> None:
    text = "\n".join(eval_section.section([result()]))
    assert "| HellaSwag, summed | 28.6 % (27.7 to 29.5) | 28.6 % (27.7 to 29.5) |" in text
    assert "| HellaSwag, per token | 29.5 % (28.7 to 30.4) |" in text
    assert "| loss on fineweb&#95;val&#95;000000.bin, 10,485,760 tokens | 3.2762 | 3.2771 |" in text
    assert "| size of the weights (324.4 MB in bf16) | 648.8 MB | 163.0 MB |" in text
    assert "HellaSwag in completion style, 10,042 items" in text and "the word of whoever made them" in text
    assert eval_section.section([]) == []


def test_a_board_reads_evaluations_of_its_records() -> None:
    held = record(1, 80.0, run(3.278))
    page = f"leaderboard/short/{held.slug}.md"
    evals = {"short": {held.slug: [result()]}}
    without, with_it = (leaderboard.render(TRACKS, [held], {}, evals=told) for told in ({}, evals))
    assert "HellaSwag" not in without[page] and "HellaSwag" in with_it[page]
    assert {path for path in with_it if with_it[path] != without[path]} == {page}


def test_data_for_programs_has_shares_beside_counts() -> None:
    from harness.eval.evaluation import Evaluated

    data = json.loads(json.dumps(eval_report.as_data(Evaluated(result(), ())), allow_nan=False))
    assert data["variants"][0]["hellaswag"]["summed_share"]["share"] == pytest.approx(0.28600, abs=5e-6)
    assert not eval_report.may_be_stored(result(variants=(Variant("as loaded", None, None, (), None),)))
    part = Variant("as loaded", None, None, (), replace(SWAG, items=5_000))
    assert not eval_report.may_be_stored(result(variants=(part,)))
