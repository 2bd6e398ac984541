"""A systems claim held against its parent's runs on the same machine: real runs, packed, and packs that were tampered with."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from harness.store.files import compress, read_kept
from tests.faults.projects import make_project
from tests.flow.repositories import ANSWERS

PARENT, CHILD = "2026-11-20_parent", "2026-11-21_child"
BODY = """\
import pathlib
number = len(list((pathlib.Path(os.getcwd()).parents[2] / ".runs").glob("*/run.json")))
for n in range(5): step(n, 5, 5.0 if n == 0 else None)
step(5, 5, LOSSES[(number - 1) % 3] + SEED % 9973 / 1e7)
time.sleep(0.1)
"""


def test_a_systems_claim_rests_on_all_of_its_parents_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", confined=False)
    track = project.root / "tracks" / "tiny.yaml"
    track.write_text(track.read_text().replace("min_runs: 3}", "min_runs: 3, systems_margin: 1.0}"))
    for name, losses in ((PARENT, "[2.90, 2.901, 2.902]"), (CHILD, "[2.60, 2.99, 2.99]")):
        folder = project.submit(BODY.replace("LOSSES", losses), name)
        (folder / "README.md").write_text(ANSWERS)
        if name == CHILD:
            manifest = folder / "manifest.yaml"
            manifest.write_text(manifest.read_text().replace("claim: ml\n", "claim: systems\nparent: tiny/1\n"))
        done = project.run("run", f"submissions/{name}")
        is_record = name != CHILD  # which is valid, and needs as many steps
        assert done.returncode == (0 if is_record else 1), done.stderr
        assert project.run("pack", f"submissions/{name}").returncode == 0
        verb, *flags = ("accept",) if is_record else ("check", "--all")
        done = project.run(verb, f"submissions/{name}", *flags)
        assert done.returncode == (0 if is_record else 1), done.stderr
    assert "S3  pass" in done.stdout
    assert "the parent's 2.901" in done.stdout

    baseline = folder / "evidence" / "baseline"
    kept = sorted(path for path in baseline.iterdir() if path.is_dir())
    assert len(kept) == 3
    for number, (change, said) in enumerate(
        (
            (lambda: shutil.rmtree(kept[0]), f"the run {kept[0].name} of records/tiny/{PARENT} is missing"),
            (lambda: worse(kept[0] / "log.txt"), "is not the one that the parent's ledger hashed"),
            (lambda: shutil.rmtree(kept[1]), f"the run {kept[1].name} of the parent is missing or too many"),
            (
                lambda: faster(kept[2] / "clock.csv"),
                f"clock.csv of {kept[2].name} is not the one that the ledger hashed",
            ),
            (
                lambda: (baseline / "ledger.jsonl").write_bytes(b""),
                "does not hold the hashes of the ledgers that are there",
            ),
        )
    ):
        shutil.copytree(folder / "evidence", tmp_path / f"kept-{number}")
        change()
        done = project.run("check", f"submissions/{CHILD}")
        assert done.returncode == 1
        assert said in " ".join(done.stdout.split())
        shutil.rmtree(folder / "evidence")
        shutil.copytree(tmp_path / f"kept-{number}", folder / "evidence")
    done = project.run("accept", f"submissions/{CHILD}")
    assert done.returncode == 0, done.stderr
    judged = project.run("check", "tiny/2", "--all")
    assert judged.returncode == 0, judged.stderr
    assert "S3  pass" in judged.stdout
    assert [run["role"] for run in runs_of(project.root / "records" / "tiny" / CHILD)] == ["own"] * 3 + ["baseline"] * 3


def runs_of(record: Path) -> list[dict[str, str]]:
    with (record / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def worse(log: Path) -> None:
    """Raise the parent's final loss."""
    raw = read_kept(log).replace(b"val_loss:2.9", b"val_loss:3.9")
    log.with_name("log.txt.xz").write_bytes(compress(raw))


def faster(clock: Path) -> None:
    """Let the parent's run end sooner."""
    raw = read_kept(clock)
    clock.with_name("clock.csv.xz").write_bytes(compress(raw.replace(b"exit,", b"exit,0")))
