"""What a submitter's folder must be before a maintainer looks at it: packed and checked.

`pack` copies every run of the script from this machine's ledger into the submission's folder; `check` says everything
that a pull request with this folder would be refused for.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from harness import evidence
from harness.errors import Problem, StoreError
from harness.manifest import MANIFEST
from harness.schema import Verdict
from harness.store import runs
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
