"""From a judged submission to a record: pack the evidence, then accept it.

`pack` copies every run of the script from this machine's ledger into the submission's folder. `accept` is the
maintainer's: it judges the pack, numbers the record and moves the folder; nothing is typed that a log already holds.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness import evidence, stats, yamlfile
from harness.errors import Problem, StoreError
from harness.manifest import MANIFEST
from harness.schema import Claimed, Manifest, Metrics, Record, RecordRun, Verdict
from harness.store import records, runs
from harness.store.files import write_atomic
from harness.store.layout import Project, is_slug
from harness.store.ledger import Ledger
from harness.store.pack import LEDGER, PACK, Baseline, write_pack
from harness.subject import Subject
from harness.verdict import judge
from harness.verdict.base import Evidence


def pack(project: Project, found: Subject) -> int:
    """Write the evidence of all counted runs of a submission's script into its folder; how many runs there are.

    Raises StoreError where the ledger of this machine knows no run of the script.
    """
    chain = Ledger(project.ledger).chain(found.script_sha256)
    ids = evidence.started(chain)
    if not ids:
        raise StoreError.at(found.name, "has no run on this machine", f"make some: speedrun run {found.name}")
    folders = [runs.run_folder(project, run_id) for run_id in ids]
    write_pack(found.folder, chain, folders, found.script, baseline_of(project, found, folders))
    return len(ids)


def baseline_of(project: Project, found: Subject, folders: Sequence[Path]) -> Baseline | None:
    """The last finished runs of the parent on the machine of these runs, as many as there are of these."""
    machines = {runs.read_run_file(folder).machine.fingerprint for folder in folders if folder.is_dir()}
    parent, held = evidence.baseline_folders(project, found)
    same = [folder for folder in held if {runs.read_run_file(folder).machine.fingerprint} == machines]
    return None if parent is None or not same else Baseline(parent.script, tuple(same[-len(folders) :]))


def check_folder(found: Subject) -> None:
    """Raise StoreError with everything that a pull request with this folder would be refused for."""
    problems = []
    name = found.folder.name
    if found.manifest is None:
        problems.append(Problem(found.name, "is no submission", "check takes a folder under submissions/"))
    if not is_slug(name):
        problems.append(Problem(found.name, "is no YYYY-MM-DD_kebab-name", "rename the folder"))
    else:
        problems += _date_problems(found.name, name[:10])
    known = {*found.files, MANIFEST, "README.md", PACK}
    for path in sorted(found.folder.iterdir()):
        if path.name not in known:
            problems.append(Problem(found.name, f"holds {ascii(path.name)[:80]}", "list it in `files`, or take it out"))
    if problems:
        raise StoreError(*problems)


def _date_problems(where: str, date: str) -> list[Problem]:
    try:
        day = datetime.date.fromisoformat(date)
    except ValueError:
        return [Problem(where, f"{date} is no date", "rename the folder")]
    # A day of grace: the submitter's day may have begun where ours has not.
    if day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
        return [Problem(where, f"{date} is in the future", "rename the folder")]
    return []


def judge_if_run(project: Project, found: Subject) -> tuple[Evidence, Verdict] | None:
    """The verdict over a submission's pack, else over its runs on this machine; None where it has neither."""
    has_pack = (found.folder / PACK / LEDGER).is_file()
    if not has_pack and not Ledger(project.ledger).chain(found.script_sha256):
        return None
    gathered = evidence.gather(project, found)
    return gathered, judge(gathered)


