"""Everything that a pull request with a submission would be refused for, found at once, without torch and without a GPU.

A stranger's folder in, a list of problems and (where there are runs) a verdict out. Nothing in the folder is executed,
no link is followed, and every size is looked at before a byte is read.
"""

from __future__ import annotations

import datetime
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from harness import evidence, subject
from harness.errors import HarnessError, Problem
from harness.manifest import MANIFEST, MAX_FILE_BYTES
from harness.schema import Verdict
from harness.store.layout import Project, is_slug
from harness.store.ledger import Ledger
from harness.store.pack import LEDGER, PACK, check_pack
from harness.store.records import find_record
from harness.store.scrub import find_private
from harness.subject import Subject
from harness.track import current_ruleset
from harness.verdict import judge
from harness.verdict.base import Evidence

README = "README.md"
MOST_FILES = 64
SHOWN = 80  # letters of a stranger's file name


@dataclass(frozen=True, slots=True)
class Checked:
    """What is to be said about one submission."""

    name: str  # "submissions/2026-12-01_my-idea"
    problems: tuple[Problem, ...]
    found: Subject | None  # None where its manifest cannot be read
    gathered: Evidence | None  # None where it has no run, or its evidence cannot be read
    verdict: Verdict | None

    @property
    def in_order(self) -> bool:
        """Whether nothing speaks against it; one without a run yet is in order as far as it goes."""
        return not self.problems and (self.verdict is None or self.verdict.outcome == "pass")


def check(project: Project, folder: Path) -> Checked:
    """Check one submission's folder; raises nothing for what a stranger may have put there."""
    name = project.show(folder)
    if folder.is_symlink() or not folder.is_dir():
        return Checked(name, (Problem(name, "is no folder", "make one with `speedrun new NAME`"),), None, None, None)
    problems = name_problems(name, folder.name)
    listed, file_problems = list_files(folder, name)
    problems += file_problems
    found: Subject | None = None
    try:
        found = subject.submission(project, folder)
    except HarnessError as error:
        problems += error.problems
    if found is not None:
        problems += unknown_files(found, listed, name)
        problems += reference_problems(project, found)
    problems += private_problems(folder, listed, name)
    problems += readme_problems(folder, listed, name)
    gathered, verdict = None, None
    if found is not None:
        try:
            if (folder / PACK).is_dir() and not (folder / PACK).is_symlink():
                check_pack(folder / PACK, f"{name}/{PACK}")
            if not file_problems and has_runs(project, found):
                gathered = evidence.gather(project, found)
                verdict = judge(gathered)
        except HarnessError as error:
            problems += error.problems
    return Checked(name, tuple(dict.fromkeys(problems)), found, gathered, verdict)


def has_runs(project: Project, found: Subject) -> bool:
    """Whether there is a pack, or a run on this machine."""
    return (found.folder / PACK / LEDGER).is_file() or bool(Ledger(project.ledger).chain(found.script_sha256))


def name_problems(where: str, slug: str) -> list[Problem]:
    """What is wrong with the name of the folder and the date in it."""
    if not is_slug(slug):
        said = f"{ascii(slug)[1:-1][:SHOWN]} is no YYYY-MM-DD_kebab-name"
        return [Problem(ascii(where)[1:-1][:200], said, "rename the folder; use a to z, digits and '-'")]
    try:
        day = datetime.date.fromisoformat(slug[:10])
    except ValueError:
        return [Problem(where, f"{slug[:10]} is no date", "rename the folder")]
    # A day of grace: the submitter's day may have begun where ours has not.
    if day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
        return [Problem(where, f"{slug[:10]} is in the future", "rename the folder")]
    return []


def list_files(folder: Path, name: str) -> tuple[list[str], list[Problem]]:
    """The plain files at the top of the folder, and what else is there that may not be."""
    listed, problems = [], []
    for number, entry in enumerate(sorted(os.scandir(folder), key=lambda entry: entry.name)):
        where = f"{name}/{ascii(entry.name)[1:-1][:SHOWN]}"
        if number >= MOST_FILES:
            problems.append(
                Problem(name, f"holds more than {MOST_FILES} files", "a submission is a script and a README")
            )
            break
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            if status.st_nlink > 1:
                problems.append(Problem(where, "is a hard link", "copy the file itself there"))
            elif status.st_size > MAX_FILE_BYTES:
                problems.append(Problem(where, f"has {status.st_size:,} bytes", f"keep it below {MAX_FILE_BYTES:,}"))
            else:
                listed.append(entry.name)
        elif not (stat.S_ISDIR(status.st_mode) and entry.name == PACK):
            problems.append(Problem(where, "is a link, a folder or no regular file", "put plain files there"))
    return listed, problems


def unknown_files(found: Subject, listed: list[str], name: str) -> list[Problem]:
    """Files that the manifest does not name."""
    known = {*found.files, MANIFEST, README}
    return [
        Problem(f"{name}/{ascii(file)[1:-1][:SHOWN]}", "is not in the manifest", "list it in `files`, or take it out")
        for file in listed
        if file not in known
    ]


def reference_problems(project: Project, found: Subject) -> list[Problem]:
    """A parent that is no record, rules that are not the track's newest, a name that is taken."""
    assert found.manifest is not None
    problems, where = [], f"{found.name}/{MANIFEST}"
    newest = current_ruleset(found.track).id
    if found.ruleset.id != newest:
        said = f"`ruleset` is {found.ruleset.id}; new submissions are judged by {newest}"
        problems.append(Problem(where, said, f"write `ruleset: {newest}` before the first run"))
    if not found.entry.endswith(".py"):
        problems.append(Problem(where, f"`entry` is {found.entry!a}", "name a Python script"))
    if found.manifest.parent is not None:
        try:
            parent = find_record(project, found.manifest.parent)
            if parent.parent.name != found.track.name:
                problems.append(Problem(where, f"`parent` {found.manifest.parent} is of another track", "name its own"))
        except HarnessError:
            said = f"`parent` {found.manifest.parent} is no record"
            problems.append(Problem(where, said, "name one like short/12, or null"))
    taken = project.records / found.track.name / found.folder.name
    if taken.exists():
        problems.append(Problem(found.name, f"{project.show(taken)} has this name already", "rename the folder"))
    return problems


def private_problems(folder: Path, listed: list[str], name: str) -> list[Problem]:
    """Access tokens, private keys and home folders in what is going to be public."""
    problems = []
    for file in listed:
        for line, what in find_private((folder / file).read_bytes()):
            problems.append(Problem(f"{name}/{ascii(file)[1:-1][:SHOWN]}:{line}", f"holds {what}", "take it out"))
    return problems


def readme_problems(folder: Path, listed: list[str], name: str) -> list[Problem]:
    """A README that is missing, or whose questions nobody answered."""
    if README not in listed:
        return [
            Problem(
                f"{name}/{README}", "is missing", "answer there what changed, why it is faster and how it was measured"
            )
        ]
    text = (folder / README).read_bytes()
    if b"<!-- what:" in text or b"<!-- why:" in text or b"<!-- how:" in text:
        return [Problem(f"{name}/{README}", "has an unanswered question", "write the answer where `<!--` stands")]
    return []
