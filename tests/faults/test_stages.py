"""A script tried in stages: one answer whatever happens, null for what broke, and a count of the scripts tried."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import harness
from harness.core.measurement import RunOutcome
from harness.screening.answer import ANSWER_FORM, EXIT_STATUS, Answer
from harness.screening.labels import label_of
from tests.faults.projects import HONEST, ROOT, SCRIPT, Small, make_project

NAME = "submissions/2026-11-21_test"
AGENTS = ROOT / "examples/agents"


@pytest.fixture
def project(tmp_path: Path) -> Small:
    return make_project(tmp_path / "project")


def attempt(project: Small, *arguments: str, stage: str = "full") -> Answer:
    """What `run --stage --json` prints, read strictly; its exit status belongs to the status in it."""
    done = project.run("run", NAME, "--stage", stage, *arguments, "--json")
    said = ANSWER_FORM.parse(done.stdout.encode(), "stdout")
    assert done.returncode == EXIT_STATUS[said.status], done.stderr
    return said


def test_whole_runs_below_the_target_pass_and_count_for_nothing(project: Small) -> None:
    project.submit(HONEST)
    said = attempt(project, "--runs", "2", "--budget-gpu-hours", "10")
    assert (said.status, said.label, said.stage, said.track) == ("passed", None, "full", "tiny")
    assert said.metric is not None
    assert (said.metric.name, said.metric.direction, said.metric.values) == ("steps", "minimize", (5.0, 5.0))
    assert said.metric.interval is None, "equal values have no spread"
    assert said.loss is not None
    assert said.loss.n == 2
    assert said.loss.interval is not None
    assert said.loss.interval[0] < said.loss.mean < said.loss.interval[1] < said.target == 3.0
    assert said.gpu_hours == pytest.approx(said.wall_time_s / 3600, abs=1e-6)
    assert [Path(project.root, run.log).is_file() for run in said.runs] == [True, True]
    assert [entry["kind"] for entry in project.ledger()] == ["try", "start", "end", "start", "end"]
    assert {entry["purpose"] for entry in project.ledger() if entry["kind"] == "start"} == {"screening"}
    assert "no judged run" in project.run("pack", NAME).stderr, "nothing of it is evidence"


def test_every_script_that_is_tried_on_a_track_is_counted_once(project: Small) -> None:
    folder = project.submit(HONEST)
    assert attempt(project).scripts_tried == 1
    assert attempt(project).scripts_tried == 1
    (folder / "train_gpt.py").write_text(SCRIPT + "A = 2\n" + HONEST)
    assert attempt(project).scripts_tried == 2


def test_a_loss_that_is_not_below_the_target_gives_no_metric(project: Small) -> None:
    project.submit(HONEST.replace("5.0 - n / 2", "9.0 - n / 2"))
    said = attempt(project)
    assert (said.status, said.label, said.metric) == ("failed", "target", None)
    assert said.loss is not None
    assert said.loss.mean == pytest.approx(6.5, abs=0.01)


@pytest.mark.parametrize(
    ("body", "status", "label"),
    [
        ("raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')\n", "crashed", "out_of_memory"),
        ("for n in range(3): step(n, 5, float('nan') if n else 5.0)\nstep(5, 5, float('nan'))\n", "failed", "nan"),
        ("for n in range(3): step(n, 5, 5.0 if n == 0 else None)\n", "failed", "log"),
    ],
)
def test_what_breaks_is_null_and_says_why(project: Small, body: str, status: str, label: str) -> None:
    project.submit(body)
    said = attempt(project)
    assert (said.status, said.label) == (status, label)
    assert said.metric is None
    assert said.loss is None
    assert any("out of memory" in line for line in said.lines) == (status == "crashed")


def test_a_run_over_its_budget_is_ended_and_says_so(project: Small) -> None:
    project.submit("step(0, 5, 5.0)\nfor n in range(36000): time.sleep(0.1); step(1, 5)\n")
    said = attempt(project, "--budget-gpu-hours", "0.001")
    assert (said.status, said.label, said.metric) == ("over_budget", "budget", None)
    assert said.gpu_hours >= said.budget_gpu_hours == 0.001
    assert "0.001 GPU hours" in said.message


def test_a_run_that_prints_nothing_more_hangs(project: Small) -> None:
    track = project.root / "tracks/tiny.yaml"
    track.write_text(track.read_text().replace("silence_limit_s: 600", "silence_limit_s: 2"))
    project.submit("step(0, 5, 5.0)\ntime.sleep(3600)\n")
    said = attempt(project)
    assert (said.status, said.label, said.metric) == ("timed_out", "hang", None)


def test_nothing_is_run_of_what_can_be_refused(project: Small) -> None:
    folder = project.submit("import (\n")
    assert attempt(project, stage="check").label == "syntax"
    (folder / "train_gpt.py").write_text(SCRIPT + HONEST)
    assert (attempt(project, stage="check").status, project.ledger()) == ("passed", [])
    (folder / "manifest.yaml").write_text("schema: 1\n")
    said = attempt(project)
    assert (said.status, said.label, said.script_sha256) == ("refused", "manifest", None)
    assert not project.run_folders()


def test_a_dry_run_counts_no_script(project: Small) -> None:
    project.submit("step(0, 2, 5.0)\nstep(1, 2)\nstep(2, 2, 4.0)\n")
    said = attempt(project, stage="dry")
    assert (said.status, said.metric, said.loss, said.scripts_tried) == ("passed", None, None, 0)


def test_a_budget_is_for_a_try_alone(project: Small) -> None:
    project.submit(HONEST)
    done = project.run("run", NAME, "--budget-gpu-hours", "1")
    assert done.returncode == 2
    assert "add --stage full" in done.stderr


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory.", "out_of_memory"),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 4x8)", "shape"),
        ("RuntimeError: The size of tensor a (3) must match the size of tensor b (4) at dimension 0", "shape"),
        ("RuntimeError: shape '[2, 3]' is invalid for input of size 7", "shape"),
        ("ModuleNotFoundError: No module named 'flash_attn'", "import"),
        ("  File 'x.py', line 3\nSyntaxError: invalid syntax", "syntax"),
        ("FileNotFoundError: data/fineweb10B/x.bin", "data"),
        ("AssertionError: 8 ranks", "assertion"),
        ("ValueError: loss is nan", "nan"),
        ("KeyError: 'x'", "error"),
    ],
)
def test_a_crash_has_a_label_that_its_author_can_act_on(lines: str, label: str) -> None:
    assert label_of(RunOutcome("failed", 1, 1.0, "ended with exit code 1"), tuple(lines.splitlines())) == label


def test_the_page_for_agents_names_every_label_and_field() -> None:
    page = (ROOT / "docs/agents.md").read_text()
    labels = {"target", "nan", "log", "manifest", "syntax", "machine", "data", "hang", "time_limit", "budget", "lost"}
    labels |= {"out_of_memory", "import", "shape", "assertion", "killed", "error"}
    assert {name for name in labels if f"`{name}`" not in page} == set()
    assert {name for name in Answer.__dataclass_fields__ if f"`{name}`" not in page} <= {
        "subject", "script_sha256", "track", "ruleset", "stage"
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ from Python


def in_python(project: Small, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = project.env() | {"PYTHONPATH": str(ROOT)}
    command = [project.python, "-c", program, *arguments]
    return subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)


def test_python_gets_the_answer_that_the_command_prints(project: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    project.submit(HONEST)
    monkeypatch.chdir(project.root)
    said = harness.score(NAME, stage="check")
    assert said == attempt(project, stage="check")
    assert harness.score("submissions/none", stage="check").status == "refused"
    for wrong in ({"stage": "half"}, {"runs": 0}, {"budget_gpu_hours": 0.0}):
        with pytest.raises(ValueError, match="give"):
            harness.score(NAME, **wrong)  # type: ignore[arg-type]


NUMBERED = "N = 5\nfor n in range(N + 1): step(n, N, 5.0 - N / 2 if n in (0, N) else None)\ntime.sleep(0.1)\n"


def test_the_loop_keeps_what_passes_and_puts_back_what_does_not(project: Small) -> None:
    folder = project.submit(NUMBERED)  # 3 steps reach 3.5, 4 reach 3.0, and it has to be below 3.0
    (folder / "train_gpt.py").write_text(SCRIPT + NUMBERED.replace("5", "7", 1))
    done = in_python(project, "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')",
                     str(AGENTS / "loop.py"), NAME, r"\nN = ([0-9]+)", "2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "best: 5 after" in done.stdout
    rows = [line.split("\t") for line in (folder.parent / "results.tsv").read_text().splitlines()]
    assert [(row[0], row[1], row[5]) for row in rows] == [
        ("7", "passed", "True"),
        ("5", "passed", "True"),
        ("3", "failed", "False"),
    ]
    assert "\nN = 5\n" in (folder / "train_gpt.py").read_text()


def test_the_evaluator_scores_programs_in_two_stages(project: Small, tmp_path: Path) -> None:
    project.submit(HONEST)
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SCRIPT + HONEST)
    bad.write_text("import (\n")
    program = (
        "import json, runpy, sys; e = runpy.run_path(sys.argv[1]);"
        "print(json.dumps([e['evaluate_stage1'](sys.argv[3]), e['evaluate_stage2'](sys.argv[2])]))"
    )
    project.environment["SPEEDRUN_SUBMISSION"] = NAME
    done = in_python(project, program, str(AGENTS / "evaluator.py"), str(good), str(bad))
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["combined_score"], first["label"]) == (0.0, "syntax")
    assert second["combined_score"] == pytest.approx(1e3 / 5)
    assert second["steps"] == 5.0


def test_the_examples_are_short() -> None:
    assert all(len(path.read_text().splitlines()) <= 60 for path in AGENTS.glob("*.py"))