def accept(project: Project, found: Subject) -> tuple[Verdict, Record | None]:
    """Judge a packed submission and, if it passes, make it the track's next record.

    The submission's folder becomes the record's; the verdict comes back with None where it is not pass.
    """
    manifest = _acceptable(found)
    gathered = evidence.gather(project, found)
    verdict = judge(gathered)
    if verdict.outcome != "pass":
        return verdict, None
    record = make_record(project, found, manifest, gathered.runs)
    folder = project.records / record.track / record.slug
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "script").mkdir(parents=True)
    for name in found.files:
        shutil.copyfile(found.files_folder / name, aside / "script" / name)
    write_atomic(aside / "script" / "script.yaml", script_yaml(found, record))
    if (found.folder / "README.md").is_file():
        shutil.copyfile(found.folder / "README.md", aside / "README.md")
    shutil.copytree(found.folder / PACK, aside / PACK)
    records.write_record(aside, record, canonical_curve(gathered.runs))
    aside.rename(folder)
    shutil.rmtree(found.folder)
    return verdict, record


def _acceptable(found: Subject) -> Manifest:
    problems = []
    if found.manifest is None:
        problems.append(Problem(found.name, "is no submission", "accept takes a folder under submissions/"))
    elif not (found.folder / PACK).is_dir():
        problems.append(Problem(found.name, "holds no evidence", f"speedrun pack {found.name}"))
    if not is_slug(found.folder.name):
        problems.append(Problem(found.name, "is no YYYY-MM-DD_kebab-name", "rename the folder"))
    if found.track.metric == "train_time":
        problems.append(
            Problem(
                found.name,
                f"{found.track.name} needs a same-machine comparison, and accept reads none yet",
                "show it with `speedrun compare RECORD SUBMISSION`",
            )
        )
    if problems:
        raise StoreError(*problems)
    assert found.manifest is not None
    return found.manifest


def make_record(project: Project, found: Subject, manifest: Manifest, judged: Sequence[Metrics]) -> Record:
    """The record that the judged runs are, every figure computed from them."""
    numbers = [record.number for record in records.read_records(project) if record.track == found.track.name]
    losses = [run.val_loss for run in judged if run.val_loss is not None]
    times = [run.train_time_s for run in judged if run.train_time_s is not None]
    by_time = found.track.metric == "train_time"
    return Record(
        track=found.track.name,
        slug=found.folder.name,
        ruleset=found.ruleset.id,
        number=max(numbers, default=0) + 1,
        kind="record",
        retimes=None,
        date=datetime.date.fromisoformat(found.folder.name[:10]),
        title=manifest.title,
        contributors=manifest.contributors,
        pull_request=None,
        claimed=Claimed(
            train_time_s=round(stats.mean(times), 3) if by_time else None,
            steps=None if by_time else judged[0].step,
            val_loss=round(stats.mean(losses), 5),
            runs=len(judged),
        ),
        original=None,
        notes=manifest.notes,
        withdrawn=None,
        runs=tuple(record_run(run, found) for run in judged),
        has_evidence=True,
    )


def record_run(run: Metrics, found: Subject) -> RecordRun:
    """One row of runs.csv."""
    return RecordRun(
        id=run.run_id,
        role="own",
        step=run.step,
        metric="val_loss",
        value=run.val_loss,
        train_time_s=run.train_time_s,
        gpu_name=run.log.gpu_name,
        gpu_count=run.log.gpu_count,
        driver=run.machine.driver if run.machine else None,
        torch=run.log.torch,
        started_at=run.log.started_at,
        script_sha256=found.script_sha256,
        note=None if run.machine is None or run.machine.gpus else f"{run.machine.cpu_count} cores of {run.machine.cpu}",
    )


def canonical_curve(judged: Sequence[Metrics]) -> tuple[tuple[int, float, float | None], ...]:
    """The curve of the run whose final loss is the median one."""
    ranked = sorted((run for run in judged if run.val_loss is not None), key=lambda run: (run.val_loss, run.run_id))
    return ranked[len(ranked) // 2].log.curve


def script_yaml(found: Subject, record: Record) -> str:
    """The script.yaml of an accepted record: its script is the original."""
    return yamlfile.dump(
        {
            "schema": 1,
            "origin": "original",
            "of": f"{record.track}/{record.number}",
            "entry": found.entry,
            "files": dict(found.files),
            "train_tokens": found.train_tokens,
        }
    )
