"""A record of the smoke track, replayed in an environment of its own: one real installation, one real run.

pip installs wheels that stand for the torch that is here: nothing is downloaded. The record is smoke/2 with a quarter of
its steps and of its validation tokens, as most of the time would be spent on training.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.replay.wheels import make_link, only_from

ROOT = Path(__file__).parents[2]

SHORTER = (
    ("num_iterations: int = 100", "num_iterations: int = 25"),
    ("val_loss_every: int = 20", "val_loss_every: int = 5"),
    ("val_tokens: int = 131072", "val_tokens: int = 32768"),
)
# Of three runs of the shorter script, with the seeds 1, 2 and 3, and the curve of the first one.
LOSSES = {"2.8536": "3.7471", "2.8545": "3.7548", "2.8574": "3.7552"}
CURVE = """\
step,val_loss,train_time_s
0,5.5491,0.0
5,4.23,0.46
10,3.9562,0.913
15,3.8833,1.375
20,3.8051,1.855
25,3.7471,2.303
"""


def shorten(record: Path) -> None:
    """Make of a copy of smoke/2 a record of fewer steps, as it would have been measured."""
    script = record / "script" / "train_gpt.py"
    replace(script, *SHORTER)
    before = hashlib.sha256(
        (ROOT / "records" / "smoke" / record.name / "script" / script.name).read_bytes()
    ).hexdigest()
    after = hashlib.sha256(script.read_bytes()).hexdigest()
    replace(script.with_name("script.yaml"), (before, after))
    replace(record / "record.yaml", ("steps: 100", "steps: 25"), ("val_loss: 2.85517", "val_loss: 3.7524"))
    replace(record / "runs.csv", (before, after), (",own,100,", ",own,25,"), *LOSSES.items())
    (record / "curve.csv").write_text(CURVE)


def replace(path: Path, *pairs: tuple[str, str]) -> None:
    """Put other words into a file; each must stand there."""
    text = path.read_text()
    for old, new in pairs:
        assert old in text, f"{path}: {old}"
        text = text.replace(old, new)
    path.write_text(text)


def test_the_smoke_record_is_replayed_in_an_environment_of_its_own(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(ROOT / "tracks", project / "tracks")
    shutil.copytree(ROOT / "records" / "smoke", project / "records" / "smoke")
    shutil.rmtree(project / "records" / "smoke" / "2026-11-21_muon" / "replays", ignore_errors=True)
    shorten(project / "records" / "smoke" / "2026-11-21_muon")
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
    assert [point["step"] for point in result["curve"]] == [0, 5, 10, 15, 20, 25]
    [stored] = (project / "records" / "smoke" / "2026-11-21_muon" / "replays").iterdir()
    kept = json.loads((stored / "replay.json").read_text())
    assert {key: result[key] for key in kept} == kept, "what is printed is what is stored, and what follows from it"
    assert "loss_difference" not in kept and "within_spread" not in kept
    [made] = (path for path in (tmp_path / "home" / ".cache" / "speedrun" / "environments").iterdir() if path.is_dir())
    assert (made / "requirements.lock").read_text().count("torch==2.13.0") == 1
