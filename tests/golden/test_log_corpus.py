"""The project's own corpus: one small log per dialect, invented here, and what it says as JSON.

The expectations were written together with the numbers in the logs, not by the reader.
"""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from harness.runlog.log_files import read_file
from harness.runlog.reader import read_bytes

CORPUS = Path(__file__).parent / "logs"
LOGS = sorted(path.name for path in CORPUS.glob("*.txt"))
DIALECTS = [
    "L0-llmc-plain",
    "L1-llmc-lrnorm",
    "L2-llmc-telonly",
    "M1-ms-trainloss-3sep",
    "M2-ms-trainloss-4sep",
    "M3-ms-trainloss-3sep-nolead",
    "M4-ms-3sep",
    "M5-ms-3sep-python",
    "M5b-ms-3sep-filelist",
    "M6-ms-2sep-nan",
    "M7-ms-2sep",
    "M8-ms-6dec",
    "M9-ms-2sep-triton",
    "S1-s-trainlines",
    "S2-s-valonly",
    "S2-s-valonly-nan",
    "S2m-s-multirun-nan",
    "S3a-s-emabeta",
    "S3b-s-extrap",
    "S4-s-valavg-valema",
    "S5-s-1sep",
    "S6-s-1sep-trainlines",
    "S7-s-stdout",
    "S7b-s-stdout-tailavg",
    "S8-s-single-line",
    "S9-s-batch-combined",
]


def expected(name: str) -> list[dict[str, object]]:
    """What a corpus log says."""
    runs: list[dict[str, object]] = json.loads((CORPUS / name).with_suffix(".json").read_text(encoding="utf-8"))
    return runs


def as_json(runs: list[object]) -> object:
    """Runs as a reader of the JSON sees them."""
    return json.loads(json.dumps(runs, allow_nan=False))


def test_the_corpus_has_a_log_in_each_of_the_26_dialects() -> None:
    assert len(DIALECTS) == 26
    assert {expected(name)[0]["dialect"] for name in LOGS} >= set(DIALECTS)


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "line-by-line"])
def test_a_corpus_log_gives_exactly_what_was_written_into_it(name: str, quick: bool) -> None:
    runs = read_bytes((CORPUS / name).read_bytes(), name, curve=True, quick=quick)
    assert as_json([run.to_json(with_curve=True) for run in runs]) == expected(name)


@pytest.mark.parametrize("name", LOGS)
def test_final_only_gives_the_figures_of_the_last_run_and_null_for_the_rest(name: str) -> None:
    (final,) = read_file(CORPUS / name, name=name, final_only=True)
    last = expected(name)[-1]
    given = {key: value for key, value in as_json([final.to_json()])[0].items() if value not in (None, [], {})}  # type: ignore[index]
    assert given["path"] == name
    assert given == {key: last[key] for key in given}
    for key in ("final_step", "final_val_loss", "final_val_ema_loss", "final_train_time_s", "step_avg_ms"):
        assert given.get(key) == last[key]
    assert given.get("peak_memory_mib") == last["peak_memory_mib"]


@pytest.mark.parametrize("name", LOGS)
def test_a_compressed_log_reads_like_the_plain_one(name: str, tmp_path: Path) -> None:
    data = (CORPUS / name).read_bytes()
    for suffix, packed in ((".gz", gzip.compress(data)), (".xz", lzma.compress(data))):
        path = tmp_path / (name + suffix)
        path.write_bytes(packed)
        runs = read_file(path, name=name, curve=True)
        assert as_json([run.to_json(with_curve=True) for run in runs]) == expected(name)
