"""What a script does with its model is found by loading it: each trick is run, scored and named by its one rule."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.store.ledger import Ledger
from harness.store.packs import write_pack
from tests.cheats.gallery import changed, the_case
from tests.scoring import tiny

CASES = sorted(path.parent.name for path in tiny.HERE.glob("*/case.yaml"))
RULES = ("S4", "S5", "S6")


def outcomes(project: tiny.Project) -> dict[str, str]:
    return {f.rule: f.outcome for f in tiny.judge(project).findings if f.rule in (*RULES, "G1", "G2", "I4")}


def test_an_honest_script_is_scored_as_it_printed(tmp_path: Path) -> None:
    project = tiny.make_project(tmp_path / "project", tiny.HONEST)
    run_id = tiny.make_run(project)
    folder = project.runs / run_id
    assert outcomes(project)["S4"] == "inconclusive", "saved and not scored yet"
    tiny.score(project, run_id)
    assert set(outcomes(project).values()) == {"pass"}
    assert not (folder / "weights").exists(), "thrown away once they are scored"
    assert not (folder / "scoring").exists()

    # The pack carries the score, and another score in its place is seen.
    write_pack(tmp_path / "packed", Ledger(project.ledger).read(), [folder], the_case(project).script)
    kept = tmp_path / "packed" / "evidence" / "runs" / run_id / "score.json"
    assert kept.read_bytes() == (folder / "score.json").read_bytes()
    (folder / "score.json").write_text((folder / "score.json").read_text().replace('"rows": 1024', '"rows": 1025'))
    assert outcomes(project)["G2"] == "fail"
    (folder / "score.json").unlink()
    assert outcomes(project)["G2"] == "fail"


@pytest.mark.parametrize("name", CASES)
def test_each_trick_with_a_model_is_found_by_its_rule_and_no_other(name: str, tmp_path: Path) -> None:
    case = yaml.safe_load((tiny.HERE / name / "case.yaml").read_text())
    project = tiny.make_project(tmp_path / "project", changed(name, tiny.HONEST, case["change"]))
    run_id = tiny.make_run(project)
    tiny.score(project, run_id)
    found = {rule: outcome for rule, outcome in outcomes(project).items() if outcome != "pass"}
    said = "\n".join(str(f) for f in tiny.judge(project).findings)
    assert found == {case["rule"]: "fail"} | dict.fromkeys(case.get("also", ()), "inconclusive"), said
