"""A fresh user with no data: one command fetches what the run needs, gives it to the script, and trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.fetch_project import TRACK, TRAIN, VAL
from tests.faults.projects import HONEST, Small
from tests.faults.small_hub import Hub

READS = (
    "import glob\n"
    "paths = sorted(glob.glob('data/small10B/*.bin'))\n"
    "log('given ' + ' '.join(os.path.basename(p) for p in paths))\n"
    "log('bytes ' + ' '.join(str(len(open(p, 'rb').read())) for p in paths))\n"
)


@pytest.fixture
def project(tmp_path: Path, hub: Hub) -> Small:
    (tmp_path / "tracks").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "tracks" / "small.yaml").write_text(TRACK)
    made = Small(tmp_path, {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"})
    manifest = made.submit(READS + HONEST) / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("tiny", "small"))
    return made


def test_one_command_goes_from_no_data_to_training(project: Small, hub: Hub) -> None:
    submission = "submissions/2026-11-21_test"
    done = project.run("run", submission, "--runs", "1")
    assert project.ends() == ["finished"], done.stderr
    needed = [VAL, *TRAIN[:3]]
    assert {request.name for request in hub.gets() if request.name} >= set(needed)
    assert not hub.gets(TRAIN[3]), "no more is fetched than the run needs"
    assert f"{VAL}: 1.0 MB, verified" in done.stderr
    [folder] = project.run_folders()
    log = (folder / "log.txt").read_text()
    assert "given " + " ".join(sorted(needed)) in log
    receipt = json.loads((folder / "run.json").read_text())["data"]
    assert sorted(shard["name"] for shard in receipt["shards"]) == sorted(needed)
    assert receipt["unchanged"] is True
    assert len(receipt["revision"]) == 40

    asked = len(hub.gets())
    project.run("run", submission, "--runs", "2", "--no-fetch")
    assert project.ends() == ["finished"] * 2
    assert len(hub.gets()) == asked, "what is there is not fetched again"


def test_a_refused_fetch_is_said_before_anything_is_launched(project: Small) -> None:
    done = project.run("run", "submissions/2026-11-21_test", "--no-fetch")
    assert done.returncode == 2
    assert VAL in done.stderr
    assert project.ledger() == []
    assert project.run_folders() == []
