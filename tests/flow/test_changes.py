"""What the workflows run, on branches that the tests make: a pull request is judged as data, records are only added to."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.measurement import Machine
from harness.store import evals, replays
from tests import warm
from tests.evals.test_stored import result as a_result
from tests.flow.repositories import ANSWERS, ROOT, Repository
from tests.flow.small_upstream import SHORT, SmallUpstream, log, row

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
    assert "verdict: valid, but no record" in said, "as many steps as the record has are no failure of the evidence"
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
    assert "verdict: valid, but no record" in inside
    assert "::" not in after
    assert all(
        line.startswith("    ") for line in summary.read_text().splitlines() if "verdict" in line or "<b>" in line
    )


def test_what_decides_is_never_in_order_and_stands_first(project: Repository, tmp_path: Path) -> None:
    changed = ("docs/page.md", ".github/new.txt", "tracks/smoke.yaml", "run_tests.sh", "yaml.py", ".gitattributes")
    project.branch("harness")
    for name in changed:
        (project.root / name).parent.mkdir(exist_ok=True)
        with (project.root / name).open("a") as file:
            file.write("# x\n")
    project.commit("a change")
    summary = tmp_path / "summary.md"
    said = project.changes("pull-request", "main", "harness", status=0, GITHUB_STEP_SUMMARY=str(summary))
    assert "adds no submission: for a maintainer's review" in said
    page = summary.read_text()
    assert page.index("### For a maintainer's review") < page.index("tracks/smoke.yaml is changed")
    assert [line.split()[0] for line in page.splitlines() if line.endswith((" is added", " is changed"))] == sorted(
        {*changed} - {"docs/page.md"}
    )
    project.git("switch", "-q", "-C", "text", "main")
    (project.root / "docs").mkdir(exist_ok=True)
    (project.root / "docs" / "page.md").write_text("text\n")
    project.commit("text")
    assert "adds no submission: in order" in project.changes("pull-request", "main", "text", status=0)
    (project.root / "docs" / ".gitattributes").write_text("* -diff\n")
    project.commit("text that nobody is shown")
    assert "review: docs/.gitattributes is added" in project.changes("pull-request", "main", "text", status=0)


# ------------------------------------------------------------------------------------------------ what is on main


def test_a_submission_on_main_never_changes(project: Repository) -> None:
    project.branch("late")  # left main before the submission came
    project.git("switch", "-q", "main")
    folder = project.submit("adamw", SLUG)
    project.commit("an idea of somebody")
    for name, start in (("edited", "main"), ("late", "late")):
        project.git("switch", "-q", "-C", name, start)
        folder.mkdir(exist_ok=True)
        (folder / "notes.py").write_text("1\n")
        project.commit("mine")
        said = project.changes("pull-request", "main", name, status=1)
        assert "is on the base branch already, and a submission that is there never changes" in said


@pytest.fixture(scope="module")
def accepted_once(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission on main, and a branch on which it was accepted."""
    root = tmp_path_factory.mktemp("accepted") / "project"
    shutil.copytree(made, root, symlinks=True)
    project = Repository(root)
    project.submit("adamw", SLUG)
    project.commit("an idea")
    project.branch("accepting")
    project.speedrun("accept", f"submissions/{SLUG}", "--pull-request", "7")
    project.commit("accepted")
    return root


@pytest.fixture
def accepted(accepted_once: Path, tmp_path: Path) -> Repository:
    shutil.copytree(accepted_once, tmp_path / "project", symlinks=True)
    return Repository(tmp_path / "project")


RECORD = Path("records/smoke") / SLUG


def test_what_accept_wrote_is_written_again_and_in_order(accepted: Repository) -> None:
    said = accepted.changes("pull-request", "main", "accepting", status=0, anew=True)
    assert "this pull request adds no submission: for a maintainer's review" in said
    assert f"{RECORD} rests on the runs of its submitter under smoke@1: that they were made, and before newer" in said
    assert "\npull_request: '7'\n" in (accepted.root / RECORD / "record.yaml").read_text()
    accepted.changes("append-only", "main", "accepting", status=0)


