"""`speedrun log` as a process: what it prints, and how it exits."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.small_logs import SCRIPT, write

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


def test_runs_are_grouped_by_script_and_named_by_the_path_below_what_all_share(tmp_path: Path) -> None:
    for number, loss in enumerate((3.2791, 3.2777, 3.2788)):
        write(tmp_path / "a" / f"{number}.txt", loss, 80_000 + number)
        write(tmp_path / "b" / "c" / f"{number}.txt", loss + 0.0001, 79_000 + number, script=SCRIPT + "x = 1\n")
    shutil.copyfile(tmp_path / "a" / "0.txt", tmp_path / "a" / "copy.txt")
    first, second = speedrun("log", tmp_path).stdout.split("\n\n")
    assert first.startswith("a, script ") and second.startswith("b/c, script ")
    assert [line.split()[0] for line in first.splitlines()[2:5]] == ["a/0.txt", "a/1.txt", "a/2.txt"]
    assert "1 further log of the same runs left out" in first
    assert "3 complete runs: val_loss 3.27853 ± 0.00074, train_time 80.001 s ± 0.001" in first
    assert "(baseline)" not in first + second and "to the baseline" not in first + second
    assert second.splitlines()[-1] == "7 logs with 7 runs; 0 other files are not training logs"


def test_a_run_of_a_probe_stands_alone_and_runs_on_other_text_are_another_group(tmp_path: Path) -> None:
    record = ROOT / "records" / "smoke" / "2026-11-27_token-before"
    blocks = speedrun("log", record, folder=tmp_path).stdout.split("\n\n")
    headings = [block.splitlines()[0] for block in blocks]
    probes = [heading for heading in headings if ", purpose probe, " in heading]
    assert len(probes) == len(list(record.glob("probe/runs/*/log.txt.xz"))) > 0
    assert not any("complete run" in block for block in blocks if block.splitlines()[0] in probes)
    [evidence] = [heading for heading in headings if heading.startswith("evidence/runs, ")]
    [submitted] = [heading for heading in headings if heading.startswith("submitted/runs, ")]
    texts = {re.search(r"validation text ([0-9a-f]{8}), script ", heading)[1] for heading in (evidence, submitted)}  # type: ignore[index]
    assert len(texts) == 2, "each series of the smoke track has a source of its own, whose losses are no common mean"
    label = submitted.partition(", script ")[0]
    assert speedrun("log", record, "--baseline", label).stdout.startswith(f"{label} (baseline), script ")
    assert f"; {label} (126f6963)" in speedrun("log", record, "--baseline", "126f6963").stderr, "one hash, many texts"
    table = speedrun("log", record, "--markdown").stdout
    assert table.count("purpose probe") >= len(probes)


def test_what_lies_beside_a_log_and_is_none_of_ours_tells_nothing(tmp_path: Path) -> None:
    """A pull request may hold any run.json: nothing of it is shown, and a damaged one is as good as none."""
    runs = ROOT / "records" / "smoke" / "2026-11-27_token-before" / "evidence" / "runs"
    for number, run in enumerate(sorted(runs.iterdir())):
        shutil.copytree(run, tmp_path / str(number))
    first, second, third = (tmp_path / str(number) / "run.json" for number in range(3))
    text = json.loads(first.read_text())
    text["data"]["shards"][0]["sha256"] = "\x1b[2J@everyone"
    first.write_text(json.dumps(text))
    second.write_text("[" * 9000)
    said = speedrun("log", tmp_path).stdout
    headings = [block.splitlines()[0] for block in said.split("\n\n")]
    assert not {"\x1b", "@"} & set(said)
    [theirs] = [heading for heading in headings if "validation text" in heading]
    assert f"validation text {json.loads(third.read_text())['data']['shards'][0]['sha256'][:8]}, script " in theirs


def test_what_a_run_leaves_of_its_tokens_is_an_error_only_where_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / "run.txt", 3.28, 80_000)
    (tmp_path / "tokens.bin").symlink_to(tmp_path / "gone")
    done = speedrun("log", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 log with 1 run; 1 other file is not a training log" in done.stdout
    assert speedrun("log", tmp_path / "tokens.bin").returncode == 2


def test_a_group_is_held_against_a_baseline_that_is_named(tmp_path: Path) -> None:
    for number, loss in enumerate((3.2791, 3.2777, 3.2788)):
        write(tmp_path / "old" / f"{number}.txt", loss, 80_000 + number)
        write(tmp_path / "new" / f"{number}.txt", loss, 79_000 + number, script=SCRIPT + "x = 1\n")
    done = speedrun("log", tmp_path / "new", "--baseline", tmp_path / "old", "--target", "3.28")
    assert done.stdout.startswith("old (baseline), script ")
    assert "to the baseline: train_time −1.000 (−1.002 to −0.998), −1.25 %, val_loss +0.00000" in done.stdout
    assert "(p = 0.037 at 3.28)" in done.stdout
    assert speedrun("log", tmp_path, "--baseline", tmp_path / "old", "--json").returncode == 2


def test_a_loss_keeps_the_decimals_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "run.txt"
    log.write_bytes((CORPUS / "M7-ms-2sep.txt").read_bytes().replace(b"val_loss:3.2791", b"val_loss:2.8560"))
    for arguments in ((), ("--final-only",)):
        assert "  2.8560  " in speedrun("log", log, *arguments).stdout


def test_a_run_that_was_broken_off_is_not_called_free_of_problems(tmp_path: Path) -> None:
    text = (CORPUS / "M7-ms-2sep.txt").read_text(encoding="utf-8")
    cut = tmp_path / "cut.txt"
    cut.write_text(text[: text.index("step:7/8")], encoding="utf-8")
    [_, _, row, _] = speedrun("log", cut).stdout.splitlines()
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
