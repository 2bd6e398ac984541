"""Evidence that passes `check` and is not what the script does falls with the fresh runs of whoever accepts it."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.run import judging
from harness.store import run_files
from tests.cheats.gallery import changed
from tests.flow import sessions
from tests.scoring import tiny

HERE = Path(__file__).parent / "sessions"
CASES = sorted(path.parent.name for path in HERE.glob("*/case.yaml"))


@pytest.mark.parametrize("name", CASES)
def test_what_passes_with_its_own_evidence_fails_with_fresh_runs(name: str, tmp_path: Path) -> None:
    case = yaml.safe_load((HERE / name / "case.yaml").read_text())
    script, edit = changed(name, tiny.HONEST, case["change"]), HERE / name / "edit.py"
    lucky, others = itertools.count(3, 3), itertools.count(100, 3)
    with mock.patch.object(run_files, "draw_seed", side_effect=lucky if case.get("lucky") else others):
        project = sessions.make_project(tmp_path / "project", script, forge=edit if edit.exists() else None)
    submitted = judging.verify(Catalog(project), sessions.the_submission(project))[1]
    assert submitted.outcome == "pass", "\n".join(map(str, submitted.findings))
    with mock.patch.object(run_files, "draw_seed", side_effect=others):
        _, stop = sessions.go_on(project)
    assert stop is not None and stop.final
    assert [reason.split()[:2] for reason in stop.reasons] == [[case["rule"], "fail:"]], stop.reasons