def test_every_file_that_accept_did_not_write_so_is_named(accepted: Repository) -> None:
    record = accepted.root / RECORD
    text = (record / "record.yaml").read_text()
    (record / "record.yaml").write_text(re.sub(r"steps: \d+", "steps: 90", text))
    (record / "script" / "more.py").write_text("1\n")
    (record / "README.md").chmod(0o755)
    shutil.rmtree(sorted((record / "evidence" / "runs").iterdir())[0])
    accepted.commit("with changes")
    said = accepted.changes("pull-request", "main", "accepting", status=1)
    refused = [line.split()[1] for line in said.splitlines() if "is not what `speedrun accept` writes" in line]
    assert {str(Path(path).relative_to(RECORD)).split("/")[0] for path in refused} == {
        *("README.md", "record.yaml", "script", "evidence")
    }


def test_an_accepted_submission_moves_and_the_board_says_what_the_records_say(accepted: Repository) -> None:
    page = accepted.root / "leaderboard.md"
    page.write_text(page.read_text().replace("| **100** |", "| **99** |"))
    (accepted.root / "leaderboard" / "more.csv").write_text("x\n")
    accepted.commit("a better board")
    said = accepted.changes("pull-request", "main", "accepting", status=1)
    for name in ("leaderboard.md", "leaderboard/more.csv"):
        assert f"{name} is not what the records say" in said
    accepted.git("checkout", "-q", "main", "--", f"submissions/{SLUG}")
    accepted.commit("kept as well")
    said = accepted.changes("pull-request", "main", "accepting", status=1)
    assert "became a record and is still there" in said


def test_a_record_that_is_not_made_of_a_submission_on_main_is_refused(accepted: Repository) -> None:
    accepted.git("switch", "-q", "-c", "later", "main")
    accepted.git("rm", "-q", "-r", f"submissions/{SLUG}")
    accepted.commit("withdrawn by its author")
    said = accepted.changes("pull-request", "later", "accepting", status=1)
    assert f"{RECORD} is no record that `speedrun accept` makes of a submission on the base branch" in said


@pytest.mark.parametrize(
    "path", ["notes.txt", "README.md", "evidence/runs/x/log.txt", "replays/mine/replay.json", "script/more.py"]
)
def test_nothing_else_is_added_to_a_record(project: Repository, path: str) -> None:
    project.branch("more")
    (project.root / MUON / path).parent.mkdir(parents=True, exist_ok=True)
    (project.root / MUON / path).write_text("x\n")
    project.commit("more")
    said = project.changes("pull-request", "main", "more", status=1)
    assert f"{MUON / path} is nothing that a tool adds to a record" in said


def test_a_withdrawal_is_one_that_accept_writes_and_for_a_maintainer_to_see(project: Repository) -> None:
    project.branch("withdrawn")
    project.speedrun("accept", "--withdraw", "smoke/2", "--why", "it cannot be: repeated")
    path = project.root / MUON / "withdrawn.yaml"
    path.write_text(re.sub(r"date: .*", "date: 2026-11-22", path.read_text()))  # another day than that of the check
    project.commit("withdrawn")
    said = project.changes("pull-request", "main", "withdrawn", status=0)
    assert f"{MUON} is withdrawn: it cannot be: repeated" in said
    assert "for a maintainer's review" in said
    path.write_text(f"# a comment\n{path.read_text()}")
    project.commit("by hand")
    assert "is not what `speedrun accept --withdraw` writes" in project.changes(
        "pull-request", "main", "withdrawn", status=1
    )


def a_replay(**changes: Any) -> replays.ReplayResult:
    machine = Machine((), None, "a cpu", 2, 1 << 30, "6.1", "3.12.7", "2.13.0", "f" * 64)
    told: dict[str, Any] = {"record": "smoke/2", "date": "2026-11-25", "by": "Somebody", "machine": machine}
    told |= {"gpus": "no GPU, 2 processes", "script": "original", "script_sha256": "a" * 64, "why_not": ()}
    told |= {"claimed_time_s": None, "claimed_loss": 2.85517, "own_losses": (2.85, 2.86), "curve": ()}
    told["environment"] = replays.Environment("exact", "2.13.0", "3.12.7", "2.13.0", ())
    told["runs"] = (replays.ReplayedRun("r1", 1, 100, 2.855, 5.0, 9.0),)
    return replays.ReplayResult(**told | changes)


