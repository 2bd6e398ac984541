"""Judge what changed between two commits: the commands that the workflows call, and that anybody can run in a clone.

    python .github/scripts/changes.py pull-request BASE HEAD    a pull request from HEAD onto BASE
    python .github/scripts/changes.py append-only BEFORE AFTER  no file of a record changed or went away

Both read git's objects and never check HEAD out. The folder of a submission is written, as plain files, into a
temporary folder beside the tracks and records of this checkout, and the harness of this checkout judges it there:
nothing that was submitted is executed. Exit status: 0 in order, 1 refused, 2 unusable commits.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUBMISSIONS, TEMPLATE, RECORDS = "submissions", "_template", "records"
TEMPLATES = (TEMPLATE, "_smoke")  # scripts to start from, which nobody submits
NAME = (
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}"  # of a file or folder in a submission; no dot in front, so no .. and no .git
)
MAX_FILES, MAX_BYTES = 2_000, 64 << 20
NOTHING = "0" * 40  # what GitHub calls the commit before a branch's first one
IMPORTED = {"record.yaml", "runs.csv", "curve.csv"}  # `speedrun import` may rewrite what it wrote


class Unusable(Exception):
    """The commits cannot be compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs."""

    kind: str  # A added, D deleted, M modified, T of another type
    path: str


def git(*arguments: str) -> bytes:
    """Run a git command and return what it prints."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise Unusable(f"git {arguments[0]}: {shown(os.fsdecode(done.stderr)).strip()}")
    return done.stdout


def commit(name: str) -> str:
    """Return the full hash of a commit."""
    return git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode().strip()


def changes(old: str, new: str) -> list[Change]:
    """List every path that differs between two commits, a rename as one path deleted and one added."""
    parts = os.fsdecode(git("diff", "--name-status", "--no-renames", "-z", old, new)).split("\0")[:-1]
    return [Change(kind[0], path) for kind, path in zip(parts[::2], parts[1::2], strict=True)]


def shown(text: str) -> str:
    """Escape untrusted text line by line: nothing that moves a cursor is left."""
    return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in text.split("\n"))


# ------------------------------------------------------------------------------------------------ records


def altered(old: str, new: str) -> list[str]:
    """Say for every file of a record in `old` that is not the same in `new` what happened to it."""
    problems = []
    for change in changes(old, new):
        folder, _, file = change.path.rpartition("/")
        if change.kind == "A" or not change.path.startswith(f"{RECORDS}/"):
            continue
        if change.kind == "M" and file in IMPORTED and folder.count("/") == 2 and imported(old, folder):
            continue
        event = {"D": "was deleted", "T": "became another type of file"}.get(change.kind, "was changed")
        problems.append(
            f"{ascii(change.path)[1:-1]} {event}; a file of a record never changes: restore it, and use "
            "`speedrun accept --retime` or `--withdraw` to add what is new"
        )
    return problems


def imported(old: str, folder: str) -> bool:
    """Return whether a record came from the past: only `speedrun import` writes `original` as a mapping."""
    path = f"{folder}/record.yaml"
    if not git("ls-tree", "--name-only", old, path):
        return False
    return re.search(rb"^original:[ ]*\n[ ]+\w", git("cat-file", "blob", f"{old}:{path}"), re.M) is not None


# ------------------------------------------------------------------------------------------------ submissions


def foreign(changed: list[Change], slug: str) -> list[str]:
    """Say for everything outside the submission `slug` that a pull request changes why it is refused."""
    own = f"{SUBMISSIONS}/{slug}/"
    return [
        f"{ascii(change.path)[1:-1]} does not belong to {own}: a submission adds its own folder and nothing else; "
        "remove it, or open another pull request for it"
        for change in changed
        if not change.path.startswith(own)
    ]


def submitted(changed: list[Change]) -> list[str]:
    """Name the submissions that a pull request adds or changes; one that is only deleted does not count."""
    parts = [change.path.split("/") for change in changed if change.kind != "D"]
    return sorted({p[1] for p in parts if p[0] == SUBMISSIONS and len(p) > 1 and p[1] not in TEMPLATES})


def taken_away(changed: list[Change], head: str) -> list[str]:
    """Say for every deleted file of a submission that did not become a record in the same commit why it is refused."""
    tree = os.fsdecode(git("ls-tree", "-r", "--name-only", "-z", "--full-tree", head, f"{RECORDS}/")).split("\0")
    accepted = {parts[2] for path in tree if len(parts := path.split("/")) == 4 and parts[3] == "record.yaml"}
    problems = []
    for change in changed:
        parts = change.path.split("/")
        if (
            change.kind == "D"
            and parts[0] == SUBMISSIONS
            and len(parts) > 2
            and parts[1] not in (*TEMPLATES, *accepted)
        ):
            problems.append(
                f"{ascii(change.path)[1:-1]} was deleted; a submission is deleted only when it is accepted: restore it, "
                "or ask a maintainer to delete it"
            )
    return problems


