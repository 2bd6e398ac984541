"""A race by time whose current record has no script here: compared with its frozen original, then accepted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.replay import environments
from tests.faults.projects import SCRIPT, TRACK, Small
from tests.flow.repositories import ANSWERS
from tests.replay.upstream import Upstream, make_upstream, sha256
from tests.replay.wheels import make_torch, make_wheel, only_from

TORCH = "2.9.1"
BODY = """\
step(0, 5, 5.0 + SEED % 9973 / 1e4, 0)
time.sleep(SECONDS + SEED % 11 / 1000)  # times without any spread decide nothing
step(5, 5, 2.9 + SEED % 9973 / 1e7)
time.sleep(0.1)
"""
# As an author of the past wrote it: it takes no argument, draws its seed and finds the tokens by itself.
ORIGINAL = SCRIPT.replace(
    'SEED = int(sys.argv[1].split("=")[1])',
    f"""\
import glob
import torch
assert torch.__version__ == "{TORCH}" and len(sys.argv) == 1
assert glob.glob(os.environ["DATA_PATH"] + "/data/tiny/tiny_train_*.bin")
SEED = time.time_ns() % 1000003""",
) + BODY.replace("SECONDS", "1.5")
SLUG = "2026-11-20_faster"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A project with one record, and the repository that holds its original; pip sees a small torch only."""
    made = make_upstream(tmp_path)
    track = TRACK.replace("PROCESSES", "1").replace("metric: steps", "metric: train_time").replace("machine, ", "")
    (made.project.tracks / "tiny.yaml").write_text(track)
    made.commit_files({"train_gpt.py": ORIGINAL.encode()})
    made.add_record("2026-01-01_past", "file", "train_gpt.py", {"train_gpt.py": sha256(ORIGINAL.encode())}, time_s=1.5)
    environments.add_needs(made.project, [(TORCH, environments.Needs("tiny/1", ""))])
    return made


def test_a_submission_beats_the_original_of_a_past_record_and_is_accepted(upstream: Upstream, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_torch(wheels, TORCH)
    for name in ("numpy", "huggingface_hub"):
        make_wheel(wheels, name, "1.0")
    project = Small(upstream.project.root, only_from(wheels))
    (project.root / "home").mkdir()
    folder = project.submit(BODY.replace("SECONDS", "1.0"), SLUG)
    (folder / "README.md").write_text(ANSWERS)
    given = ("--checkout", str(upstream.folder))

    said = project.run("compare", "tiny", f"submissions/{SLUG}", "--plan").stdout
    assert "A: the frozen original of the record tiny/1 (records/tiny/2026-01-01_past): train_gpt.py" in said
    assert "its files are not here" in said and "never cloned here" in said
    assert f"B: the submission submissions/{SLUG}: train_gpt.py" in said
    kept = [path for path in (project.root / "cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert not kept, "a plan fetches nothing"
    refused = project.run("compare", "tiny/1", f"submissions/{SLUG}", "--no-fetch")
    assert refused.returncode == 2 and "never cloned here" in refused.stderr

    done = project.run("compare", "tiny/1", f"submissions/{SLUG}", "--pairs", "6", "--json", *given)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["outcome"] == "faster" and len(made["runs"]) in (6, 8, 10, 12), "it ends once it is decided"
    assert 0.28 < made["gain"] < 0.38
    assert made["a"]["script_sha256"] == sha256(ORIGINAL.encode())
    assert made["a"]["torch"] == TORCH != made["b"]["torch"]
    assert f"A runs with torch {TORCH} and B with torch" in done.stderr
    arms = {run["run"]: run["arm"] for run in made["runs"]}
    seeds = {entry["run"]: entry["seed"] for entry in project.ledger() if entry["kind"] == "start"}
    assert all((seed is None) == (arms[run] == "A") for run, seed in seeds.items()), "an original gets no argument"
    again = project.run("compare", "tiny", f"submissions/{SLUG}", "--plan").stdout
    assert f"in an environment of its own, torch {TORCH}" in again and "its files are not here" not in again

    for verb in ("pack", "check", "accept"):
        step = project.run(verb, f"submissions/{SLUG}")
        assert step.returncode == 0, step.stderr
    assert "accepted as tiny/2" in step.stderr
    record = (project.root / "records" / "tiny" / SLUG / "record.yaml").read_text()
    assert "faster_than: tiny/2026-01-01_past" in record
    assert "less time than tiny/1" in record
    assert f"against {TORCH}" in record, "what gained may be torch"


def test_accept_names_the_command_that_compares_with_an_original(upstream: Upstream) -> None:
    project = Small(upstream.project.root)
    (project.root / "home").mkdir()
    folder = project.submit(BODY.replace("SECONDS", "0.2"), SLUG)
    (folder / "README.md").write_text(ANSWERS)
    for command in (("run", f"submissions/{SLUG}"), ("pack", f"submissions/{SLUG}")):
        done = project.run(*command)
        assert done.returncode == 0, done.stderr
    refused = project.run("accept", f"submissions/{SLUG}")
    assert refused.returncode == 2
    assert f"make one: speedrun compare tiny/1 submissions/{SLUG}" in refused.stderr
