"""Records of which only an original exists: starting from one, its diff, what a probe runs beside a copy of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import load_manifest
from harness.probe import probe_plan
from harness.submission import draft
from tests.faults.projects import HONEST, SCRIPT, TRACK, Small
from tests.named import find_subject
from tests.replay.upstream import KERNELS, Upstream, make_upstream, sha256

ROOT = Path(__file__).parents[2]
HERE, GONE = SCRIPT + HONEST, SCRIPT.replace("4096", "4_096") + HONEST
IDEA, OTHER = "submissions/2026-11-20_idea", "submissions/2026-11-20_other"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A project with tiny/1, whose script lies in its folder, and tiny/2, the current record, an original elsewhere."""
    made = make_upstream(tmp_path)
    track = TRACK.replace("PROCESSES", "1").replace("metric: steps", "metric: train_time")
    (made.project.tracks / "tiny.yaml").write_text(track)
    made.commit_files({"a/train_gpt.py": GONE.encode(), "a/kernels.py": KERNELS})
    for slug, time_s in (("2026-01-01_here", 2.0), ("2026-01-02_gone", 1.0)):
        files = {"train_gpt.py": sha256(GONE.encode()), "kernels.py": sha256(KERNELS)}
        made.add_record(slug, "file", "a/train_gpt.py", files, time_s=time_s)
    first = made.project.records / "tiny" / "2026-01-01_here"
    record = (first / "record.yaml").read_text()
    (first / "record.yaml").write_text(record[: record.index("original:")] + "notes: null\nwithdrawn: null\n")
    (first / "script").mkdir()
    (first / "script" / "train_gpt.py").write_text(HERE)
    (first / "script" / "script.yaml").write_text(
        "schema: 1\norigin: original\nof: tiny/1\nentry: train_gpt.py\nfiles:\n"
        f"  train_gpt.py: {hashlib.sha256(HERE.encode()).hexdigest()}\n"
    )
    shutil.copytree(ROOT / "submissions" / "_template", made.project.submissions / "_template")
    return made


@pytest.fixture
def project(upstream: Upstream) -> Small:
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_COUNT": "1"}
    who |= {"GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "A Newcomer"}
    return Small(upstream.project.root, who | {"SPEEDRUN_UPSTREAM": (upstream.folder.parents[1]).as_uri()})


def do(project: Small, *arguments: str, status: int = 0) -> str:
    done = project.run(*arguments)
    assert done.returncode == status, done.stderr
    return done.stderr + done.stdout


def test_a_track_means_its_current_record_and_the_parent_is_what_was_copied(project: Small, upstream: Upstream) -> None:
    said = do(project, "new", "2026-11-20_idea", "--from", "tiny", "--checkout", str(upstream.folder))
    assert f"made {IDEA} from the frozen original of tiny/2" in said
    folder = project.root / IDEA
    assert (folder / "train_gpt.py").read_text() == GONE
    assert (folder / "kernels.py").read_bytes() == KERNELS
    assert load_manifest(folder).parent == "tiny/2"
    said = do(project, "new", "2026-11-20_other", "--from", "tiny/1")
    assert "from the script of tiny/1" in said
    manifest = load_manifest(project.root / OTHER)
    assert (manifest.parent, dict(manifest.files)) == ("tiny/1", {"train_gpt.py": sha256(HERE.encode())})


def test_an_original_is_fetched_from_its_repository_where_nothing_else_is_said(project: Small) -> None:
    assert "from the frozen original of tiny/2" in do(project, "new", "2026-11-20_idea", "--from", "tiny/2")


def test_a_copy_is_compared_with_its_original_and_the_way_to_it_is_named(project: Small, upstream: Upstream) -> None:
    do(project, "new", "2026-11-20_idea", "--from", "tiny", "--checkout", str(upstream.folder))
    script = project.root / IDEA / "train_gpt.py"
    script.write_text(script.read_text().replace("4_096", "4096"))
    assert "+1 −1 lines of code from records/tiny/2026-01-02_gone" in do(project, "diff", IDEA)
    shutil.rmtree(project.root / "cache")
    said = do(project, "diff", IDEA, status=2)
    assert "tiny/2: has no script here" in said
    assert "speedrun replay --original --plan" in said and "--checkout DIR" in said
    assert "+1 −1 lines of code" in do(project, "diff", IDEA, "--checkout", str(upstream.folder))
    shutil.rmtree(project.root / "cache")
    do(project, "replay", "--original", "--plan")
    assert "+1 −1 lines of code" in do(project, "diff", IDEA)


def test_a_probe_stands_a_copy_of_an_original_beside_the_best_script_that_is_here(
    project: Small, upstream: Upstream
) -> None:
    do(project, "new", "2026-11-20_idea", "--from", "tiny", "--checkout", str(upstream.folder))
    found = find_subject(upstream.project, str(project.root / IDEA))
    parent = probe_plan.plan(Catalog(upstream.project), found, ("other-text",)).parent
    assert parent is not None and parent.name == "records/tiny/2026-01-01_here"
    assert "beside   records/tiny/2026-01-01_here" in do(project, "probe", IDEA, "--plan")


def test_runs_of_the_record_do_not_freeze_a_copy_of_its_script(project: Small) -> None:
    do(project, "run", "tiny/1", "--runs", "1", status=1)  # one run is too few to pass
    do(project, "new", "2026-11-20_idea", "--from", "tiny/1")
    script = project.root / IDEA / "train_gpt.py"
    script.write_text(script.read_text().replace("n / 2", "n / 1.9"))
    assert "froze train_gpt.py" in do(project, "run", IDEA, "--runs", "1", status=1)
    assert project.ends() == ["finished"] * 2
    script.write_text(script.read_text().replace("n / 1.9", "n / 1.8"))
    said = do(project, "run", IDEA, status=2)
    assert "changed since its 1 run" in said


def test_runs_of_an_unedited_copy_are_its_own_and_those_of_an_original_are_not(
    project: Small, upstream: Upstream
) -> None:
    do(project, "new", "2026-11-20_idea", "--from", "tiny/1")
    do(project, "run", IDEA, "--runs", "1", status=1)
    script = project.root / IDEA / "train_gpt.py"
    script.write_text(script.read_text() + "# edited\n")
    assert "changed since its 1 run" in do(project, "run", IDEA, status=2)
    do(project, "new", "2026-11-20_other", "--from", "tiny/2", "--checkout", str(upstream.folder))
    other = project.root / OTHER
    entry = {"kind": "start", "at": "2026-11-20T00:00:00Z", "script": sha256(GONE.encode()), "run": "r"}
    entry |= {"sitting": "s", "seed": None, "before": "0" * 64}
    with (project.root / ".runs" / "ledger.jsonl").open("a") as ledger:
        ledger.write(json.dumps(entry) + "\n")
    (other / "train_gpt.py").write_text(GONE + "# edited\n")
    assert "froze train_gpt.py" in (draft.freeze_for_run(Catalog(upstream.project), str(other)) or "")
