"""`speedrun board --upstream-row`: a record's row in the form of the README of modded-nanogpt, all but the title."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from harness.board.rows import make_rows
from harness.board.upstream_row import is_linked, upstream_row
from harness.catalog.lookup import Catalog
from harness.core.errors import StoreError
from harness.core.record import Record
from harness.store.layout import Project
from tests import warm

ROOT = Path(__file__).parents[2]
CATALOG = Catalog(Project(ROOT))


def row_of(name: str, **changed: object) -> str:
    record: Record = dataclasses.replace(CATALOG.find_record(name), **changed)
    others = make_rows(CATALOG.track(record.track), CATALOG.records(record.track))
    mine = next(row for row in others if row.slug == record.slug)
    changes = {key: value for key, value in changed.items() if key in ("title", "contributors", "pull_request")}
    return upstream_row(record, dataclasses.replace(mine, **changes), others)  # type: ignore[arg-type]


PULL = "[PR](https://github.com/KellerJordan/modded-nanogpt/pull/{})"


# The rows of these records in their README at f411b3d, with the titles of this project.
@pytest.mark.parametrize(
    ("name", "row"),
    [
        (
            "short/65",
            "65 | 1.613 minutes | T | 01/30/26 | [log](records/track_1_short/2026-01-30_VeFused/"
            f"0ba09d92-4ef1-440f-85e3-9d2766294db4.txt),{PULL.format(215)} | @varunneal",
        ),
        ("short/66", "66 | 1.595 minutes | T | 01/31/26 | - | -"),
        ("short/86", f"86 | 1.266 minutes | T | 05/27/26 | {PULL.format(317)} | @aryavohra"),
        (
            "medium/18",
            "18 | 17.35 minutes | T | 12/31/25 | [log](records/track_2_medium/2025-12-31_BulkSmallTrackTransfer/"
            f"354be270-7d41-44b7-8064-f040923f024f.txt),{PULL.format(188)} | -",
        ),
        ("medium/11", "11 | 23.45 minutes | T | - | - | -"),
        (
            "optimization/30",
            "| 30 | 2930(!) | 3.2784 (n=16)✓ | T | 2026/05/14 | [log](results/20260514_aurora_proj_pruned_extended_contra/"
            f"d198124d-5e7f-4743-a683-0eb936a40dbe.txt) | {PULL.format(300)} by [@eliebak](https://github.com/eliebak) |",
        ),
        (
            "optimization/14",
            "| 14 | 3150(!) | 3.2776 (n=4)✓ | T | 2026/05/04 | [log](results/20260504_contra_muon_mlp_soapish/"
            f"0248394b-0d6c-4133-9ff7-e7ff2763cdd9.txt) | {PULL.format(278)} by [@Sam_Acqua](https://x.com/Sam_Acqua) |",
        ),
        (
            "optimization/2",
            "| 2 | 5625 | 3.2790 (n=1)Ⓧ | T | 2026/04/26 | [log](results/a63a68d1-24aa-4a22-af9a-224e43209ea4.txt) | "
            "[@kellerjordan0](https://github.com/kellerjordan0) |",
        ),
    ],
)
def test_a_row_has_the_form_of_its_table(name: str, row: str) -> None:
    assert row_of(name, title="T") == row


def test_a_record_of_this_project_links_nothing_of_theirs() -> None:
    mine = row_of("short/89", number=90, original=None, pull_request="7", title="T", contributors=("@a", "B | C"))
    assert mine == "90 | 1.230 minutes | T | 07/17/26 | - | @a, B &#124; C"
    assert not is_linked(dataclasses.replace(CATALOG.find_record("short/89"), original=None))


def test_a_path_with_blanks_is_one_link() -> None:
    assert "(records/track_1_short/2025-12-11_NorMuonOptimsAndFixes/NorMuon%20Fixes" in row_of("short/48")


def test_a_hostile_title_stays_in_its_cell() -> None:
    hostile = "a | b](http://x) ![i](y) <script> `c` https://x.org WWW.x.org \\"
    for name, bars in (("short/65", 5), ("optimization/30", 8)):
        row = row_of(name, title=hostile, contributors=("[@x](http://y) | z",))
        assert row.count("|") == bars
        assert not re.search(r"<(?!!-- -->)|`|!\[|\]\(http:|(?<!\()https?://|www\.", row, re.IGNORECASE)


def test_the_command_prints_the_row_alone_and_refuses_a_track_that_they_do_not_have() -> None:
    done = warm.speedrun("board", "--upstream-row", "short/66", cwd=ROOT, env=os.environ)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "fill in that column" in done.stderr
    done = warm.speedrun("board", "--upstream-row", "smoke/2", cwd=ROOT, env=os.environ)
    assert (done.returncode, done.stdout) == (2, "") and "has no row in their README" in done.stderr
    with pytest.raises(StoreError):
        row_of("smoke/1")
