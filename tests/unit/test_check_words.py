"""`check` begins with the verdict in plain words and what to do, for submissions and records alike."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from harness.cli import main

ROOT = Path(__file__).parents[2]
MUON = ROOT / "records" / "smoke" / "2026-11-21_muon"  # 100 steps under smoke@1, with its evidence
SLUG = "2026-11-21_a-copy"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose one submission has the script and the evidence of a record that is not in it."""
    folder = tmp_path / "submissions" / SLUG
    shutil.copytree(ROOT / "tracks", tmp_path / "tracks")
    shutil.copytree(MUON / "evidence", folder / "evidence")
    shutil.copyfile(MUON / "script" / "train_gpt.py", folder / "train_gpt.py")
    files = yaml.safe_load((MUON / "script" / "script.yaml").read_text())["files"]
    manifest = {"schema": 1, "track": "smoke", "ruleset": "smoke@1", "title": "A copy", "contributors": ["@t"]}
    manifest |= {"claim": "ml", "entry": "train_gpt.py", "files": files}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    (folder / "README.md").write_text("# A copy\n\nWhat, why and how: all answered.\n")
    track = tmp_path / "tracks" / "smoke.yaml"
    track.write_text(track.read_text().partition("- id: smoke@2")[0])  # under which smoke@1 is not closed
    return tmp_path


def check(project: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    status = main(["--root", str(project), "check", str(project / "submissions" / SLUG), *flags])
    return status, capsys.readouterr().out


def add_record(project: Path, slug: str, ruleset: str = "smoke@1") -> None:
    to = project / "records" / "smoke" / slug
    shutil.copytree(ROOT / "records" / "smoke" / slug, to, ignore=shutil.ignore_patterns("evidence"))
    (to / "record.yaml").write_text((to / "record.yaml").read_text().replace("smoke@2", ruleset))


def test_the_verdict_comes_first_then_what_to_do_then_a_count(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_record(project, "2026-11-21_adamw-baseline")
    status, said = check(project, capsys)
    first, following, count = said.splitlines()
    assert status == 0
    assert first.startswith(f"verdict: pass for submissions/{SLUG} under smoke@1: smoke/1 holds the record with 180")
    assert first.endswith("this is 80 fewer: a new record")
    assert following == "  next     open a pull request with this folder"
    assert "rules passed" in count and "--all" in count


def test_valid_but_no_record_is_said_in_plain_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_record(project, "2026-11-21_muon")
    record = project / "records" / "smoke" / "2026-11-21_muon"
    shutil.rmtree(record / "script")  # else the submission is refused as a copy of it
    status, said = check(project, capsys)
    assert status == 1
    assert said.startswith(f"verdict: valid, but no record, for submissions/{SLUG} under smoke@1: ")
    assert "fail" not in said
    status, told = check(project, capsys, "--json")
    data = json.loads(told)
    assert (status, data["no_record"], data["outcome"], data["problems"]) == (1, True, "pass", [])
    status, said = check(project, capsys, "--all")  # which ends as `run` does
    assert said.splitlines()[-1].startswith("  valid, but no record: smoke/2 holds the record with 100 steps; ")
    status, report = check(project, capsys, "--markdown")
    assert report.splitlines()[0].endswith(": valid, but no record")


def test_what_is_not_pass_stands_before_the_count_and_all_shows_the_rest(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [log, *_] = sorted((project / "submissions" / SLUG / "evidence" / "runs").glob("*/log.txt"))
    text = log.read_text()
    log.write_text(text.replace("val_loss:2.8", "val_loss:2.7", 1))
    status, said = check(project, capsys)
    lines = said.splitlines()
    assert status == 1 and lines[0].startswith(f"verdict: fail for submissions/{SLUG} under smoke@1: ")
    assert lines[1].startswith("  next     change what these findings name, then start over: speedrun new --refresh")
    assert {line.split()[1] for line in lines[2:-1]} <= {"fail", "inconclusive", "warning"}
    assert "rules passed" in lines[-1]
    everything = check(project, capsys, "--all")[1]
    assert everything.startswith(lines[0]) and "  R1  pass " in everything and "not applicable" in everything


def test_a_folder_without_runs_is_told_to_make_some(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "submissions" / SLUG / "evidence")
    status, said = check(project, capsys)
    assert status == 0
    assert said.splitlines()[0].endswith("it has no runs yet")
    assert said.splitlines()[1] == f"  next     make runs: speedrun run submissions/{SLUG}"


def test_problems_of_the_folder_are_counted_first(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "submissions" / SLUG / "more.py").write_text("x = 1\n")
    status, said = check(project, capsys)
    assert status == 1
    assert said.startswith(f"verdict: pass for submissions/{SLUG} under smoke@1, but its folder is not in order: 1 pro")
    assert "  problem  submissions/" in said.splitlines()[1]


def test_a_pack_of_an_earlier_script_is_one_sentence(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = ROOT / "records" / "smoke" / "2026-11-27_token-before"
    shutil.copyfile(ROOT / "tracks" / "smoke.yaml", project / "tracks" / "smoke.yaml")
    folder = project / "submissions" / SLUG
    shutil.rmtree(folder / "evidence")
    shutil.copytree(record / "submitted", folder / "evidence")
    script = (record / "script" / "train_gpt.py").read_text()
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text()) | {"ruleset": "smoke@2", "schema": 2}
    del manifest["files"]
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    for text, verdict in (
        (script, "verdict: "),
        (script + "# edited\n", f"submissions/{SLUG}: not in order: 1 problem"),
    ):
        (folder / "train_gpt.py").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (folder / "manifest.lock").write_text(json.dumps({"schema": 1, "files": {"train_gpt.py": digest}}))
        status, said = check(project, capsys)
        assert said.startswith(verdict)
    assert status == 1
    [problem] = said.splitlines()[1:]
    assert f"holds runs of an earlier script alone, none of train_gpt.py as it is now ({digest[:12]}); " in problem
    assert (
        f"(speedrun run submissions/{SLUG}), then pack those of this one: speedrun pack submissions/{SLUG}" in problem
    )
    assert json.loads(check(project, capsys, "--json")[1])["outcome"] is None


@pytest.mark.parametrize("verb", ["check", "verify"])
def test_a_record_is_judged_by_either_name(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), verb, "short/12", "short/88"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verdict: inconclusive for short/12 under short@1: S1"
    assert "verdict: pass for short/88 under short@2" in lines
    assert main(["--root", str(ROOT), verb, "short/88", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["no_record"], len(told["runs"])) == ("pass", False, 10)


def test_several_are_one_list_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), "check", "short/88", "short/12", "--json"]) == 1
    assert [one["outcome"] for one in json.loads(capsys.readouterr().out)] == ["pass", "inconclusive"]