def extract(head: str, slug: str, target: Path) -> list[str]:
    """Write the folder of a submission as it is in a commit; returns what keeps it from being written."""
    own = f"{SUBMISSIONS}/{slug}"
    listed = os.fsdecode(git("ls-tree", "-r", "-l", "-z", "--full-tree", head, f"{own}/")).split("\0")[:-1]
    problems, files, size = [], [], 0
    for line in listed:
        about, _, path = line.partition("\t")
        mode, _, object_name, length = about.split()
        name = path.removeprefix(f"{own}/")
        if mode not in ("100644", "100755"):
            problems.append(f"{ascii(path)[1:-1]} is a link or not a file; put the file itself there")
        elif not all(re.fullmatch(NAME, part) for part in name.split("/")) or name.count("/") > 5:
            problems.append(
                f"{ascii(path)[1:-1][:200]} is not a plain file name; use letters, digits, '_', '-' and '.'"
            )
        else:
            files.append((name, object_name))
            size += int(length)
    if len(files) > MAX_FILES or size > MAX_BYTES:
        problems.append(f"{own} has {len(files)} files and {size:,} bytes; keep it below {MAX_FILES} and {MAX_BYTES:,}")
    if problems or not files:
        return problems or [f"{own} contains no file; add the submission's folder"]
    for name, object_name in files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(git("cat-file", "blob", object_name))
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
    # -P: nothing is imported from the project's folder, whose files are untrusted.
    command = [sys.executable, "-P", "-m", "harness", "--root", str(folder), "check", own]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = {}
    for form in (("--markdown",), ("--format", "github")):
        try:
            done = subprocess.run(
                [*command, *form], cwd=folder, env=environment, capture_output=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            return Said(False, "speedrun check took more than 5 minutes")
        printed[form[-1]] = done.stdout.decode("utf-8", "replace")
    text = shown(done.stderr.decode("utf-8", "replace"))
    return Said(done.returncode == 0, text, printed["github"], printed["--markdown"])


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
        (folder.parent / TEMPLATE).symlink_to(ROOT / SUBMISSIONS / TEMPLATE)  # its README has the questions
        problems = extract(head, slug, folder)
        if problems:
            return problems, Said()
        said = check(project, slug)
        if not said.passes:
            problems.append(f"{SUBMISSIONS}/{slug} does not pass `speedrun check`; see its messages")
        if not (folder / "evidence").is_dir():
            problems.append(f"{SUBMISSIONS}/{slug} holds no evidence; add it with `speedrun pack {SUBMISSIONS}/{slug}`")
        return problems, said


# ------------------------------------------------------------------------------------------------ telling


def tell(title: str, problems: list[str], said: Said | None = None) -> int:
    """Print the result, in a workflow as annotations and into the job's summary; returns the exit status."""
    hosted = os.environ.get("GITHUB_ACTIONS") == "true"
    if said is not None and said.text:
        token = secrets.token_hex(16)  # between these two lines the runner obeys nothing that is printed
        print(f"::stop-commands::{token}\n{said.text}\n::{token}::" if hosted else said.text)
    if said is not None and hosted:
        print(said.annotations, end="")
    for problem in problems:
        line = shown(problem).replace("\n", " ")
        print(f"::error::{line.replace('%', '%25')}" if hosted else f"refused: {line}")
    outcome = "refused" if problems else "in order"
    print(f"{title}: {outcome}")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        # Indented lines are code: nothing in them is Markdown or HTML.
        code = "\n".join(f"    {line}" for text in problems for line in shown(text).split("\n") if line.strip())
        with open(summary, "a", encoding="utf-8") as file:
            # The title contains the name of a folder, which is as untrusted as the rest.
            report = said.report if said is not None else ""
            file.write(f"## {outcome.capitalize()}\n\n    {shown(title)}\n\n{code}\n\n{report}\n")
    return 1 if problems else 0


def pull_request(base: str, head: str) -> int:
    """Judge what HEAD adds to the commit at which it left BASE."""
    new = commit(head)
    old = git("merge-base", commit(base), new).decode().strip()
    changed = changes(old, new)
    slugs = submitted(changed)
    if not slugs:
        problems = altered(old, new) + taken_away(changed, new)
        return tell("this pull request adds no submission; records stay as they are", problems)
    if len(slugs) > 1:
        names = ", ".join(ascii(slug)[1:-1][:100] for slug in slugs)
        return tell("one submission per pull request", [f"this one has {len(slugs)} ({names}); open one for each"])
    problems, said = judge(new, slugs[0])
    return tell(f"the submission {ascii(slugs[0])[1:-1][:100]}", foreign(changed, slugs[0]) + problems, said)


def append_only(before: str, after: str) -> int:
    """Refuse every change of a record between two commits."""
    if before == NOTHING:
        return tell("nothing was here before", [])
    return tell("records are only added to", altered(commit(before), commit(after)))


def main(arguments: list[str]) -> int:
    """Run one of the two commands."""
    commands = {"pull-request": pull_request, "append-only": append_only}
    if len(arguments) != 3 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]](arguments[1], arguments[2])
    except Unusable as error:
        print(f"these commits cannot be compared: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
