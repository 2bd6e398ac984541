"""Judge what changed between two commits: the commands that the workflows call, and that anybody can run in a clone.

    python .github/scripts/changes.py pull-request BASE HEAD    a pull request from HEAD onto BASE
    python .github/scripts/changes.py append-only BEFORE AFTER  no file of a record changed or went away, but for a
                                                                script that no stored run names by its hash

Both read git's objects and never check HEAD out. The folder of a submission is written, as plain files, into a
temporary folder beside the tracks and records of this checkout, and the harness of this checkout judges it there:
nothing that was submitted is executed. What is added to records/ is written again and compared (`written.py`); for an
import that fetches the upstream repository, or reads a clone of it that is given as a third argument. Exit status: 0 in
order or for a maintainer's review, 1 refused, 2 unusable commits.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import written
from commits import (
    EXECUTABLE,
    LINK,
    ODD_NAME,
    PLAIN,
    ROOT,
    Change,
    Unusable,
    changes,
    commit,
    content,
    contents,
    files,
    named,
    oddities,
    parting,
    shown,
)
from written import BOARD, BOARD_FOLDER, ENVIRONMENTS, RECORDS, SUBMISSIONS

TEMPLATES = ("_template", "_smoke")  # scripts to start from, which nobody submits
NAME = (
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}"  # of a file or folder in a submission; no dot in front, so no .. and no .git
)
SCRIPT = re.compile(rf"({RECORDS}/[^/]+/[^/]+/script)/")
STORED = re.compile(rf"{RECORDS}/|{SUBMISSIONS}/[^/]+/evidence/")  # where something of a run may be kept
MAX_FILES, MAX_BYTES = 2_000, 64 << 20
MOST_TOLD = 100  # lines of each kind in a report
MOST_SUMMARY_BYTES = 900_000  # a job's summary of more than 1 MiB is not shown at all
NOTHING = "0" * 40  # what GitHub calls the commit before a branch's first one
# Text that decides nothing; all else outside of records/, submissions/ and the board is for a maintainer to review.
TEXT_FOLDER, TEXT = "docs/", ("README.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE")


# ------------------------------------------------------------------------------------------------ records


def altered(old: str, new: str, *, free: Sequence[str]) -> list[str]:
    """Say for every file of a record in `old` that is not the same in `new` what happened to it.

    free: paths that may change.
    """
    problems = []
    for change in changes(old, new):
        if change.kind == "A" or change.path in free or not change.path.startswith(f"{RECORDS}/"):
            continue
        event = {"D": "was deleted", "T": "became another type of file"}.get(change.kind, "was changed")
        problems.append(
            f"{named(change.path)} {event}; a file of a record never changes, but for a script before its first stored "
            "run: restore it, and use `speedrun accept --retime` or `--withdraw` to add what is new"
        )
    return problems


def replaced(old: str, changed: Sequence[Change], *commits: str) -> list[str]:
    """List the changed files of scripts whose hashes in `old` no run names that is stored in one of the commits.

    Of such a script nothing was measured yet. A folder without a frozen file stands for another record's script.
    """
    within = [
        (c.path, match[1]) for c in changed if (c.kind, c.mode) == ("M", PLAIN) and (match := SCRIPT.match(c.path))
    ]
    if not within:
        return []
    hashes = {folder: frozen(old, folder) for _, folder in within}
    measured = named_by_runs(set().union(*hashes.values()), old, *commits)
    return [path for path, folder in within if hashes[folder] and not hashes[folder] & measured]


def frozen(name: str, folder: str) -> set[str]:
    """Return the sha256 of every file in a script's folder but of the one that describes it."""
    listed = [file for file in files(name, folder) if file.path != f"{folder}/script.yaml"]
    return {hashlib.sha256(content(file.blob)).hexdigest() for file in listed}


