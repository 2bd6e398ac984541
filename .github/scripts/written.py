"""Hold what a pull request adds to `records/` against what `speedrun accept` or `speedrun import` writes.

The harness of this checkout does it again, in a temporary project made of the base commit, and every byte is compared.
What it is done from are the submission on the base branch and what the record's folder holds beside it: the comparison
of a timed race, and all that a session of fresh runs left. For an import it is the upstream repository at the commit
that the new records name.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from commits import PLAIN, ROOT, Change, File, content, files, git, named, shown

RECORDS, SUBMISSIONS = "records", "submissions"
BOARD, BOARD_FOLDER, ENVIRONMENTS = "leaderboard.md", "leaderboard", "environments.yaml"
PROJECT = ("tracks", RECORDS, SUBMISSIONS, BOARD, BOARD_FOLDER, ENVIRONMENTS, "retimings.yaml")
IMPORTED = {"record.yaml", "runs.csv", "curve.csv"}  # what `speedrun import` adds
MERGED = "merged.yaml"  # and beside the record before, whose program the merge of the next one settles
REPLAY = re.compile(r"replays/(\d{4}-\d{2}-\d{2})_([0-9a-f]{8})(_\d{1,3})?/replay\.json")
EVAL = re.compile(r"evals/(\d{4}-\d{2}-\d{2})_([0-9a-f]{8})(_\d{1,3})?/eval\.json")
MAX_JSON_BYTES = 1 << 20
SESSION = "session.json"  # of a record that rests on fresh runs; with these beside it: what the session left
SESSION_ID = re.compile(r"accept-[0-9a-f]{8}-[0-9a-f]{16}")
LEFT = ("evidence/", "probe/", "compared/", "comparison.json")
HANDLE = re.compile(r"@[A-Za-z0-9-]{1,39}")
MOST_TIMINGS = 10  # of one record that are tried; the history has two


@dataclass
class Sorted:
    """The paths that a pull request without a submission changes below records/ and of the board."""

    made: dict[str, str] = field(default_factory=dict)  # folder of a new record -> accept or retime
    withdrawn: list[str] = field(default_factory=list)  # folders
    replays: list[str] = field(default_factory=list)  # paths
    evals: list[str] = field(default_factory=list)  # paths
    imported: set[str] = field(default_factory=set)  # folders
    merged: list[str] = field(default_factory=list)  # paths of merged.yaml in folders that are there
    board: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def anything(self) -> bool:
        """Whether there is anything to do again."""
        kinds = (self.made, self.withdrawn, self.replays, self.evals, self.imported, self.merged)
        return self.board or any(kinds)

    @property
    def accepted(self) -> set[str]:
        """The submissions that became records."""
        return {folder.rpartition("/")[2] for folder, kind in self.made.items() if kind == "accept"}


def harness(project: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Run a command of this checkout's harness in a project: its exit status, None after 5 minutes, and what it said."""
    # -P: nothing is imported from the project's folder, whose files are untrusted.
    command = [sys.executable, "-P", "-m", "harness", "--root", str(project), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None, "", f"speedrun {arguments[0]} took more than 5 minutes"
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------------ sorting


def sort(base: str, head: str, changed: Sequence[Change]) -> Sorted:
    """Tell what each change of records/ and the board may be; what it can be nothing of is a problem."""
    there = {file.path for file in files(base, RECORDS)}
    old = {path.rpartition("/")[0] for path in there if path.endswith("/record.yaml") and path.count("/") == 3}
    submitted = {file.path.split("/")[1] for file in files(base, SUBMISSIONS)}
    found = Sorted()
    fresh: dict[str, dict[str, Change]] = {}
    for change in changed:
        folder, inside = "/".join(change.path.split("/")[:3]), "/".join(change.path.split("/")[3:])
        if change.path.split("/")[0] in (BOARD, BOARD_FOLDER):
            found.board = True
        elif change.path.split("/")[0] != RECORDS:
            continue
        elif change.kind != "A" or change.path in there:
            continue  # a file of a record never changes: `changes.py` refuses it
        elif folder not in old:
            fresh.setdefault(folder, {})[inside] = change
        elif inside == "withdrawn.yaml":
            found.withdrawn.append(folder)
        elif REPLAY.fullmatch(inside):
            found.replays.append(change.path)
        elif EVAL.fullmatch(inside):
            found.evals.append(change.path)
        elif inside == MERGED and is_imported(base, folder):
            found.merged.append(change.path)
        else:
            found.problems.append(f"{named(change.path)} is nothing that a tool adds to a record; remove it")
    for folder, inside_of in fresh.items():
        if folder.rpartition("/")[2] in submitted:
            found.made[folder] = "accept"
        elif "comparison.json" in inside_of:
            found.made[folder] = "retime"
        elif set(inside_of) <= {*IMPORTED, MERGED} and is_imported(head, folder):
            found.imported.add(folder)
        else:
            why = "is no record that `speedrun accept` makes of a submission on the base branch"
            found.problems.append(f"{named(folder)} {why}; submit it first, or remove it")
    return found


def is_imported(name: str, folder: str) -> bool:
    """Return whether a record is upstream's: only `speedrun import` writes `original` as a mapping."""
    return re.search(rb"^original:[ ]*\n[ ]+\w", record_text(name, folder), re.M) is not None


def record_text(name: str, folder: str) -> bytes:
    """Read the record.yaml of a folder in a commit; nothing where there is none."""
    return next((content(f.blob) for f in files(name, folder) if f.path == f"{folder}/record.yaml"), b"")


# ------------------------------------------------------------------------------------------------ verifying


def verify(
    base: str, head: str, found: Sorted, *, board: bool, clone: Path | None = None
) -> tuple[list[str], list[str]]:
    """Do again what was done, and compare: what is wrong, and what no machine can prove and a maintainer must look at.

    base: the base branch as it is now. board: whether to hold the board against the records as well. clone: of the
    upstream repository; None: the public one is fetched where there is something to import.
    """
    problems = list(found.problems)
    told: list[str] = []
    if found.merged and not found.imported:
        said = "only `speedrun import` writes this, beside a new row that shows what was merged before it"
        problems += [f"{named(path)}: {said}" for path in found.merged]
    if (
        sum(map(bool, (found.imported or found.merged, found.withdrawn, found.made))) > 1
        or len({*found.made.values()}) > 1
    ):
        problems.append("accepting, timing again, withdrawing and importing are pull requests of their own; split it")
    if problems or not found.anything:
        return problems, told
    with tempfile.TemporaryDirectory(prefix="speedrun-") as made:
        project = Path(made)
        unpack(base, project)
        if found.imported:
            problems += import_again(project, head, found, clone, told)
        # In the order in which they were numbered; re-timings, which have the number of what they time, by date.
        for folder in sorted(found.made, key=lambda folder: (number_of(head, folder), folder)):
            problems += make_again(project, head, folder, found.made[folder], told)
        for folder in found.withdrawn:
            problems += withdraw_again(project, head, folder, told)
        for path in found.replays:
            problems += add_replay(project, base, head, path, told)
        for path in found.evals:
            problems += add_eval(project, head, path, told)
        if not problems and board:
            # `accept` has written it; a replay, an evaluation and an import change what it says as well.
            current = bool(found.made or found.withdrawn) and not (found.replays or found.evals)
            problems += board_again(project, head, current)
    return problems, told


def unpack(name: str, project: Path) -> None:
    """Write the tracks, records, submissions and the board of a commit into an empty folder."""
    top = [entry for entry in git("ls-tree", "--name-only", "-z", name).decode().split("\0") if entry in PROJECT]
    with tarfile.open(fileobj=BytesIO(git("archive", "--format=tar", name, "--", *top))) as archive:
        archive.extractall(project, filter="data")


def number_of(name: str, folder: str) -> int:
    """Read the number that a record has in a commit; 0 where it has none."""
    found = re.search(rb"^number: (\d{1,9})$", record_text(name, folder), re.M)
    return int(found[1]) if found else 0


def ruleset_of(name: str, folder: str) -> str:
    """Read the ruleset that a record names in a commit."""
    found = re.search(rb"^ruleset: ([a-z0-9-]{1,31}@\d{1,4})$", record_text(name, folder), re.M)
    return found[1].decode() if found else "no ruleset"


def named_pull_request(name: str, folder: str) -> list[str]:
    """Read which pull request a record says it came by, as options of `speedrun accept`."""
    found = re.search(rb"^pull_request: '([1-9]\d{0,8})'$", record_text(name, folder), re.M)
    return ["--pull-request", found[1].decode()] if found else []


def make_again(project: Path, head: str, folder: str, kind: str, told: list[str]) -> list[str]:
    """Accept a submission or time a record again as somebody did, and compare what was written."""
    mine = {file.path: file for file in files(head, folder)}
    stored = mine.get(f"{folder}/comparison.json")
    if kind == "accept" and f"{folder}/{SESSION}" in mine:
        problems = lay_out_session(project, folder, mine, told)
        if problems:
            return problems
    elif stored is not None:
        compared = read_json(stored)
        name = compared.get("id") if isinstance(compared, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
            return [f"{folder}/comparison.json is not what `speedrun compare` writes; restore it"]
        path = project / ".runs" / "comparisons" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(stored.blob))
        told.append(f"{folder} rests on its comparison.json: nothing here proves that those runs were made")
    if kind == "accept" and f"{folder}/{SESSION}" not in mine:
        word = "that they were made, and before newer rules came, is the submitter's word"
        told.append(f"{folder} rests on the runs of its submitter under {ruleset_of(head, folder)}: {word}")
    slug = folder.rpartition("/")[2]
    if kind == "accept" and files(head, f"{SUBMISSIONS}/{slug}"):
        return [f"{SUBMISSIONS}/{slug} became a record and is still there; `speedrun accept` moves the folder"]
    if kind == "accept":
        problems = again(project, ["accept", f"{SUBMISSIONS}/{slug}", *named_pull_request(head, folder)], folder)
    else:
        problems = time_again(project, head, folder)
    todo = "is not what `speedrun accept` writes; run it again on the base branch as it is now"
    wrong = [] if problems else differing(project, mine, written_in(project, folder))
    return problems + [f"{named(path)} {todo}" for path in wrong]


def lay_out_session(project: Path, folder: str, mine: dict[str, File], told: list[str]) -> list[str]:
    """Put what a session left into a project, where `accept` finds it as the machine did that made the runs.

    Only whoever made the runs may open the pull request: GitHub knows its author, and its text is nobody's word.
    """
    said = read_json(mine[f"{folder}/{SESSION}"])
    name, timer = (said.get("id"), said.get("timer")) if isinstance(said, dict) else (None, None)
    if not (
        isinstance(name, str) and SESSION_ID.fullmatch(name) and isinstance(timer, str) and HANDLE.fullmatch(timer)
    ):
        return [f"{folder}/{SESSION} is not what `speedrun accept` writes; restore it"]
    place = project / ".runs" / "sessions" / name
    for path, file in mine.items():
        inside = path.removeprefix(f"{folder}/")
        if inside == SESSION or inside.startswith(LEFT):
            target = place / inside if inside == SESSION else place / "result" / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content(file.blob))
    author = os.environ.get("PULL_REQUEST_AUTHOR", "")
    if author and author.lower() != timer[1:].lower():
        who = f"@{author[:39]}" if HANDLE.fullmatch(f"@{author}") else "somebody"
        what = f"{folder} rests on runs of {timer}, and {who} opened this pull request"
        return [f"{what}; let {timer} open it, who alone can vouch for those runs"]
    vouched = "who opened this pull request" if author else "and nothing here knows who opened this pull request"
    told.append(f"{folder} rests on the fresh runs of {timer}, {vouched}; that they were made is {timer}'s word")
    return []


