"""Everything that a pull request with a submission would be refused for, found at once, without torch and without a GPU.

A stranger's folder in, a list of problems and (where there are runs) a verdict out. Nothing in the folder is executed,
no link is followed, and every size is looked at before a byte is read.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.catalog import subjects
from harness.catalog.manifests import LOCK, MANIFEST, MAX_FILE_BYTES, README, REFRESH
from harness.catalog.subjects import Subject
from harness.catalog.tracks import current_ruleset
from harness.core.constraints import is_visible
from harness.core.errors import HarnessError, Problem
from harness.core.judgement import Verdict
from harness.evidence import gather
from harness.evidence.contents import Evidence
from harness.store.files import sha256_file
from harness.store.layout import Project, is_slug
from harness.store.ledger import Ledger, read_chain
from harness.store.packs import LEDGER, PACK, RUNS, check_pack
from harness.store.records import SCRIPT, find_record, script_files
from harness.store.scrub import find_private
from harness.verdict import judge

TEMPLATE = "_template"
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
    if (folder / "record.yaml").is_file():
        todo = f"judge it by its evidence: speedrun verify {name}"
        return Checked(name, (Problem(name, "is a record, no submission", todo),), None, None, None)
    if folder.is_symlink() or not folder.is_dir():
        return Checked(name, (Problem(name, "is no folder", "make one with `speedrun new NAME`"),), None, None, None)
    problems = name_problems(name, folder.name)
    found: Subject | None = None
    try:
        found = subjects.submission(project, folder)
    except HarnessError as error:
        unread = error.problems
    else:
        unread = ()
    listed, file_problems = list_files(folder, name)
    problems += [*file_problems, *unread]
    if found is not None:
        problems += unknown_files(found, listed, name)
        problems += reference_problems(project, found)
        problems += copy_problems(project, found)
    problems += private_problems(folder, listed, name)
    problems += readme_problems(project, folder, listed, name)
    pack_problems = evidence_problems(folder, name)
    problems += pack_problems
    gathered, verdict = None, None
    if found is not None and not pack_problems:
        try:
            if not file_problems and has_runs(project, found):
                gathered = gather.gather(project, found)
                verdict = judge(gathered)
        except HarnessError as error:
            problems += error.problems
    return Checked(name, tuple(dict.fromkeys(problems)), found, gathered, verdict)


def has_runs(project: Project, found: Subject) -> bool:
    """Whether there is a pack, or a run on this machine."""
    return (found.folder / PACK / LEDGER).is_file() or bool(Ledger(project.ledger).chain(found.chain))


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
    """Files that were not frozen."""
    known = {*found.files, MANIFEST, LOCK, README}
    todo = f"freeze it with `{REFRESH} {name}`, or take it out"
    return [
        Problem(f"{name}/{ascii(file)[1:-1][:SHOWN]}", "is not among the frozen files", todo)
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


def copy_problems(project: Project, found: Subject) -> list[Problem]:
    """A script that is a record's, byte for byte: its runs would be a claim about the work of another."""
    mine = sorted(found.files.values())
    for folder in sorted(project.records.glob(f"*/*/{SCRIPT}")):
        if mine == sorted(sha256_file(path) for path in script_files(folder)):
            said = f"is the script of {project.show(folder.parent)}"
            return [Problem(f"{found.name}/{found.entry}", said, "change it first")]
    return []


def evidence_problems(folder: Path, name: str) -> list[Problem]:
    """Evidence that `speedrun pack` did not write: other files, no ledger, runs that the ledger does not know."""
    pack, where = folder / PACK, f"{name}/{PACK}"
    if pack.is_symlink() or not pack.is_dir():  # none yet; a link is named among the files
        return []
    try:
        check_pack(pack, where)
        if not (pack / LEDGER).is_file():
            return [Problem(where, "holds evidence without its ledger", "pack it again")]
        entries = read_chain((pack / LEDGER).read_bytes(), f"{where}/{LEDGER}")
    except HarnessError as error:
        return list(error.problems)
    known = {entry.data["run"] for entry in entries if entry.data["kind"] == "start"}
    held = sorted(path.name for path in (pack / RUNS).glob("*"))
    return [
        Problem(f"{where}/{RUNS}/{run}", "is no run of the ledger", "pack the submission again")
        for run in held
        if run not in known
    ]


def private_problems(folder: Path, listed: list[str], name: str) -> list[Problem]:
    """Access tokens, private keys and home folders in what is going to be public."""
    problems = []
    for file in listed:
        for line, what in find_private((folder / file).read_bytes()):
            problems.append(Problem(f"{name}/{ascii(file)[1:-1][:SHOWN]}:{line}", f"holds {what}", "take it out"))
    return problems


def readme_problems(project: Project, folder: Path, listed: list[str], name: str) -> list[Problem]:
    """A README that is missing, or that leaves a question of the template's README open."""
    where = f"{name}/{README}"
    if README not in listed:
        todo = "answer there what changed, why it is faster and how it was measured"
        return [Problem(where, "is missing", todo)]
    template = project.submissions / TEMPLATE / README
    asked = answers_of(template.read_text("utf-8")) if template.is_file() else {}
    answers = answers_of((folder / README).read_text("utf-8", "replace"))
    if not asked and not any(map(is_visible, answers.values())):
        return [Problem(where, "says nothing", "say there what changed and why it is faster")]
    return [
        Problem(where, f"does not answer “{question}”", "write it below that heading, outside of any comment")
        for question in asked
        if question and not is_visible(answers.get(question, ""))
    ]


def answers_of(page: str) -> dict[str, str]:
    """What stands below each `## heading` of a page besides comments; "" is the heading of what comes before."""
    answers, heading = {"": ""}, ""
    for line in re.sub(r"<!--.*?(-->|\Z)", "", page, flags=re.DOTALL).splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
            answers.setdefault(heading, "")
        elif not line.startswith("# "):
            answers[heading] += f"{line}\n"
    return answers