def named_by_runs(hashes: set[str], *commits: str) -> set[str]:
    """Return those hashes that stand in what is kept of runs: evidence, figures, comparisons, replays, evaluations."""
    kept = {
        file.blob
        for name in commits
        for file in [*files(name, RECORDS), *files(name, SUBMISSIONS)]
        if file.mode in (PLAIN, EXECUTABLE) and STORED.match(file.path) and not SCRIPT.match(file.path)
    }
    wanted = {digest.encode(): digest for digest in hashes}
    return {digest for text in contents(sorted(kept)) for raw, digest in wanted.items() if raw in text}


# ------------------------------------------------------------------------------------------------ submissions


def foreign(changed: Sequence[Change], slug: str) -> list[str]:
    """Say for everything outside the submission `slug` that a pull request changes why it is refused."""
    own = f"{SUBMISSIONS}/{slug}/"
    return [
        f"{named(change.path)} does not belong to {own}: a submission adds its own folder and nothing else; "
        "remove it, or open another pull request for it"
        for change in by_weight(changed)
        if not change.path.startswith(own)
    ]


def submitted(changed: Sequence[Change]) -> list[str]:
    """Name the submissions that a pull request adds or changes; one that is only deleted does not count."""
    parts = [change.path.split("/") for change in changed if change.kind != "D"]
    return sorted({p[1] for p in parts if p[0] == SUBMISSIONS and len(p) > 1 and p[1] not in TEMPLATES})


def on_main(slug: str, *commits: str) -> list[str]:
    """Refuse a submission that is on the base branch already, now or where the pull request left it."""
    for name in commits:
        there = {file.path.split("/")[1] for file in files(name, SUBMISSIONS)}
        if slug in there:
            said = "is on the base branch already, and a submission that is there never changes"
            return [f"{SUBMISSIONS}/{named(slug)} {said}; add a folder of another name, or ask a maintainer"]
    return []


def taken_away(changed: Sequence[Change], accepted: set[str], head: str) -> list[str]:
    """Say for every deleted file of a submission that did not become a record in this pull request why it is refused."""
    left = {file.path.split("/")[1] for file in files(head, SUBMISSIONS)}
    problems = []
    for change in changed:
        parts = change.path.split("/")
        if change.kind != "D" or parts[0] != SUBMISSIONS or (len(parts) > 1 and parts[1] in TEMPLATES):
            continue
        if len(parts) < 3 or parts[1] not in accepted or parts[1] in left:
            problems.append(
                f"{named(change.path)} was deleted; a submission is deleted only when it is accepted: restore it, "
                "or ask a maintainer to delete it"
            )
    return problems