def time_again(project: Path, head: str, folder: str) -> list[str]:
    """Time a record again: the one of that number, or a re-timing of it, whose script was compared."""
    name = f"{folder.split('/')[1]}/{number_of(head, folder)}"
    first: list[str] = []
    for record in (name, *(f"{name}.{n}" for n in range(1, MOST_TIMINGS))):
        said = again(project, ["accept", f"--retime={record}"], folder)
        if not said:
            return []
        first = first or said
    return first


def withdraw_again(project: Path, head: str, folder: str, told: list[str]) -> list[str]:
    """Withdraw a record as somebody did, and compare what was written; the day may be another."""
    import yaml  # the command `append-only` needs nothing but Python

    [file] = [file for file in files(head, folder) if file.path == f"{folder}/withdrawn.yaml"]
    wrong = [f"{file.path} is not what `speedrun accept --withdraw` writes; write it with that"]
    try:
        said = yaml.safe_load(content(file.blob)) if file.size < MAX_JSON_BYTES else None
    except (yaml.YAMLError, ValueError):
        return wrong
    if not isinstance(said, dict) or not isinstance(said.get("why"), str):
        return wrong
    problems = again(project, ["accept", f"--withdraw={folder}", f"--why={said['why']}"], folder)
    if problems:
        return problems
    today = (project / file.path).read_bytes()
    of_that_day = re.sub(rb"^date: .*$", f"date: {said.get('date')}".encode(), today, flags=re.M)
    told.append(f"{folder} is withdrawn: {said['why']}")
    return [] if content(file.blob) == of_that_day and file.mode == PLAIN else wrong


