"""What the workflows run, on branches that the tests make: a pull request is judged as data, records are only added to."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.flow.repositories import ANSWERS, ROOT, Repository

SLUG = "2026-11-20_an-idea"
MUON = Path("records/smoke/2026-11-21_muon")
IMPORTED = Path("records/short/2024-06-06_adamw")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "project"
    return Repository.make(root, records=("smoke/2026-11-21_muon", "short/2024-06-06_adamw")).root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Repository:
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    return Repository(tmp_path / "project")


def test_a_packed_submission_is_in_order_and_the_summary_says_so(project: Repository, tmp_path: Path) -> None:
    project.branch("idea")
    project.submit("adamw", SLUG)
    project.commit("an idea")
    project.git("switch", "-q", "main")  # the harness of the base branch judges; the folder is not even there
    summary = tmp_path / "summary.md"
    said = project.changes("pull-request", "main", "idea", status=0, anew=True, GITHUB_STEP_SUMMARY=str(summary))
    assert f"the submission {SLUG}: in order" in said
    assert "verdict: pass" in said
    assert summary.read_text().startswith("## In order\n")
    assert project.git("status", "--porcelain") == ""


def link(folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/etc/hostname")


def hostile_name(folder: Path) -> None:
    (folder / "x\n::error::y\x1b[2J").write_text("z")


def edit_log(folder: Path) -> None:
    [log, *_] = sorted(folder.glob("evidence/runs/*/log.txt"))
    log.write_text(log.read_text().replace("val_loss:2.", "val_loss:1."))


def long_stamp(folder: Path) -> None:
    [clock, *_] = sorted(folder.glob("evidence/runs/*/clock.csv"))
    clock.write_text(f"{clock.read_text()}exit,{'9' * 5000}\n")


def as_a_copy(folder: Path) -> None:
    """The script of a record, under a manifest that gives its hash."""
    script = (folder.parents[1] / MUON / "script" / "train_gpt.py").read_bytes()
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["files"] = {"train_gpt.py": hashlib.sha256(script).hexdigest()}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    (folder / "train_gpt.py").write_bytes(script)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file elsewhere": (
        lambda f: (f.parents[1] / "leaderboard.md").write_text("mine"),
        "leaderboard.md does not belong",
    ),
    "the template": (lambda f: (f.parent / "_template" / "README.md").write_text("x"), "README.md does not belong"),
    "another folder": (lambda f: shutil.copytree(f, f.parent / "2026-11-19_other"), "this one has 2"),
    "a loose file": (lambda f: (f.parent / "notes.txt").write_text("x"), "this one has 2"),
    "a record": (lambda f: (f.parents[1] / MUON / "curve.csv").write_text("x"), "curve.csv does not belong"),
    "a link": (link, "README.md is a link"),
    "a name that is a command": (hostile_name, "is not a plain file name"),
    "no evidence": (lambda f: shutil.rmtree(f / "evidence"), "holds no evidence"),
    "no README": (lambda f: (f / "README.md").unlink(), "README.md: is missing"),
    "a question left out": (
        lambda f: (f / "README.md").write_text(ANSWERS.replace("## Why is it faster?\n\nIt is.\n", "")),
        "does not answer “Why is it faster?”",
    ),
    "an answer that nobody can see": (
        lambda f: (f / "README.md").write_text(ANSWERS.replace("It is.", "\u3164")),
        "does not answer “Why is it faster?”",
    ),
    "evidence without its ledger": (
        lambda f: (f / "evidence" / "ledger.jsonl").unlink(),
        "holds evidence without its ledger",
    ),
    "a record's own script": (as_a_copy, "is the script of records/smoke/2026-11-21_muon"),
    "a README of comments": (
        lambda f: (f / "README.md").write_text((ROOT / "submissions/_template/README.md").read_text()),
        "does not answer “Why is it faster?”",
    ),
    "an edited log": (edit_log, "does not pass `speedrun check`"),
    "a stamp of 5,000 digits": (long_stamp, "is no stamp"),
    "an edited script": (lambda f: (f / "train_gpt.py").write_text("pass\n"), "has sha256"),
    "a module to import": (lambda f: (f.parents[1] / "yaml.py").write_text("boom"), "yaml.py does not belong"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_pull_request_is_refused_for(project: Repository, case: str) -> None:
    damage, words = REFUSED[case]
    project.branch("idea")
    damage(project.submit("adamw", SLUG))
    project.commit("an idea")
    said = project.changes("pull-request", "main", "idea", status=1, anew=case == "a module to import")
    assert words in said
    assert "\x1b" not in said
    assert "\n::error::y" not in said


def test_nothing_that_was_submitted_is_executed(project: Repository, tmp_path: Path) -> None:
    project.branch("idea")
    folder = project.submit("adamw", SLUG)
    boom = f"open({str(tmp_path / 'executed')!r}, 'w')\n"
    for path in (folder / "train_gpt.py", folder / "yaml.py", folder / "harness.py", project.root / "sitecustomize.py"):
        path.write_text(boom)
    project.commit("an attack")
    project.git("switch", "-q", "main")
    assert "refused" in project.changes("pull-request", "main", "idea", status=1, anew=True)
    assert not (tmp_path / "executed").exists()


def test_a_path_that_leaves_the_folder_writes_nothing(project: Repository, tmp_path: Path) -> None:
    """git refuses to make such a tree, so it is made byte by byte."""

    def tree(*entries: tuple[str, str, str]) -> str:
        raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(digest) for mode, name, digest in entries)
        command = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
        return (
            subprocess.run(command, cwd=project.root, input=raw, capture_output=True, check=True)
            .stdout.decode()
            .strip()
        )

    blob = project.do("git", "hash-object", "-w", ".github/scripts/changes.py").stdout.strip()
    escaping = tree(("40000", "..", tree(("40000", "..", tree(("100644", "escaped", blob))))))
    top = project.git("ls-tree", "main").splitlines()
    entries = [(line.split()[0].lstrip("0"), line.split("\t")[1], line.split()[2]) for line in top]
    others = [entry for entry in entries if entry[1] != "submissions"]
    made = tree(*sorted([*others, ("40000", "submissions", tree(("40000", SLUG, escaping)))], key=lambda e: e[1]))
    head = project.git("commit-tree", "-p", "main", "-m", "x", made).strip()
    said = project.changes("pull-request", "main", head, status=1, anew=True, TMPDIR=str(tmp_path))
    assert "is not a plain file name" in said
    assert not list(tmp_path.rglob("escaped"))


def test_what_a_submission_says_cannot_become_a_command_of_the_workflow(project: Repository, tmp_path: Path) -> None:
    project.branch("idea")
    folder = project.submit("adamw", SLUG, title="::set-output name=x::y ##[add-path]/evil <b>bold</b>")
    (folder / "::warning::z").write_text("x")
    project.commit("an attack")
    summary = tmp_path / "summary.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    lines = project.changes("pull-request", "main", "idea", status=1, **environment).splitlines()
    assert [line for line in lines if line.lstrip().startswith("::")] == [
        line for line in lines if "not a plain file name" in line
    ]
    (folder / "::warning::z").unlink()
    project.commit("with a title that is one")
    said = project.changes("pull-request", "main", "idea", status=0, **environment)
    token = said.partition("::stop-commands::")[2].partition("\n")[0]
    assert len(token) == 32
    inside, _, after = said.partition(f"::stop-commands::{token}\n")[2].partition(f"\n::{token}::\n")
    assert "verdict: pass" in inside
    assert "::" not in after
    assert all(
        line.startswith("    ") for line in summary.read_text().splitlines() if "verdict" in line or "<b>" in line
    )


def test_a_change_of_the_harness_and_an_accepted_submission_are_no_submissions(project: Repository) -> None:
    project.branch("harness")
    (project.root / ".github" / "new.txt").write_text("x")
    project.commit("a change")
    assert "adds no submission" in project.changes("pull-request", "main", "harness", status=0)
    project.branch("idea")
    project.submit("adamw", SLUG)
    project.commit("an idea")
    project.git("switch", "-q", "main")
    project.git("merge", "-q", "idea")
    project.branch("accepting")
    project.speedrun("accept", f"submissions/{SLUG}")
    project.commit("accepted")
    assert "adds no submission" in project.changes("pull-request", "main", "accepting", status=0)
    project.changes("append-only", "main", "accepting", status=0)


def test_the_submission_of_somebody_else_is_not_taken_away(project: Repository) -> None:
    project.submit("adamw", SLUG)
    project.commit("an idea of somebody")
    for name, gone in {"all of it": "", "one file": "/README.md", "one run": "/evidence"}.items():
        project.branch(name.replace(" ", "-"))
        project.git("rm", "-q", "-r", f"submissions/{SLUG}{gone}")
        project.commit(name)
        said = project.changes("pull-request", "main", name.replace(" ", "-"), status=1)
        assert f"submissions/{SLUG}/README.md was deleted" in said or gone == "/evidence"
        assert "a submission is deleted only when it is accepted" in said
    project.branch("a-folder-of-that-name")
    project.git("rm", "-q", "-r", f"submissions/{SLUG}")
    (project.root / "records" / "smoke" / SLUG).mkdir()
    (project.root / "records" / "smoke" / SLUG / "notes.txt").write_text("no record")
    project.commit("a folder that is no record")
    project.changes("pull-request", "main", "a-folder-of-that-name", status=1)


def test_the_name_of_a_folder_is_text_in_the_summary(project: Repository, tmp_path: Path) -> None:
    project.branch("idea")
    (project.root / "submissions" / "2 **in order** www.evil.example @admin <b>x").mkdir()
    (project.root / "submissions" / "2 **in order** www.evil.example @admin <b>x" / "a").write_text("x")
    project.commit("an attack")
    summary = tmp_path / "summary.md"
    project.changes("pull-request", "main", "idea", status=1, GITHUB_STEP_SUMMARY=str(summary))
    told = [line for line in summary.read_text().splitlines() if "evil" in line]
    assert told
    assert all(line.startswith("    ") for line in told)


def test_a_report_names_records_as_a_person_would(project: Repository, tmp_path: Path) -> None:
    """The folder that is judged reaches the records through a link."""
    project.branch("idea")
    folder = project.submit("adamw", SLUG)
    manifest = (folder / "manifest.yaml").read_text()
    (folder / "manifest.yaml").write_text(f"{manifest}parent: smoke/2\n")
    project.commit("an idea")
    summary = tmp_path / "summary.md"
    project.changes("pull-request", "main", "idea", status=0, GITHUB_STEP_SUMMARY=str(summary))
    assert "against records/smoke/2026-11-21&#95;muon" in summary.read_text()
    assert str(tmp_path) not in summary.read_text()


ALTERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a curve": (lambda r: (r / MUON / "curve.csv").write_text("x"), "curve.csv was changed"),
    "a record's figures": (lambda r: (r / MUON / "record.yaml").write_text("x"), "record.yaml was changed"),
    "a log": (lambda r: next((r / MUON).glob("evidence/runs/*/log.txt")).write_text("x"), "log.txt was changed"),
    "a script": (lambda r: (r / MUON / "script" / "train_gpt.py").unlink(), "train_gpt.py was deleted"),
    "a renamed folder": (lambda r: (r / MUON).rename(r / "records/smoke/2026-11-21_mine"), "record.yaml was deleted"),
    "an imported script": (
        lambda r: (r / IMPORTED / "script/train_gpt.py").write_text("x"),
        "train_gpt.py was changed",
    ),
    "an imported record": (lambda r: (r / IMPORTED / "record.yaml").unlink(), "record.yaml was deleted"),
    "a link": (
        lambda r: ((r / MUON / "runs.csv").unlink(), (r / MUON / "runs.csv").symlink_to("curve.csv")),
        "became another type",
    ),
}


@pytest.mark.parametrize("case", ALTERED)
def test_a_file_of_a_record_never_changes(project: Repository, case: str) -> None:
    damage, words = ALTERED[case]
    project.branch("change")
    damage(project.root)
    project.commit("a change")
    for command in ("append-only", "pull-request"):
        assert words in project.changes(command, "main", "change", status=1)


def test_a_timing_that_accept_added_never_changes(project: Repository) -> None:
    """It holds a comparison and no evidence of its own; the past, which may be imported again, says where it was."""
    timing = project.root / "records" / "smoke" / "2026-11-22_timed-again"
    timing.mkdir()
    (timing / "record.yaml").write_text("schema: 1\ntitle: a timing\noriginal: null\nnotes: null\n")
    (timing / "comparison.json").write_text("{}\n")
    (timing / "runs.csv").write_text("x\n")
    project.commit("a timing")
    for name in ("record.yaml", "runs.csv"):
        project.branch(f"change-{name}")
        with (timing / name).open("a") as file:
            file.write("original:\n  repository: mine\n")
        project.commit("a change")
        assert f"{name} was changed" in project.changes("append-only", "main", f"change-{name}", status=1)


def test_records_may_be_added_to_and_an_import_may_run_again(project: Repository) -> None:
    project.branch("change")
    (project.root / MUON / "withdrawn.yaml").write_text("schema: 1\n")
    (project.root / IMPORTED / "replays" / "x").mkdir(parents=True)
    (project.root / IMPORTED / "replays" / "x" / "runs.csv").write_text("x")
    (project.root / IMPORTED / "runs.csv").write_text("imported again")
    project.commit("additions")
    assert "in order" in project.changes("append-only", "main", "change", status=0)
    assert "in order" in project.changes("append-only", "0" * 40, "change", status=0)


def test_commits_that_are_not_there_are_an_error_and_not_a_pass(project: Repository) -> None:
    for before in ("f" * 40, "--output=x", "no-branch"):
        project.changes("append-only", before, "main", status=2)
        project.changes("pull-request", before, "main", status=2)
    project.changes("pull-request", "main", status=2)


def run_steps(workflow: str) -> list[tuple[str, dict[str, str]]]:
    """The commands of a workflow that need no set-up, with their environment as it is written."""
    [job] = yaml.safe_load((ROOT / ".github" / "workflows" / workflow).read_text())["jobs"].values()
    found = [(step["run"], step.get("env", {})) for step in job["steps"] if "run" in step]
    return [(run, env) for run, env in found if "changes.py" in run or "git fetch" in run]


@pytest.mark.parametrize("good", [True, False], ids=["a good one", "a bad one"])
def test_the_steps_of_the_workflow_judge_a_pull_request_from_a_fork(
    project: Repository, tmp_path: Path, good: bool
) -> None:
    base = project.git("rev-parse", "main").strip()
    project.branch("idea")
    folder = project.submit("adamw", SLUG)
    if not good:
        (folder / "train_gpt.py").write_text("pass\n")
    project.commit("an idea")
    head = project.git("rev-parse", "HEAD").strip()
    project.git("update-ref", "refs/pull/7/head", head)
    project.git("switch", "-q", "main")
    project.git("branch", "-q", "-D", "idea")
    project.git("clone", "-q", str(project.root), str(tmp_path / "runner"))
    runner = Repository(tmp_path / "runner")
    (runner.root / "harness").symlink_to(ROOT / "harness")
    values = {"${{ github.event.pull_request.number }}": "7", "${{ github.event.pull_request.base.sha }}": base}
    values |= {"${{ github.event.pull_request.head.sha }}": head}
    steps = run_steps("pull_request.yml")
    assert len(steps) == 2
    for number, (command, environment) in enumerate(steps, start=1):
        filled = {name: values[value] for name, value in environment.items()}
        failing = not good and number == len(steps)
        runner.do("bash", "-euo", "pipefail", "-c", command, status=1 if failing else 0, **filled)