def test_anybody_may_add_a_replay_of_the_record_that_it_names(project: Repository) -> None:
    project.branch("replayed")
    folder = replays.add_replay(project.root / MUON, a_replay())
    project.speedrun("board")
    project.commit("a replay")
    said = project.changes("pull-request", "main", "replayed", status=0)
    assert "is the word of whoever made it: a replay keeps no logs" in said
    assert "for a maintainer's review" in said
    text = (folder / "replay.json").read_text()
    for name, old, new in (("of-another", '"smoke/2"', '"smoke/1"'), ("broken", '"runs"', '"rums"')):
        project.git("switch", "-q", "-C", name, "replayed")
        (folder / "replay.json").write_text(text.replace(old, new))
        project.commit(name)
        said = project.changes("pull-request", "main", name, status=1)
        assert "is no replay of" in said or "rums" in said


def test_anybody_may_add_an_evaluation_of_a_model_of_the_record_that_it_names(project: Repository) -> None:
    project.branch("evaluated")
    folder = evals.add_eval(project.root / MUON, a_result(script=str(MUON)))
    project.speedrun("board")
    project.commit("an evaluation")
    said = project.changes("pull-request", "main", "evaluated", status=0)
    assert "is the word of whoever made it: an evaluation keeps no answers" in said
    text = (folder / "eval.json").read_text()
    for name, old, new in (("of-another", f'"{MUON}"', f'"{IMPORTED}"'), ("broken", '"device"', '"divice"')):
        project.git("switch", "-q", "-C", name, "evaluated")
        (folder / "eval.json").write_text(text.replace(old, new))
        project.commit(name)
        said = project.changes("pull-request", "main", name, status=1)
        assert "is no evaluation of" in said or "divice" in said


def test_what_is_imported_is_imported_again_and_every_byte_is_compared(project: Repository, tmp_path: Path) -> None:
    upstream = SmallUpstream(tmp_path / "clone")
    upstream.commit("Folders (#5)", {f"{SHORT}/2026-07-13_New/{name}.txt": log(name) for name in ("own", "other")})
    where = f"{SHORT}/2026-07-13_New"
    upstream.readme([row(90, "1.2 minutes", "A `title` <b>", "07/13/26", where, "@somebody", 5)])
    project.branch("import")
    said = project.speedrun("import", "--checkout", str(upstream.folder), "--own=short/90=own.txt")
    assert "1 row imported" in said
    project.speedrun("board")
    project.commit("a new row")
    # Later states of upstream change nothing: the records name the commit.
    upstream.readme([row(90, "1.1 minutes", "Another title", "07/13/26", where, "@somebody", 5)])
    said = project.changes("pull-request", "main", "import", str(upstream.folder), status=0)
    assert "which runs are its own was chosen by whoever imported it, with `--own short/90=own.txt`" in said
    assert "for a maintainer's review" in said
    [record] = (project.root / "records" / "short").glob("2026-07-13_new/record.yaml")
    for name, old, new in (("faster", "train_time_s: 72.0", "train_time_s: 70.0"), ("by", "@somebody", "@me")):
        project.git("switch", "-q", "-C", name, "import")
        record.write_text(record.read_text().replace(old, new))
        project.commit(name)
        said = project.changes("pull-request", "main", name, str(upstream.folder), status=1)
        assert "record.yaml is not what `speedrun import` writes from that commit of upstream" in said