def add_replay(project: Path, base: str, head: str, path: str, told: list[str]) -> list[str]:
    """Add a replay, whose file says the record, the day and the machine that its folder is named by."""
    folder, name = path.split("/replays/")[0], REPLAY.search(path)
    [file] = [file for file in files(head, folder) if file.path == path]
    said = read_json(file)
    of = f"{folder.split('/')[1]}/{number_of(base, folder)}"
    machine = said.get("machine") if isinstance(said, dict) else None
    fingerprint = str(machine.get("fingerprint"))[:8] if isinstance(machine, dict) else None
    known = isinstance(said, dict) and (str(said.get("record")).split(".")[0], said.get("date"), fingerprint)
    if name is None or known != (of, name[1], name[2]) or file.mode != PLAIN:
        return [f"{path} is no replay of {folder} from that day and machine; store it with `speedrun replay`"]
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_bytes(content(file.blob))
    told.append(f"{path} is the word of whoever made it: a replay keeps no logs")
    return []


def add_eval(project: Path, head: str, path: str, told: list[str]) -> list[str]:
    """Add an evaluation, whose file says the record, the day and the machine that its folder is named by."""
    folder, name = path.split("/evals/")[0], EVAL.search(path)
    [file] = [file for file in files(head, folder) if file.path == path]
    said = read_json(file)
    machine = said.get("machine") if isinstance(said, dict) else None
    fingerprint = str(machine.get("fingerprint"))[:8] if isinstance(machine, dict) else None
    known = isinstance(said, dict) and (said.get("script"), said.get("date"), fingerprint)
    if name is None or known != (folder, name[1], name[2]) or file.mode != PLAIN:
        return [f"{path} is no evaluation of {folder} from that day and machine; store it with `speedrun eval`"]
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_bytes(content(file.blob))
    told.append(f"{path} is the word of whoever made it: an evaluation keeps no answers")
    return []


