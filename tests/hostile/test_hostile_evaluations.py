"""Evaluations come by pull request, and a model draws whatever it likes: none of it is more than text where it is shown."""

from __future__ import annotations

import html
import re

import pytest

from harness.board import eval_section
from harness.eval.evaluation import Evaluated, Sample
from harness.store.evals import TokenLoss, Variant
from harness.ui import eval_report
from tests.evals.test_stored import SWAG, result
from tests.hostile.test_hostile_submissions import POISON
from tests.unit.test_board import HOSTILE, LIVE


@pytest.mark.parametrize("text", [text.replace("\n", " ") for text in (*HOSTILE, *POISON)])
def test_no_text_of_a_file_becomes_anything_on_a_page(text: str) -> None:
    losses = (TokenLoss(text, "b" * 64, 5, 3.0),)
    hostile = result(by=text, run=text, variants=(Variant("as loaded", None, None, losses, SWAG),))
    page = "\n".join(eval_section.section([hostile]))
    told = page.replace("<!-- -->", "")
    assert not set("\x1b\x07<>`\u202e\u200b") & set(told)
    assert told.count("](") == 1, "only the harness makes links"
    assert not LIVE.search(html.unescape(page))
    assert all(line.count("|") == 3 for line in page.splitlines() if line.startswith("|"))
    assert not any(line.startswith(("::", "#", "=")) for line in page.splitlines() if not line.startswith("## What"))


def test_what_a_model_draws_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    losses = (TokenLoss("a\x1b[2Jb\x07.bin", "b" * 64, 5, 3.0),)
    hostile = result(by="\x1b[31m", variants=(Variant("as loaded", None, None, losses, None),))
    eval_report.say_result(Evaluated(hostile, (Sample("as loaded", "a", "\x1b[2J\x07\u202e\r", 3, True),)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", capsys.readouterr().out)