def test_a_merged_script_is_added_by_an_import_alone_and_never_changes(project: Repository) -> None:
    merged = project.root / IMPORTED / "merged.yaml"
    text = merged.read_text()
    project.branch("other")
    merged.write_text(text.replace("nothing", "something"))
    project.commit("another reason")
    said = project.changes("pull-request", "main", "other", status=1)
    assert "merged.yaml was changed; a file of a record never changes" in said
    project.branch("without")
    merged.unlink()
    project.commit("before the import")
    project.git("switch", "-q", "-c", "with", "without")
    merged.write_text(text)
    (project.root / MUON / "merged.yaml").write_text(text)
    project.commit("by hand")
    said = project.changes("pull-request", "without", "with", status=1)
    assert f"{IMPORTED}/merged.yaml: only `speedrun import` writes this" in said
    assert f"{MUON}/merged.yaml is nothing that a tool adds to a record" in said


# ------------------------------------------------------------------------------------------------ odd trees


def entry(project: Repository, mode: str, path: str, blob: str) -> None:
    project.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")


ODD: dict[str, tuple[str, str, str]] = {
    "a link": ("120000", "docs/page.md", "docs/page.md is a link or a submodule"),
    "a submodule": ("160000", "docs/more", "docs/more is a link or a submodule"),
    "a submodule in a record": ("160000", f"{MUON}/replays", "replays is a link or a submodule"),
    "records as a link": ("120000", "Records", "Records is records in other letters"),
    "a folder in other letters": ("100644", f"records/smoke/{MUON.name.upper()}/record.yaml", "in other letters"),
    "a file in other letters": ("100644", "tracks/Smoke.yaml", "tracks/Smoke.yaml is tracks/smoke.yaml in other"),
    "a letter that looks alike": ("100644", "tracks/sm\u043eke.yaml", "is not a plain file name"),
    "an ignorable letter": ("100644", "tra\u200bcks/smoke.yaml", "is not a plain file name"),
    "a blank": ("100644", "docs/a b", "is not a plain file name"),
    "a record that is executable": ("100755", f"{MUON}/runs.csv", "runs.csv was changed"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_entry_is_refused_whatever_a_pull_request_is_about(project: Repository, case: str) -> None:
    mode, path, words = ODD[case]
    project.branch("odd")
    head = project.git("rev-parse", "HEAD").strip()
    blob = project.git("rev-parse", f"HEAD:{MUON}/runs.csv").strip()
    entry(project, mode, path, head if mode == "160000" else blob)
    project.git("commit", "-q", "-m", "odd")
    assert words in project.changes("pull-request", "main", "odd", status=1)


def test_an_executable_file_of_a_submission_is_refused(project: Repository) -> None:
    project.branch("idea")
    (project.submit("adamw", SLUG) / "train_gpt.py").chmod(0o755)
    project.commit("an idea")
    assert "train_gpt.py is executable" in project.changes("pull-request", "main", "idea", status=1)


def test_large_files_are_refused_also_those_that_a_later_commit_deletes(
    project: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.branch("large")
    (project.root / "docs").mkdir(exist_ok=True)
    large = project.root / "docs" / "large.md"
    large.write_bytes(random.Random(7).randbytes(5000))
    project.commit("large")
    commits = load_commits(project, monkeypatch, MAX_FILE_BYTES=4000, MAX_HISTORY_BYTES=4000)
    for deleted in (False, True):
        if deleted:
            project.git("rm", "-q", "docs/large.md")
            project.git("commit", "-q", "-m", "gone")
        old, new = commits.commit("main"), commits.commit("large")
        said = "\n".join(commits.oddities(old, new, commits.changes(old, new)))
        assert ("docs/large.md has 5,000 bytes" in said) == (not deleted)
        assert "also in files that later ones delete" in said


def load_commits(project: Repository, monkeypatch: pytest.MonkeyPatch, **limits: int) -> Any:
    """The module as the workflow runs it in this project, with lower limits."""
    file = project.root / ".github" / "scripts" / "commits.py"
    found = importlib.util.spec_from_file_location("commits_here", file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "commits_here", module)
    found.loader.exec_module(module)
    for name, value in limits.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_histories_that_cross_are_not_compared(project: Repository) -> None:
    """With two commits in common, which one git takes decides what looks changed."""
    for name in ("one", "two"):
        project.branch(name)
        (project.root / f"{name}.txt").write_text("x")
        project.commit(name)
    project.git("switch", "-q", "-C", "base", "one")
    project.git("merge", "-q", "--no-edit", "two")
    project.git("switch", "-q", "-C", "other", "two")
    project.git("merge", "-q", "--no-edit", "-s", "ours", "one")
    project.changes("pull-request", "base", "other", status=2)


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
    "a script with runs": (lambda r: (r / MUON / "script/train_gpt.py").write_text("x"), "train_gpt.py was changed"),
    "what is said of it": (lambda r: (r / MUON / "script/script.yaml").write_text("x"), "script.yaml was changed"),
    "an imported script": (lambda r: (r / IMPORTED / "script/train_gpt.py").unlink(), "train_gpt.py was deleted"),
    "an imported record": (lambda r: (r / IMPORTED / "record.yaml").unlink(), "record.yaml was deleted"),
    "an imported figure": (lambda r: (r / IMPORTED / "runs.csv").write_text("again"), "runs.csv was changed"),
    "a merged script": (lambda r: (r / IMPORTED / "merged.yaml").write_text("x"), "merged.yaml was changed"),
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
    """It holds a comparison and no evidence of its own."""
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


def test_a_script_may_be_replaced_until_a_stored_run_names_its_hash(project: Repository) -> None:
    """Nothing that another record keeps of its runs may name it either: it may stand for two records, or be a baseline."""
    script = project.root / IMPORTED / "script" / "train_gpt.py"
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    project.branch("change")
    script.write_text("x")
    script.with_name("script.yaml").write_text(script.with_name("script.yaml").read_text().replace(digest, "0" * 64))
    project.commit("a better script")
    assert "in order" in project.changes("append-only", "main", "change", status=0)
    said = project.changes("pull-request", "main", "change", status=0)
    assert f"review: {IMPORTED}/script/train_gpt.py is replaced: no stored run names the script that was there" in said
    assert "for a maintainer's review" in said

    replay = project.root / MUON / "replays" / "2026-11-22_0123abcd" / "replay.json"
    project.git("switch", "-q", "main")
    replay.parent.mkdir(parents=True)
    replay.write_text(f'{{"script_sha256": "{digest}"}}\n')
    project.commit("a run of it")
    assert "train_gpt.py was changed" in project.changes("pull-request", "main", "change", status=1)
    project.git("switch", "-q", "change")
    project.git("merge", "-q", "-m", "up to date", "main")
    for command in ("append-only", "pull-request"):
        said = project.changes(command, "main", "change", status=1)
        assert "train_gpt.py was changed" in said and "script.yaml was changed" in said


def test_a_script_cannot_be_replaced_together_with_its_first_run(project: Repository) -> None:
    script = project.root / IMPORTED / "script" / "train_gpt.py"
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    project.branch("change")
    script.write_text("x")
    folder = project.root / "submissions" / SLUG / "evidence"
    folder.mkdir(parents=True)
    (folder / "ledger.jsonl").write_text(f'{{"script_sha256": "{digest}"}}\n')
    project.commit("a better script, and what the one before did")
    assert "train_gpt.py was changed" in project.changes("append-only", "main", "change", status=1)


def test_records_may_be_added_to(project: Repository) -> None:
    project.branch("change")
    (project.root / MUON / "withdrawn.yaml").write_text("schema: 1\n")
    (project.root / IMPORTED / "replays" / "x").mkdir(parents=True)
    (project.root / IMPORTED / "replays" / "x" / "runs.csv").write_text("x")
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
    values |= {"${{ github.event.pull_request.head.sha }}": head, "${{ github.event.pull_request.user.login }}": "t"}
    steps = run_steps("pull_request.yml")
    assert len(steps) == 2
    for number, (command, environment) in enumerate(steps, start=1):
        filled = {name: values[value] for name, value in environment.items()}
        failing = not good and number == len(steps)
        runner.do("bash", "-euo", "pipefail", "-c", command, status=1 if failing else 0, **filled)


GH = """\
#!/bin/sh
printf '%s\\n' "$*" | head -n 1 >> "$RUNNER_TEMP/gh.txt"
[ "$1 $2" != "pr list" ] || grep -c "^pr create" "$RUNNER_TEMP/gh.txt" || true
"""


def propose(project: Repository, temp: Path) -> list[str]:
    """Run the commands of the job that opens the pull request, in a fresh clone; what it asked GitHub for."""
    shutil.rmtree(temp / "runner", ignore_errors=True)
    project.git("clone", "-q", "--branch", "main", str(project.root), str(temp / "runner"))
    (temp / "bin").mkdir(exist_ok=True)
    (temp / "bin" / "gh").write_text(GH)
    (temp / "bin" / "gh").chmod(0o755)
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "import.yml").read_text())["jobs"]["propose"]
    runner = Repository(temp / "runner")
    values = {"RUNNER_TEMP": str(temp), "BASE": "main", "PATH": f"{temp}/bin:{runner.environment()['PATH']}"}
    for step in job["steps"]:
        if "run" in step:
            runner.do("bash", "-euo", "pipefail", "-c", step["run"], **values)
    return (temp / "gh.txt").read_text().splitlines()


def test_the_workflow_that_imports_proposes_what_the_workflow_of_pull_requests_accepts(
    project: Repository, tmp_path: Path
) -> None:
    public = tmp_path / "mirror" / "KellerJordan" / "modded-nanogpt"
    upstream = SmallUpstream(public)
    upstream.git("config", "uploadpack.allowFilter", "true")
    upstream.git("config", "uploadpack.allowAnySHA1InWant", "true")
    upstream.commit("A folder (#5)", {f"{SHORT}/2026-07-13_New/own.txt": log("own")})
    line = row(90, "1.2 minutes", "A `title` <b> @you", "07/13/26", f"{SHORT}/2026-07-13_New/own.txt", "@somebody", 5)
    upstream.readme([line, row(91, "soon", "Another", "07/14/26", None, "@a")])
    places = {"SPEEDRUN_UPSTREAM": f"file://{tmp_path}/mirror", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = project.root / ".github" / "scripts" / "proposal.py"
    made = tmp_path / "proposal"
    done = warm.speedrun(str(made), cwd=project.root, env=project.environment(**places), script=script)
    assert (done.returncode, done.stdout) == (0, "new=true\n"), done.stderr
    assert (made / "title.txt").read_text() == "Import short/90 from upstream\n"
    words, _, quoted = (made / "body.md").read_text().partition("\n\n    ")
    assert "no checks start by themselves" in words
    assert all(text.startswith("    ") for text in f"    {quoted}".splitlines())
    assert "left out: README.md:" in quoted
    project.git("reset", "-q", "--hard")
    shutil.rmtree(project.root / "records" / "short" / "2026-07-13_new", ignore_errors=True)
    asked = propose(project, tmp_path)
    assert asked[-1].startswith("pr create --base main --head import/upstream --title Import short/90 from upstream")
    assert "in order" in project.changes("pull-request", "main", "import/upstream", status=0, **places)
    assert propose(project, tmp_path)[-1].startswith("pr edit import/upstream"), "the next week, while it is open"

    # Once it is merged, the row that waits for somebody makes the run fail, and the summary says why.
    project.git("switch", "-q", "import/upstream")
    more = places | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    again = warm.speedrun(str(tmp_path / "again"), cwd=project.root, env=project.environment(**more), script=script)
    assert (again.returncode, again.stdout) == (1, "new=false\n"), again.stderr
    for said in (again.stderr, (tmp_path / "summary.md").read_text()):
        assert "    left out: README.md:" in said
        assert "'soon' is no time" in said
    upstream.readme([line])
    again = warm.speedrun(str(tmp_path / "again"), cwd=project.root, env=project.environment(**more), script=script)
    assert (again.returncode, again.stdout) == (0, "new=false\n"), again.stderr
