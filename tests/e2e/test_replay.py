"""A record of the smoke track, replayed in an environment of its own: one real installation, one real run.

pip installs wheels that stand for the torch that is here: nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.replay.wheels import make_link, only_from

ROOT = Path(__file__).parents[2]


def test_the_smoke_record_is_replayed_in_an_environment_of_its_own(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(ROOT / "tracks", project / "tracks")
    shutil.copytree(ROOT / "records" / "smoke", project / "records" / "smoke")
    shutil.rmtree(project / "records" / "smoke" / "2026-11-21_muon" / "replays", ignore_errors=True)
    (tmp_path / "wheels").mkdir()
    for name, version in (("torch", "2.13.0"), ("numpy", "2.0"), ("huggingface_hub", "1.0")):
        make_link(tmp_path / "wheels", name, version)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    environment |= only_from(tmp_path / "wheels")
    environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Some Body"}
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "harness", "--root", str(project), "replay", "smoke/2", "--runs", "1", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["record"] == "smoke/2"
    assert result["environment"]["torch"].startswith("2.13.0")
    assert result["time_counts"] is False
    assert result["by"] == "Some Body"
    assert abs(result["loss_difference"]) < 0.03
    assert [point["step"] for point in result["curve"]] == [0, 20, 40, 60, 80, 100]
    [stored] = (project / "records" / "smoke" / "2026-11-21_muon" / "replays").iterdir()
    kept = json.loads((stored / "replay.json").read_text())
    assert {key: result[key] for key in kept} == kept, "what is printed is what is stored, and what follows from it"
    assert "loss_difference" not in kept and "within_spread" not in kept
    [made] = (path for path in (tmp_path / "home" / ".cache" / "speedrun" / "environments").iterdir() if path.is_dir())
    assert (made / "requirements.lock").read_text().count("torch==2.13.0") == 1
