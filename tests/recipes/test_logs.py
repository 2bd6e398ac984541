"""The log of each script is complete, and the harness's reader finds every field in it."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from harness.catalog.manifests import load_script
from harness.runlog.reader import read_bytes

from .scripts import ALL, RETIMED, ROOT, SHORT, WITHOUT_TRAIN_LOSS, script_path, tiny

RULE = b"=" * 100
HEADER = re.compile(
    rb"Running Python 3\.\d+\.\d+ .+\n"
    rb"Running PyTorch \S+ compiled for (CPU|CUDA [\d.]+)\n"
    rb"(Running Triton version \S+\n)?"
    rb"seed:3\nworld_size:2\nval_tokens:1024\ntokens_per_step:256\n"
    rb"(override:\w+=\S+\n)+"
)
MILLISECONDS = rb"train_time:\d+ms step_avg:(nan|\d+\.\d\d)ms"
SECONDS = rb"train_time:\d+\.\d{3}s step_avg:(nan|\d+\.\d\d)ms"
SHORT_LINE = re.compile(rb"step:\d+/24 (val|train)_loss:\d+\.\d{4} " + MILLISECONDS)
SILENT_LINE = re.compile(rb"step:\d+/24 (val_loss:\d+\.\d{4} )?" + MILLISECONDS)
MARKED_LINE = re.compile(rb"clock:start|clock:stop|" + SILENT_LINE.pattern.replace(rb"(nan|\d+\.\d\d)", rb"\d+\.\d\d"))
OPTIMIZATION_LINE = re.compile(rb"(clock:start|clock:stop|step:\d+/24 (val_loss:\d+\.\d{5} )?" + SECONDS + rb")")


@pytest.mark.parametrize("name", ALL)
def test_the_log_is_source_header_and_metric_lines_in_the_grammar_of_its_track(
    name: str, trained_log: Callable[[str], bytes]
) -> None:
    source, header, lines = trained_log(name).split(b"\n" + RULE + b"\n")
    assert source + b"\n" == script_path(name).read_bytes()
    assert HEADER.fullmatch(header + b"\n")
    overrides = re.findall(rb"^override:(\w+)=", header, re.M)
    assert {override.decode() for override in overrides} == {*tiny(name), "num_iterations", "val_loss_every"}
    line = SILENT_LINE if name in WITHOUT_TRAIN_LOSS else SHORT_LINE if name in SHORT else OPTIMIZATION_LINE
    line = MARKED_LINE if name in RETIMED else line
    assert lines.endswith(b"\n")
    for text in lines.splitlines():
        assert line.fullmatch(text), text


@pytest.mark.parametrize("name", ALL)
def test_the_harness_reads_every_field_of_the_log(name: str, trained_log: Callable[[str], bytes]) -> None:
    (run,) = read_bytes(trained_log(name), name, curve=True)
    assert run.problems == ()
    assert (run.first_step, run.final_step, run.total_steps) == (0, 24, 24)
    assert run.reached_last_step and run.has_final_val
    assert [step for step, _, _ in run.curve] == [0, 12, 24]
    assert run.final_val_loss == run.last_val_loss == run.curve[-1][1] and run.last_val_step == 24
    assert run.n_val_points == 3 and run.n_train_points == 24
    assert run.final_train_time_s is not None and run.final_train_time_s > 0
    assert run.step_avg_ms is not None and run.step_avg_ms > 0
    sha256 = hashlib.sha256(script_path(name).read_bytes()).hexdigest()
    assert run.script_sha256 == sha256 and run.source_origin == "bytes"
    assert (run.seed, run.world_size, run.val_tokens) == (3, 2, 1024)
    assert run.torch == torch.__version__ and run.python is not None
    assert "device=cpu" in run.overrides and not any(override.startswith("seed") for override in run.overrides)


@pytest.mark.parametrize("name", [*RETIMED, "optimization/36"])
def test_the_clock_lines_enclose_every_timed_section(name: str, trained_log: Callable[[str], bytes]) -> None:
    words = re.findall(rb"^(clock:start|clock:stop|step:\d+/24 (?:val_loss|train_time))", trained_log(name), re.M)
    text = b" ".join(word if word.startswith(b"clock") else word.split()[1] for word in words)
    section = rb"clock:start( train_time)* clock:stop val_loss"
    assert re.fullmatch(rb"%s( %s)*" % (section, section), text)
    assert text.count(b"clock:start") == text.count(b"clock:stop") == 3


@pytest.mark.parametrize("name", [*ALL, "short/7"])
def test_script_yaml_holds_the_hash_of_the_frozen_script_and_claims_no_measurement(name: str) -> None:
    folder = script_path("short/6").parents[2] / "2024-10-18_pytorch-2-5" / "script"
    folder = folder if name == "short/7" else script_path(name).parent
    script = load_script(folder, name=name)
    assert script.of == name and script.origin == "reimplementation" and script.stands_for
    assert script.same_as == ("short/6" if name == "short/7" else None)
    data = yaml.safe_load((folder / "script.yaml").read_text())
    assert data.get("measured") is None and len(data["uncertainties"]) >= 1
    if name != "short/7":
        assert script.entry == "train_gpt.py"
        assert dict(script.files) == {
            "train_gpt.py": hashlib.sha256((folder / "train_gpt.py").read_bytes()).hexdigest()
        }


def test_every_stored_run_of_a_script_in_a_record_names_the_script_that_is_there() -> None:
    """A script may be replaced until a stored run names its hash, and never afterwards (.github/scripts/changes.py)."""
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in ROOT.glob("records/*/*/script/train_gpt.py")}
    stored = [json.loads(path.read_text()) for path in ROOT.glob("records/*/*/evidence/runs/*/run.json")]
    replays = [json.loads(path.read_text()) for path in ROOT.glob("records/*/*/replays/*/replay.json")]
    stored += [replay for replay in replays if replay["script"] == "reimplementation"]
    assert len(stored) >= 6  # those of the smoke records
    for run in stored:
        assert run["script_sha256"] in there


def test_the_template_of_submissions_is_the_optimization_tracks_script() -> None:
    template: Path = ROOT / "submissions" / "_template" / "train_gpt.py"
    assert template.read_bytes() == script_path("optimization/36").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_a_script_is_one_file_of_300_to_900_lines_on_the_standard_library_numpy_and_torch(name: str) -> None:
    import ast
    import sys

    source = script_path(name).read_text()
    assert 300 <= len(source.splitlines()) <= 900
    assert max(map(len, source.splitlines())) <= 120
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names | {"numpy", "torch"}
    assert "/work" not in source and "/root" not in source
