"""What the action of this repository does: make the table of the logs that a pull request adds, and post it.

    log_comment.py table FOLDER FILE    read the logs that HEAD adds below FOLDER; write the table into FILE as data
    log_comment.py comment FOLDER FILE  check that file, write it as Markdown and post or update it as a comment

The first step runs in the workflow of a pull request, on the code and the files of anybody, with nothing to steal. The
second may comment. Of the first it gets the file alone, which is read strictly; which pull request is meant comes from
GitHub, and text of the pull request is never in a command. Exit status: 0, or 2 where the file or GitHub cannot be used.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the harness beside this file, and no other one

from harness.board import log_markdown, tabulation
from harness.core.errors import HarnessError, StoreError
from harness.core.log_table import FORM, Beside, Change
from harness.core.text import printable
from harness.runlog.collection import Reading, Target, read_logs

MARK = "<!-- speedrun log table -->"
AUTHOR = "github-actions[bot]"  # who comments with the token of a workflow
_HUNK = re.compile(rb"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", re.MULTILINE)
MOST_FILES = 2_000  # the largest pull request so far added 106 logs
MOST_PAGES = 30  # of 100 comments
MOST_ANSWER_BYTES = 32 << 20


# ------------------------------------------------------------------------------------------------ the first step


def added(folder: str) -> list[str]:
    """List the files that the commit in the current folder adds below `folder`, against its first parent."""
    paths = os.fsdecode(diff("--diff-filter=A", "--name-only", "-z", where=[folder])).split("\0")[:-1]
    return [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]


def outside(folder: str) -> Change:
    """Count the lines that this commit changes outside of `folder`."""
    # --text, and not --numstat, which would follow attributes that a pull request adds: a binary file has no lines.
    hunks = _HUNK.findall(diff("--text", "--unified=0", where=[".", f":(exclude){folder}"]))
    return Change(sum(int(added or 1) for _, added in hunks), sum(int(removed or 1) for removed, _ in hunks))


def diff(*options: str, where: list[str]) -> bytes:
    """Ask git how the commit in the current folder differs from its first parent."""
    command = ["git", "diff", "--no-ext-diff", "--no-textconv", "--no-renames", *options, "HEAD^1", "HEAD", "--"]
    done = subprocess.run([*command, *where], capture_output=True, check=False)
    if done.returncode:
        todo = "check out the merge of the pull request with fetch-depth: 2"
        raise StoreError.at("git diff", os.fsdecode(done.stderr).strip().partition("\n")[0], todo)
    return done.stdout


def of_one_track(paths: list[str]) -> list[str]:
    """Choose the files below the track's folder that most of them lie in: a table has one target."""
    tracks = Counter("/".join(path.split("/")[:2]) for path in paths)
    most = max(tracks, key=lambda track: (tracks[track], track), default="")
    return [path for path in paths if path.startswith(f"{most}/")]


def baseline_of(readings: list[Reading]) -> str | None:
    """Find the one folder of logs that its author calls a baseline; None where there is none, or several."""
    folders = {os.path.dirname(reading.target.name) for reading in readings if reading.runs}
    found = {folder for folder in folders if "baseline" in folder.rpartition("/")[2].lower()}
    return found.pop() if len(found) == 1 else None


def table(folder: str, file: Path) -> int:
    """Write the table of the added logs as data, and as Markdown into the summary of the job."""
    paths = added(folder)
    chosen = of_one_track(paths)[:MOST_FILES]
    if len(chosen) < len(paths):
        print(f"{len(paths) - len(chosen)} of {len(paths)} added files are of another track or too many")
    readings = list(read_logs([Target(path, False) for path in chosen], curve=True))
    runs = sum(len(reading.runs) for reading in readings)
    tell("GITHUB_OUTPUT", f"runs={runs}\n")
    print(f"{runs} runs in {sum(bool(reading.runs) for reading in readings)} of {len(paths)} added files")
    if not runs:
        return 0
    try:
        made = tabulation.read(readings, baseline_of(readings))
    except HarnessError as error:  # the folder called baseline holds several scripts
        print(printable(str(error)).replace("\n", " "))
        made = tabulation.read(readings)
    made = dataclasses.replace(made, beside=Beside(len(paths) - len(chosen), outside(folder)))
    file.write_text(FORM.text(made), "utf-8")
    tell("GITHUB_STEP_SUMMARY", log_markdown.markdown(made))
    return 0


