"""Find everything that a pull request with a submission would be refused for, at once, without torch or a GPU.

The folder is untrusted input: nothing in it is executed, no link is followed, and every size is checked before a byte is
read. Where it has runs, they are judged too.
"""

import datetime
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.catalog import naming
from harness.catalog.lookup import Catalog
from harness.catalog.manifests import LOCK, MANIFEST, MAX_FILE_BYTES, README, REFRESH
from harness.catalog.subjects import Subject
from harness.core.constraints import is_visible
from harness.core.errors import HarnessError, Problem
from harness.core.judgement import Verdict
from harness.evidence.contents import Evidence
from harness.run import judging
from harness.store.files import sha256_file
from harness.store.layout import Project, is_slug
from harness.store.ledger import Ledger
from harness.store.packs import LEDGER, PACK, RUNS, check_pack, read_pack_ledger
from harness.store.records import SCRIPT, script_files
from harness.store.scrub import find_private
from harness.submission import admissible
from harness.submission.admissible import MOST_FILES
from harness.submission.draft import TEMPLATE

LONGEST_NAME = 80  # letters of a file name that are shown


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking one submission or record."""

    name: str  # "submissions/2026-12-01_my-idea"
    problems: tuple[Problem, ...]
    subject: Subject | None  # None where its manifest cannot be read
    gathered: Evidence | None  # None where it has no run, or its evidence cannot be read
    verdict: Verdict | None
    no_record: bool | None = None  # valid, and no record; None where that is not known here

    @property
    def in_order(self) -> bool:
        """Return whether nothing speaks against it; one without a run yet is in order so far."""
        return not self.problems and (self.verdict is None or self.verdict.outcome == "pass")

    @property
    def exit_status(self) -> int:
        """0 in order; 1 a problem, another verdict than pass, or valid and no record; 2 where it cannot be judged."""
        if self.subject is None and self.verdict is None:
            return 2
        return 0 if self.in_order and not self.no_record else 1


def judge(catalog: Catalog, name: str) -> Checked:
    """Check what a name means: a submission's folder, or a record by its evidence.

    Raises HarnessError for a name that means nothing, and for a record that no evidence is known of.
    """
    folder = naming.place(catalog.project, name)
    if folder is not None and not (folder / "record.yaml").is_file():
        if naming.inside_records(catalog.project, folder) is not None:
            raise naming.unknown(catalog.project, name)
        return check(catalog, folder)
    named = catalog.find(name)
    if named.record is None:
        return check(catalog, named.folder)
    past = catalog.past(named)
    if past is not None:
        gathered, verdict = judging.verify_past(catalog.project, past)
        return Checked(named.name, (), None, gathered, verdict, False)
    subject = catalog.subject(named)
    gathered, verdict = judging.verify(catalog, subject)
    return Checked(subject.name, (), subject, gathered, verdict, False)


def check(catalog: Catalog, folder: Path) -> Checked:
    """Check one submission's folder; raises nothing, whatever somebody put there."""
    project = catalog.project
    name = project.show(folder)
    if (folder / "record.yaml").is_file():
        todo = f"judge it by its evidence: speedrun check {name}"
        return Checked(name, (Problem(name, "is a record, not a submission", todo),), None, None, None)
    if not folder.is_symlink() and not folder.exists():
        return Checked(name, naming.unknown(project, name).problems, None, None, None)
    if folder.is_symlink() or not folder.is_dir():
        return Checked(name, (Problem(name, "is not a folder", "make one with `speedrun new NAME`"),), None, None, None)
    problems = name_problems(name, folder.name)
    subject: Subject | None = None
    unread: tuple[Problem, ...] = ()
    try:
        subject = catalog.submission(folder)
    except HarnessError as error:
        unread = error.problems
    listed, file_problems = list_files(folder, name)
    problems += [*file_problems, *unread]
    if subject is not None:
        problems += unknown_files(subject, listed, name)
        problems += reference_problems(catalog, subject)
        problems += copy_problems(project, subject)
        problems += admissible.problems(subject)
    problems += private_problems(folder, listed, name)
    problems += readme_problems(project, folder, listed, name)
    pack_problems = evidence_problems(folder, name)
    problems += pack_problems
    gathered, verdict = None, None
    if subject is not None and not pack_problems and not file_problems:
        try:
            if (folder / PACK / LEDGER).is_file() or Ledger(project.ledger).chain(subject.chain).has_judged:
                gathered, verdict = judging.verify(catalog, subject)
                if earlier := earlier_pack_problems(project, subject):
                    problems, gathered, verdict = [*problems, *earlier], None, None
        except HarnessError as error:
            problems += error.problems
    if subject is not None and verdict is None:  # else the verdict says it
        for found in admissible.objections(catalog, subject):
            if found.outcome == "fail" and found.rule != "R2":  # what R2 looks at is named by file already
                problems.append(Problem(name, f"would fail {found.rule}: {found.text}", "change it first"))
    lost = (
        None
        if subject is None or gathered is None or verdict is None
        else judging.no_record(catalog, subject, gathered, verdict)
    )
    return Checked(name, tuple(dict.fromkeys(problems)), subject, gathered, verdict, lost)


