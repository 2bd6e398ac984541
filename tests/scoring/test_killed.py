"""A scorer that is killed or cannot work says nothing of the script; the same command scores the run again."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.core.errors import RunError
from harness.launch import processes
from harness.model_score import scoring
from harness.store import weights
from harness.store.ledger import Ledger
from tests.cheats.gallery import changed, the_case
from tests.scoring import tiny

# Loading takes longer than any test.
WAITS = [{"from": "    import torch\n", "to": "    import torch\n\n    time.sleep(1000)\n"}]


def test_a_run_whose_scorer_was_killed_is_scored_by_the_same_command(tmp_path: Path) -> None:
    project = tiny.make_project(tmp_path / "project", changed("waits", tiny.HONEST, WAITS))
    run_id = tiny.make_run(project)
    mark = f"{run_id}-score"

    def kill() -> None:
        while not processes.marked(mark):
            time.sleep(0.05)
        for pid in processes.marked(mark):
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RunError, match="ended by signal 9") as error:
        tiny.score(project, run_id)
    killer.join()
    assert "start the same command again" in str(error.value)
    assert not processes.marked(mark)
    subject, folder = the_case(project), project.runs / run_id
    assert scoring.pending(project, subject) == (run_id,)
    assert not (folder / "score.json").exists()
    assert not Ledger(project.ledger).chain(subject.chain).scores

    weights.kept_file(folder).chmod(0o644)
    weights.kept_file(folder).write_bytes(b"other weights")
    with pytest.raises(RunError, match="its weights are gone or were changed"):
        tiny.score(project, run_id)