def tell(variable: str, text: str) -> None:
    """Add text to the file that a variable of the workflow names, where it names one."""
    if os.environ.get(variable):
        with open(os.environ[variable], "a", encoding="utf-8") as out:
            out.write(text)


# ------------------------------------------------------------------------------------------------ the second step


def comment(file: Path) -> int:
    """Post the table to the pull request whose workflow made it, or update the comment that is there."""
    if file.is_symlink():
        raise StoreError.at(file, "is a link", "it must be the file that the first step wrote")
    page = log_markdown.markdown(FORM.read(file, name=file.name))
    run = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text("utf-8"))["workflow_run"]
    number = pull_request(run)
    if number is None:
        print("no open pull request has this commit at its head; nothing was posted")
        return 0
    head = f"The logs that {run['head_sha'][:12]} adds, as its own workflow read them:"
    body = {"body": f"{MARK}\n{head}\n\n{page}"}
    there = earlier(number)
    if there is None:
        ask("POST", f"issues/{number}/comments", body)
    else:
        ask("PATCH", f"issues/comments/{there}", body)
    print(f"{'posted' if there is None else 'updated'} the table of pull request {number}")
    return 0


def pull_request(run: dict[str, Any]) -> int | None:
    """Find the open pull request whose head is the commit that the workflow ran on; GitHub names none for forks."""
    source = run.get("head_repository") or {}
    if not source.get("full_name"):
        return None  # the fork is gone
    head = f"{source['full_name'].partition('/')[0]}:{run['head_branch']}"
    query = urllib.parse.urlencode({"state": "open", "head": head, "per_page": 100})
    found = [pull for pull in ask("GET", f"pulls?{query}") if pull["head"]["sha"] == run["head_sha"]]
    found = [pull for pull in found if (pull["head"]["repo"] or {}).get("full_name") == source["full_name"]]
    return int(found[0]["number"]) if len(found) == 1 else None


def earlier(number: int) -> int | None:
    """Find the comment with an earlier table; one of anybody else with the same mark is not touched."""
    for page in range(1, MOST_PAGES + 1):
        comments = ask("GET", f"issues/{number}/comments?per_page=100&page={page}")
        for one in comments:
            if (one["user"] or {}).get("login") == AUTHOR and (one["body"] or "").startswith(MARK):
                return int(one["id"])
        if len(comments) < 100:
            break
    return None


def ask(method: str, path: str, body: object = None) -> Any:
    """Ask GitHub about this repository, and return its answer; raises StoreError where it refuses."""
    address = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    request = urllib.request.Request(address, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {os.environ['TOKEN']}")
    request.add_header("Accept", "application/vnd.github+json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read(MOST_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        todo = "give the job `pull-requests: write` and the step its token, or run it again later"
        raise StoreError.at(
            f"{method} {path.partition('?')[0]}", f"GitHub did not answer as it should: {why}", todo
        ) from None


def main(arguments: list[str]) -> int:
    """Take one of the two steps; return the exit status."""
    try:
        match arguments:
            case ["table", folder, file]:
                return table(folder, Path(file))
            case ["comment", _, file]:
                return comment(Path(file))
    except HarnessError as error:
        for problem in error.problems:
            print(printable(str(problem)).replace("\n", " "))
        return 2
    print("give table or comment, FOLDER and FILE; the input `step` of the action is one of the two")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
