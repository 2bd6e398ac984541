"""Numbers that the harness wrote beside a run, as anybody may have rewritten them: strict digits, named lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import StoreError
from harness.launch.observer import READS_HEADER
from harness.launch.stamps import read_clock, read_observed
from harness.launch.telemetry import TELEMETRY_HEADER

NO_NUMBERS = ["9" * 5000, "9" * 4000, "9" * 20, "²", "٣", "-1", "+1", "1e9", "1_0", " 1", "1 ", "0x1", "nan", ""]


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: ascii(text)[:12])
@pytest.mark.parametrize("row", ["exit,{}", "start,{}", "1,{}", "{},7"])
def test_a_stamp_that_is_no_number_is_named(tmp_path: Path, row: str, text: str) -> None:
    path = tmp_path / "clock.csv"
    path.write_text(f"line,monotonic_ns\nstart,1\n{row.format(text)}\n")
    with pytest.raises(StoreError, match=r"cannot be read|clock\.csv:3: is no stamp"):
        read_clock(path, name="clock.csv")


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: ascii(text)[:12])
def test_a_time_of_the_observer_that_is_no_number_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "reads.csv").write_bytes(READS_HEADER + f"{text},open,a.bin,\n".encode())
    with pytest.raises(StoreError, match=r"reads\.csv:2: has no time"):
        read_observed(tmp_path, 0)


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: ascii(text)[:12])
def test_a_count_of_the_observer_that_is_no_number_counts_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "reads.csv").write_bytes(READS_HEADER + f"5,bytes,,{text}\n6,bytes,,7\n".encode())
    width = TELEMETRY_HEADER.count(b",") + 1
    cells = ["5", *[""] * 5, text, *[""] * (width - 7)]
    (tmp_path / "telemetry.csv").write_bytes(TELEMETRY_HEADER + ",".join(cells).encode() + b"\n")
    observed = read_observed(tmp_path, 0)
    assert observed is not None
    assert observed.read_bytes == ((6e-9, 7),)
    assert observed.busy == ()


def test_nineteen_digits_are_a_stamp(tmp_path: Path) -> None:
    (tmp_path / "clock.csv").write_text(f"line,monotonic_ns\nstart,0\n1,5\nexit,{'9' * 19}\n")
    clock = read_clock(tmp_path / "clock.csv")
    assert clock.wall_time_s == pytest.approx(1e10)
    assert clock.arrivals_s == {1: 5e-9}