def name_problems(where: str, slug: str) -> list[Problem]:
    """Check the name of the folder and the date in it."""
    if not is_slug(slug):
        what = f"{_shown(slug)} is not of the form YYYY-MM-DD_kebab-name"
        return [Problem(ascii(where)[1:-1][:200], what, "rename the folder; use a to z, digits and '-'")]
    try:
        day = datetime.date.fromisoformat(slug[:10])
    except ValueError:
        return [Problem(where, f"{slug[:10]} is not a date", "rename the folder")]
    # A day of grace: the submitter's day may have begun where ours has not.
    if day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
        return [Problem(where, f"{slug[:10]} is in the future", "rename the folder")]
    return []


def list_files(folder: Path, name: str) -> tuple[list[str], list[Problem]]:
    """List the plain files at the top of the folder; everything else there but evidence/ is a problem."""
    listed, problems = [], []
    for number, entry in enumerate(sorted(os.scandir(folder), key=lambda entry: entry.name)):
        where = f"{name}/{_shown(entry.name)}"
        if number >= MOST_FILES:
            problems.append(Problem(name, f"has more than {MOST_FILES} files", "a submission is a script and a README"))
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
            problems.append(Problem(where, "is a link, a folder or a special file", "put plain files there"))
    return listed, problems


def unknown_files(subject: Subject, listed: list[str], name: str) -> list[Problem]:
    """List the files that were not frozen."""
    known = {*subject.files, MANIFEST, LOCK, README}
    todo = f"freeze it with `{REFRESH} {name}`, or remove it"
    return [
        Problem(f"{name}/{_shown(file)}", "is not among the frozen files", todo) for file in listed if file not in known
    ]


def reference_problems(catalog: Catalog, subject: Subject) -> list[Problem]:
    """Check that the parent is a record, the ruleset the track's newest, and the name not in use."""
    assert subject.manifest is not None
    problems, where = admissible.closed(catalog.project, subject), f"{subject.name}/{MANIFEST}"
    if not subject.entry.endswith(".py"):
        problems.append(Problem(where, f"`entry` is {subject.entry!a}", "name a Python script"))
    if subject.manifest.parent is not None:
        try:
            if catalog.record(subject.manifest.parent).track != subject.track.name:
                what = f"`parent` {subject.manifest.parent} belongs to another track"
                problems.append(Problem(where, what, "name a record of the submission's track"))
        except HarnessError:
            what = f"`parent` {subject.manifest.parent} is not a record"
            problems.append(Problem(where, what, "name one like short/12, or null"))
    taken = catalog.project.records / subject.track.name / subject.folder.name
    if taken.exists():
        problems.append(
            Problem(subject.name, f"{catalog.project.show(taken)} has this name already", "rename the folder")
        )
    return problems


