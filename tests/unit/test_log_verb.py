"""`speedrun log` as a process: what it prints, and how it exits."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import subprocess
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "golden" / "logs"


def speedrun(*arguments: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return warm.speedrun(*map(str, arguments), cwd=folder, env=os.environ)


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_gives_one_object_per_run_in_a_fixed_order_whatever_the_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for index, path in enumerate(sorted(CORPUS.glob("*.txt"))):
        (tmp_path / ("deep" if index % 2 else ".") / path.name).write_bytes(path.read_bytes())
    one = speedrun("log", ".", "--json", "--curve", folder=tmp_path)
    three = speedrun("log", ".", "--json", "--curve", "--jobs", 3, folder=tmp_path)
    assert (one.returncode, three.returncode) == (0, 0)
    assert one.stdout == three.stdout
    expected = sum(len(json.loads(path.read_text(encoding="utf-8"))) for path in CORPUS.glob("*.json"))
    assert len(objects(one.stdout)) == expected


def test_what_is_no_training_log_in_a_folder_is_counted_and_changes_no_status(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here\n")
    (tmp_path / "shard.bin").write_bytes((20240520).to_bytes(4, "little") + bytes(5000))
    (tmp_path / "run.txt").write_bytes((CORPUS / "M7-ms-2sep.txt").read_bytes())
    done = speedrun("log", tmp_path, "--json")
    assert done.returncode == 0
    assert [run["dialect"] for run in objects(done.stdout)] == ["M7-ms-2sep"]
    assert done.stderr == "1 log with 1 run; 2 other files are not training logs\n"
    named = speedrun("log", tmp_path / "notes.txt", tmp_path / "run.txt")
    assert named.returncode == 1
    assert f"{tmp_path}/notes.txt: no training log" in named.stderr


def test_logs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    data = (CORPUS / "M7-ms-2sep.txt").read_bytes()
    for name in ("a/log.txt", "b/log.txt", "b/other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    rows = [line.split()[0] for line in speedrun("log", tmp_path).stdout.splitlines()]
    assert rows == ["log", "a/log.txt", "b/log.txt", "other.txt", "3"]
    rows = [line.split()[0] for line in speedrun("log", tmp_path / "a" / "log.txt").stdout.splitlines()]
    assert rows == ["log", "log.txt", "1"]


def test_a_loss_keeps_the_decimals_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "run.txt"
    log.write_bytes((CORPUS / "M7-ms-2sep.txt").read_bytes().replace(b"val_loss:3.2791", b"val_loss:2.8560"))
    for arguments in ((), ("--final-only",)):
        assert "  2.8560  " in speedrun("log", log, *arguments).stdout
    assert "- val - train" not in speedrun("log", log, "--final-only").stdout


def test_a_run_that_was_broken_off_is_not_called_free_of_problems(tmp_path: Path) -> None:
    text = (CORPUS / "M7-ms-2sep.txt").read_text(encoding="utf-8")
    cut = tmp_path / "cut.txt"
    cut.write_text(text[: text.index("step:7/8")], encoding="utf-8")
    [_, row, _] = speedrun("log", cut).stdout.splitlines()
    assert "ends at step 6 of 8, no loss at its last step" in row
    assert "none" not in row


def test_the_exit_status_follows_what_was_readable(tmp_path: Path) -> None:
    good = CORPUS / "M7-ms-2sep.txt"
    bad = tmp_path / "bad.txt"
    bad.write_text("nothing here\n")
    damaged = tmp_path / "damaged.txt"
    damaged.write_bytes(good.read_bytes().replace(b"val_loss:6.1234", b"val_loss:nan"))
    assert speedrun("log", good).returncode == 0
    assert speedrun("log", bad).returncode == 2
    assert speedrun("log", tmp_path / "missing.txt").returncode == 2
    assert speedrun("log", good, bad).returncode == 1
    assert speedrun("log", damaged).returncode == 0
    assert speedrun("log", damaged, "--strict").returncode == 1
    assert speedrun("log", good, "--strict").returncode == 0


def test_compressed_logs_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    data = (CORPUS / "S1-s-trainlines.txt").read_bytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    (tmp_path / "b.xz").write_bytes(lzma.compress(data))
    (tmp_path / "c").write_bytes(gzip.compress(data))
    done = speedrun("log", tmp_path, "--json")
    assert [run["final_val_loss"] for run in objects(done.stdout)] == [3.27777] * 3


@pytest.mark.parametrize("cut", [5, 40, -5])
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, cut: int) -> None:
    data = (CORPUS / "S1-s-trainlines.txt").read_bytes()
    for packed in (gzip.compress(data), lzma.compress(data)):
        path = tmp_path / "a"
        path.write_bytes(packed[:cut])
        done = speedrun("log", path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_pipes_and_unreadable_files_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    done = speedrun("log", tmp_path)
    assert done.returncode == 2
    assert "pipe: not a regular file" in done.stderr
    assert "dangling: cannot be read" in done.stderr


def test_the_table_names_step_loss_time_and_problems_and_escapes_hostile_text(tmp_path: Path) -> None:
    log = tmp_path / "a\x1b[31mb.txt"
    text = (CORPUS / "M7-ms-2sep.txt").read_text(encoding="utf-8")
    log.write_text(text.replace("step:8/8 val", "\x1b]0;owned\x07step:8/8 val"), encoding="utf-8")
    done = speedrun("log", log)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "unreadable-line" in done.stdout
    assert "8/8" in done.stdout


def test_final_only_prints_the_last_figures_and_null_for_what_it_did_not_read() -> None:
    (run,) = objects(speedrun("log", CORPUS / "S2m-s-multirun-nan.txt", "--json", "--final-only").stdout)
    assert (run["final_step"], run["run"], run["n_runs"], run["gpu_name"]) == (125, None, None, None)
    (run,) = objects(speedrun("log", CORPUS / "M7-ms-2sep.txt", "--json", "--final-only").stdout)
    assert (run["final_val_loss"], run["final_train_time_s"], run["peak_memory_mib"]) == (3.2791, 0.329, 29898)


def test_extract_writes_the_script_and_its_parts_and_says_their_hashes(tmp_path: Path) -> None:
    done = speedrun("log", CORPUS / "M9-ms-2sep-triton.txt", "--extract", tmp_path, "--json")
    assert done.returncode == 0
    said = {entry["name"]: entry["sha256"] for entry in objects(done.stdout)}
    assert set(said) == {"train_gpt.py", "triton_kernels.py", "dc_triton_kernels.py"}
    assert said == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert speedrun("log", CORPUS / "L0-llmc-plain.txt", "--extract", tmp_path).returncode == 2
    assert speedrun("log", CORPUS, CORPUS, "--extract", tmp_path).returncode == 2