def extract(head: str, slug: str, target: Path) -> list[str]:
    """Write the folder of a submission as it is in a commit; returns what keeps it from being written."""
    own = f"{SUBMISSIONS}/{slug}"
    problems, listed = [], files(head, own)
    for file in listed:
        name = file.path.removeprefix(f"{own}/")
        if file.mode == EXECUTABLE:
            problems.append(f"{named(file.path)} is executable; nothing in a submission is executed: chmod -x")
        elif file.mode != PLAIN:
            problems.append(f"{named(file.path)} is {LINK}")
        elif not all(re.fullmatch(NAME, part) for part in name.split("/")) or name.count("/") > 5:
            problems.append(f"{named(file.path)} is {ODD_NAME}")
    size = sum(file.size for file in listed)
    if len(listed) > MAX_FILES or size > MAX_BYTES:
        problems.append(
            f"{own} has {len(listed)} files and {size:,} bytes; keep it below {MAX_FILES} and {MAX_BYTES:,}"
        )
    if problems or not listed:
        return problems or [f"{own} contains no file; add the submission's folder"]
    for file in listed:
        path = target / file.path.removeprefix(f"{own}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(file.blob))
    return []


@dataclass(frozen=True, slots=True)
class Said:
    """What the harness says about a submission."""

    passes: bool = True
    text: str = ""  # for people
    annotations: str = ""  # workflow commands, escaped by the harness
    report: str = ""  # Markdown, escaped by the harness


def check(folder: Path, slug: str) -> Said:
    """Let the harness of this checkout judge a submission that lies in the project `folder`."""
    own = f"{SUBMISSIONS}/{slug}"
    _, report, _ = written.harness(folder, "check", own, "--markdown")
    status, annotations, text = written.harness(folder, "check", own, "--format", "github")
    # A submission that is valid and no record ends with status 1; its evidence is in order all the same.
    valid = report.partition("\n")[0].endswith(": valid, but no record")
    return Said(status == 0 or valid, shown(text), annotations, report)


def judge(head: str, slug: str) -> tuple[list[str], Said]:
    """What a submission must be refused for, and what the harness said about it."""
    if not re.fullmatch(NAME, slug):
        return [f"{ascii(slug)[:120]} is not a name of a submission; make one with `speedrun new`"], Said()
    with tempfile.TemporaryDirectory(prefix="speedrun-") as made:
        project = Path(made)
        for name in ("tracks", RECORDS):
            (project / name).symlink_to(ROOT / name)
        folder = project / SUBMISSIONS / slug
        folder.parent.mkdir()
        (folder.parent / TEMPLATES[0]).symlink_to(ROOT / SUBMISSIONS / TEMPLATES[0])  # its README has the questions
        problems = extract(head, slug, folder)
        if problems:
            return problems, Said()
        said = check(project, slug)
        if not said.passes:
            problems.append(f"{SUBMISSIONS}/{slug} does not pass `speedrun check`; see its messages")
        if not (folder / "evidence").is_dir():
            problems.append(f"{SUBMISSIONS}/{slug} holds no evidence; add it with `speedrun pack {SUBMISSIONS}/{slug}`")
        return problems, said


# ------------------------------------------------------------------------------------------------ review


def by_weight(changed: Sequence[Change]) -> list[Change]:
    """List changes with those of what decides first: tracks, workflows, harness, whatever else is no text or record."""
    return sorted(changed, key=lambda change: (not decides(change), change.path))


def decides(change: Change) -> bool:
    """Whether a change may alter what is judged or how; what no rule here verifies counts as well."""
    if change.path.startswith((f"{RECORDS}/", f"{BOARD_FOLDER}/")) or change.path == BOARD:
        return False
    if change.path.startswith(f"{SUBMISSIONS}/"):
        return change.path.split("/")[1] in TEMPLATES
    is_text = change.path in TEXT or (change.path.startswith(TEXT_FOLDER) and change.path.endswith(".md"))
    return change.kind == "D" or not is_text


def for_review(changed: Sequence[Change]) -> list[str]:
    """Name every change that a maintainer has to look at, since nothing here can tell whether it is right."""
    words = {"A": "is added", "D": "is deleted", "T": "becomes another type of file"}
    found = []
    for change in by_weight(changed):
        if decides(change):
            run = ", executable" if change.mode == EXECUTABLE != change.old_mode else ""
            found.append(f"{named(change.path)} {words.get(change.kind, 'is changed')}{run}")
    return found


# ------------------------------------------------------------------------------------------------ telling


def tell(title: str, problems: list[str], said: Said | None = None, review: Sequence[str] = ()) -> int:
    """Print the result, in a workflow as annotations and into the job's summary; returns the exit status.

    review: what a maintainer has to look at; with any of it nothing is called in order.
    """
    hosted = os.environ.get("GITHUB_ACTIONS") == "true"
    if said is not None and said.text:
        token = secrets.token_hex(16)  # between these two lines the runner obeys nothing that is printed
        print(f"::stop-commands::{token}\n{said.text}\n::{token}::" if hosted else said.text)
    if said is not None and hosted:
        print(said.annotations, end="")
    review, problems = shortened(review), shortened(list(dict.fromkeys(problems)))
    for lines, level, word in ((review, "warning", "review"), (problems, "error", "refused")):
        for text in lines:
            line = shown(text).replace("\n", " ")
            print(f"::{level}::{line.replace('%', '%25')}" if hosted else f"{word}: {line}")
    outcome = "refused" if problems else "for a maintainer's review" if review else "in order"
    print(f"{title}: {outcome}")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        # The title contains the name of a folder, which is as untrusted as the rest.
        page = f"## {outcome.capitalize()}\n\n    {shown(title)}\n\n"
        if review:
            page += f"### For a maintainer's review\n\n{as_code(review)}\n\n"
        page += f"{as_code(problems)}\n\n{said.report if said is not None else ''}\n"
        with open(summary, "a", encoding="utf-8") as file:
            file.write(page.encode("utf-8", "replace")[:MOST_SUMMARY_BYTES].decode("utf-8", "ignore"))
    return 1 if problems else 0


def shortened(lines: Sequence[str]) -> list[str]:
    """Keep the first of very many lines and say how many there are."""
    more = [f"… and {len(lines) - MOST_TOLD:,} more"] if len(lines) > MOST_TOLD else []
    return [*lines[:MOST_TOLD], *more]


def as_code(lines: Sequence[str]) -> str:
    """Indent lines: then they are code, and nothing in them is Markdown or HTML."""
    return "\n".join(f"    {line}" for text in lines for line in shown(text).split("\n") if line.strip())


# ------------------------------------------------------------------------------------------------ the commands


def pull_request(base_name: str, head_name: str, clone: str | None = None) -> int:
    """Judge what HEAD adds to the commit at which it left BASE."""
    base, head = commit(base_name), commit(head_name)
    old = parting(base, head)
    changed = changes(old, head)
    odd, slugs = oddities(old, head, changed), submitted(changed)
    if len(slugs) > 1:
        names = ", ".join(named(slug)[:100] for slug in slugs)
        return tell("one submission per pull request", [f"this one has {len(slugs)} ({names}); open one for each"])
    if slugs:
        problems, said = judge(head, slugs[0])
        problems = foreign(changed, slugs[0]) + on_main(slugs[0], base, old) + odd + problems
        return tell(f"the submission {named(slugs[0])[:100]}", problems, said)
    found = written.sort(base, head, changed)
    # An import writes environments.yaml too, and is compared with every byte of it.
    review = for_review([c for c in changed if c.path != ENVIRONMENTS or not found.imported])
    free = replaced(old, changed, head, base)
    told: list[str] = []
    problems = odd + in_place_of_folders(changed) + altered(old, head, free=free)
    problems += taken_away(changed, found.accepted, head)
    if not odd:
        wrong, told = written.verify(base, head, found, board=not review, clone=None if clone is None else Path(clone))
        problems += wrong
        if review and found.board:
            told.append("the board was not compared with the records: what writes it may have changed")
        told += [f"{named(path)} is replaced: no stored run names the script that was there" for path in free]
    return tell("this pull request adds no submission", problems, review=[*review, *told])


def in_place_of_folders(changed: Sequence[Change]) -> list[str]:
    """Refuse what stands where a folder of the project must be."""
    return [
        f"{change.path} is a folder of the project; restore it"
        for change in changed
        if change.kind != "D" and change.path in (RECORDS, SUBMISSIONS, BOARD_FOLDER)
    ]


def append_only(before: str, after: str) -> int:
    """Refuse every change of a record between two commits."""
    if before == NOTHING:
        return tell("nothing was here before", [])
    old, new = commit(before), commit(after)
    free = replaced(old, changes(old, new), new)
    return tell("records are only added to", altered(old, new, free=free))


def main(arguments: list[str]) -> int:
    """Run one of the two commands."""
    most = {"pull-request": 4, "append-only": 3}
    if not arguments or arguments[0] not in most or not 3 <= len(arguments) <= most[arguments[0]]:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return pull_request(*arguments[1:]) if arguments[0] == "pull-request" else append_only(*arguments[1:])
    except Unusable as error:
        print(f"these commits cannot be compared: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