def copy_problems(project: Project, subject: Subject) -> list[Problem]:
    """Refuse a script that is a record's, byte for byte: its runs would be a claim about the work of another."""
    mine = sorted(subject.files.values())
    for folder in sorted(project.records.glob(f"*/*/{SCRIPT}")):
        if mine == sorted(sha256_file(path) for path in script_files(folder)):
            what = f"is the script of {project.show(folder.parent)}"
            return [Problem(f"{subject.name}/{subject.entry}", what, "change it first")]
    return []


def evidence_problems(folder: Path, name: str) -> list[Problem]:
    """Find evidence that `speedrun pack` did not write: other files, no ledger, runs that are not in the ledger."""
    pack, where = folder / PACK, f"{name}/{PACK}"
    if pack.is_symlink() or not pack.is_dir():  # none yet; a link is named among the files
        return []
    try:
        check_pack(pack, where)
        if not (pack / LEDGER).is_file():
            return [Problem(where, "holds evidence without its ledger", "pack it again")]
        chain = read_pack_ledger(pack, where)
    except HarnessError as error:
        return list(error.problems)
    unknown = sorted({path.name for path in (pack / RUNS).glob("*")} - chain.starts.keys())
    return [
        Problem(f"{where}/{RUNS}/{run}", "is not a run of the ledger", "pack the submission again") for run in unknown
    ]


def earlier_pack_problems(project: Project, subject: Subject) -> list[Problem]:
    """Say that a pack holds runs of an earlier script alone; nearly every rule would fail, and none would say so."""
    pack, where = subject.folder / PACK, f"{subject.name}/{PACK}"
    if not (pack / LEDGER).is_file():
        return []
    whole = read_pack_ledger(pack, where)
    own = whole.of_script(subject.chain)
    if whole.is_old or own.counted or not whole.counted:
        return []
    made = Ledger(project.ledger).chain(subject.chain).has_judged
    again = f"pack those of this one: speedrun pack {subject.name}"
    todo = again if made else f"make runs of this one (speedrun run {subject.name}), then {again}"
    what = f"holds runs of an earlier script alone, none of {subject.entry} as it is now ({subject.script_sha256[:12]})"
    return [Problem(where, what, todo)]


def private_problems(folder: Path, listed: list[str], name: str) -> list[Problem]:
    """Find access tokens, private keys and home folders in what is going to be public."""
    problems = []
    for file in listed:
        for line, what in find_private((folder / file).read_bytes()):
            problems.append(Problem(f"{name}/{_shown(file)}:{line}", f"contains {what}", "remove it"))
    return problems


def readme_problems(project: Project, folder: Path, listed: list[str], name: str) -> list[Problem]:
    """Find a README that is missing, or that leaves a question of the template's README open."""
    where = f"{name}/{README}"
    if README not in listed:
        todo = "answer there what changed, why it is faster and how it was measured"
        return [Problem(where, "is missing", todo)]
    template = project.submissions / TEMPLATE / README
    asked = answers_of(template.read_text("utf-8")) if template.is_file() else {}
    answers = answers_of((folder / README).read_text("utf-8", "replace"))
    if not asked and not any(map(is_visible, answers.values())):
        return [Problem(where, "has no answers", "say there what changed and why it is faster")]
    return [
        Problem(where, f"does not answer “{question}”", "write the answer below that heading, outside of any comment")
        for question in asked
        if question and not is_visible(answers.get(question, ""))
    ]


def answers_of(page: str) -> dict[str, str]:
    """Return the text below each `## heading` of a page without comments; "" is the heading of what comes before."""
    answers, heading = {"": ""}, ""
    for line in re.sub(r"<!--.*?(-->|\Z)", "", page, flags=re.DOTALL).splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
            answers.setdefault(heading, "")
        elif not line.startswith("# "):
            answers[heading] += f"{line}\n"
    return answers


def _shown(name: str) -> str:
    """Return a file name of somebody else with everything but printable ASCII escaped, cut to a sensible length."""
    return ascii(name)[1:-1][:LONGEST_NAME]