def import_again(project: Path, head: str, found: Sorted, clone: Path | None, told: list[str]) -> list[str]:
    """Import the new rows again, from the commit of upstream that they name, and compare every file."""
    texts = {folder: record_text(head, folder) for folder in found.imported}
    commits = {c for text in texts.values() for c in re.findall(rb"^  commit: ([0-9a-f]{40})$", text, re.M)}
    if len(commits) > 1:
        return ["the new records name several commits of upstream; import them all from one, with `--commit`"]
    place = ["--upstream"] if clone is None else ["--checkout", str(clone.absolute())]
    place += ["--commit", next(iter(commits)).decode()] if commits else []
    for folder, text in texts.items():  # which runs somebody named, as the notes of the record say
        flat = " ".join(text.decode("utf-8", "replace").split())
        choices = re.findall(r"by `--own ([^`]{1,300})`", flat)
        place += [f"--own={choice}" for choice in choices]
        whose = "which runs are its own was chosen by whoever imported it"
        told += [f"{folder}: {whose}, with `--own {choice}`" for choice in choices]
    before = set(written_in(project))
    status, _, said = harness(project, "import", *place)
    if status not in (0, 1):  # 1: it leaves rows out, which may be in a later pull request
        return [f"`speedrun import` says here: {' '.join(shown(said).split())[-600:]}"]
    made = [path for path in written_in(project) if path not in before]
    mine = {file.path: file for folder in found.imported for file in files(head, folder)}
    mine |= {file.path: file for file in files(head) if file.path in (*found.merged, ENVIRONMENTS)}
    made += [ENVIRONMENTS] if (project / ENVIRONMENTS).is_file() else []
    todo = "is not what `speedrun import` writes from that commit of upstream"
    return [f"{named(path)} {todo}" for path in differing(project, mine, made)]


def board_again(project: Path, head: str, current: bool) -> list[str]:
    """Compare the board of the pull request with the one that is written here, unless that is `current` already."""
    problems = [] if current else again(project, ["board"], "the board")
    mine = {f.path: f for f in files(head) if f.path == BOARD or f.path.startswith(f"{BOARD_FOLDER}/")}
    wrong = differing(project, mine, [BOARD, *written_in(project, BOARD_FOLDER)])
    return problems + [f"{named(path)} is not what the records say; run `speedrun board`" for path in wrong]


def again(project: Path, arguments: Sequence[str], what: str) -> list[str]:
    """Run a command of the harness; what it says where it fails."""
    status, _, said = harness(project, *arguments)
    if status == 0:
        return []
    reason = " ".join(shown(said).split())[-600:]
    return [f"{named(what)}: `speedrun {named(' '.join(arguments[:2]))}` says here: {reason}"]


def differing(project: Path, mine: dict[str, File], made: Sequence[str]) -> list[str]:
    """List the paths that the pull request has and the project has not `made`, or the other way round, or differently."""
    both = [path for path in made if path in mine]
    other = [p for p in both if mine[p].mode != PLAIN or content(mine[p].blob) != (project / p).read_bytes()]
    return sorted({*made} ^ {*mine}) + other


def written_in(project: Path, folder: str = RECORDS) -> list[str]:
    """List the files below a folder of a project, as git would name them."""
    return [str(path.relative_to(project)) for path in sorted((project / folder).rglob("*")) if path.is_file()]


def read_json(file: File) -> Any:
    """Read a JSON file of somebody else; None where it is none, or too large."""
    try:
        return json.loads(content(file.blob)) if file.size <= MAX_JSON_BYTES else None
    except (ValueError, RecursionError):
        return None
