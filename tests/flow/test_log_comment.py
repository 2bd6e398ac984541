"""The action for other repositories: its own commands, run in a repository in the form of modded-nanogpt's."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.board import tabulation
from harness.core.log_table import FORM
from harness.runlog import collection
from tests.small_logs import SCRIPT, write

ROOT = Path(__file__).parents[2]
MARK = "<!-- speedrun log table -->"
LOGIN = "github-actions[bot]"


class GitHub:
    """GitHub's answers about the pull requests and comments of one repository, in its form."""

    def __init__(self) -> None:
        self.sha, self.pulls, self.comments = "c" * 40, [pull(7, "c" * 40)], list[dict[str, Any]]()
        self.asked: list[tuple[str, str]] = []
        self.status, self.address = 200, ""

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> object:
        self.asked.append((method, path))
        if path.startswith("/repos/race/nanogpt/pulls?"):
            assert "state=open" in path and "head=someone%3Afaster%2F1" in path
            return self.pulls
        if found := re.fullmatch(r"/repos/race/nanogpt/issues/7/comments\?per_page=100&page=(\d+)", path):
            page = int(found[1])
            return self.comments[100 * (page - 1) : 100 * page]
        assert body is not None
        if method == "POST" and path == "/repos/race/nanogpt/issues/7/comments":
            self.comments.append(said(len(self.comments) + 1, LOGIN, body["body"]))
        else:
            number = re.fullmatch(r"/repos/race/nanogpt/issues/comments/(\d+)", path)
            assert method == "PATCH" and number
            self.comments[int(number[1]) - 1]["body"] = body["body"]
        return {}


def pull(number: int, sha: str, repository: str = "someone/nanogpt") -> dict[str, Any]:
    return {"number": number, "head": {"sha": sha, "repo": {"full_name": repository}}}


def said(number: int, login: str, body: str) -> dict[str, Any]:
    return {"id": number, "user": {"login": login}, "body": body}


@pytest.fixture
def github() -> Iterator[GitHub]:
    played = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            assert self.headers["Authorization"] == "Bearer a-token"
            text = json.dumps(played.answer(self.command, self.path, body)).encode()
            self.send_response(played.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PATCH = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        played.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield played
        server.shutdown()


@pytest.fixture
def race(tmp_path: Path) -> Path:
    """The checkout of a pull request, merged, that adds logs, a README, a link and a module called harness."""
    folder = tmp_path / "race"
    write(folder / "records" / "track_1_short" / "2026-01-01_Old" / "a.txt", 3.2790, 90_000)
    git(folder, "init", "-q", "-b", "master")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "before")
    new = folder / "records" / "track_1_short" / "2026-02-02_New | @all"
    for index in range(3):
        write(new / "baseline" / f"{index}.txt", 3.2785 + index / 1e4, 80_000 + index)
        write(new / "this_pr" / f"{index}.txt", 3.2783 + index / 1e4, 79_000 + index, script=SCRIPT + "x = 1\n")
    (new / "README.md").write_text("faster\n")
    write(folder / "records" / "track_2_medium" / "2026-02-02_Other" / "a.txt", 2.9190, 900_000)
    (new / "linked.txt").symlink_to("/etc/hostname")
    (folder / ".gitattributes").write_text("*.py binary\n")
    for name in ("harness", "json"):
        (folder / f"{name}.py").write_text("raise SystemExit('code of the pull request ran')\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "merge")
    return folder


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *named, "-C", str(folder), *arguments], check=True, capture_output=True)


def act(folder: Path, step: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run what action.yml says, but for its installation, in `folder` as a runner does."""
    temp = folder.parent / "temp"
    python = temp / "speedrun" / "bin" / "python"
    if not python.exists():
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    held = yaml.safe_load((ROOT / "action.yml").read_text())
    *_, run = held["runs"]["steps"]
    given = {"step": step, **{name: one.get("default", "") for name, one in held["inputs"].items() if name != "step"}}
    given |= {"token": "a-token"} if step == "comment" else {}
    values = {"github.action_path": str(ROOT), **{f"inputs.{name}": value for name, value in given.items()}}
    env = {
        name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text) for name, text in run["env"].items()
    }
    runner = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(temp / "output")}
    runner |= {"GITHUB_STEP_SUMMARY": str(temp / "summary"), **env, **more}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run["run"]]
    return subprocess.run(command, cwd=folder, env=runner, capture_output=True, text=True, check=False)


def told(folder: Path, address: str, **event: object) -> dict[str, str]:
    """What GitHub tells the second workflow of the first one."""
    run = {"head_sha": "c" * 40, "head_branch": "faster/1", "head_repository": {"full_name": "someone/nanogpt"}} | event
    file = folder / "event.json"
    file.write_text(json.dumps({"workflow_run": run}))
    return {"GITHUB_EVENT_PATH": str(file), "GITHUB_REPOSITORY": "race/nanogpt", "GITHUB_API_URL": address}


def test_the_logs_that_a_pull_request_adds_become_one_comment_that_is_updated(race: Path, github: GitHub) -> None:
    done = act(race, "table")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (race.parent / "temp" / "output").read_text() == "runs=6\n"
    assert done.stdout == "1 of 8 added files are of another track or too many\n6 runs in 6 of 8 added files\n"
    summary = (race.parent / "temp" / "summary").read_text()
    assert "| baseline (baseline) |" in summary and "| this&#95;pr |" in summary and "Old" not in summary
    # Two modules and the attributes, which do not make binary files of them.
    assert "- The pull request changes +3 −0 lines beside its logs.\n" in summary
    assert "- Not read: 1 added file of another track, or beyond 2,000.\n" in summary

    github.comments = [said(1, "somebody", MARK), *(said(n, LOGIN, "other") for n in range(2, 150))]
    event = told(race.parent, github.address)
    done = act(race, "comment", **event)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(github.comments) == 150
    body = github.comments[-1]["body"]
    assert body.startswith(f"{MARK}\nThe logs that cccccccccccc adds") and body.endswith(summary)
    assert act(race, "comment", **event).stdout == "updated the table of pull request 7\n"
    assert len(github.comments) == 150 and github.comments[0]["body"] == MARK
    assert ("PATCH", "/repos/race/nanogpt/issues/comments/150") in github.asked


def test_without_added_logs_there_is_no_table(race: Path) -> None:
    (race / "README.md").write_text("x")
    git(race, "add", "-A")
    git(race, "commit", "-qm", "text alone")
    assert act(race, "table").stdout == "0 runs in 0 of 0 added files\n"
    assert (race.parent / "temp" / "output").read_text() == "runs=0\n"
    assert not (race / "log-table.json").exists()


def test_a_commit_without_its_parent_is_an_error_that_says_what_to_do(race: Path) -> None:
    shallow = race.parent / "shallow"
    git(race, "clone", "-q", "--depth", "1", f"file://{race}", str(shallow))
    done = act(shallow, "table")
    assert done.returncode == 2
    assert "fetch-depth: 2" in done.stdout and "Traceback" not in done.stderr


@pytest.fixture
def comment(tmp_path: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The second step, in this process, of a table that is in order but for what a test changes."""
    monkeypatch.syspath_prepend(str(ROOT / ".github" / "scripts"))
    script = importlib.import_module("log_comment")
    write(tmp_path / "logs" / "a.txt", 3.2785, 80_000)
    logs = list(collection.read_logs(list(collection.find_logs([str(tmp_path / "logs")])), curve=True))
    (tmp_path / "log-table.json").write_text(FORM.text(tabulation.read(logs)))
    for name, value in ({"TOKEN": "a-token"} | told(tmp_path, github.address)).items():
        monkeypatch.setenv(name, value)

    def run(**event: object) -> int:
        told(tmp_path, github.address, **event)
        return int(script.main(["comment", "records", str(tmp_path / "log-table.json")]))

    return run


Comment = Callable[..., int]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 1}',
        "# [free GPUs](https://example.org)",
        '{"schema": 1, "note": "@everyone"}',
        "[" * 100_000,
        '{"schema": 1, "target": 1' + "0" * 5000 + "}",
    ],
    ids=["empty", "list", "nothing in it", "Markdown", "more", "deep", "long number"],
)
def test_a_file_that_is_no_table_is_never_posted(
    tmp_path: Path, github: GitHub, comment: Comment, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log-table.json").write_text(text)
    assert comment() == 2
    assert capsys.readouterr().out.startswith("log-table.json")
    assert github.asked == []


def test_a_link_in_the_place_of_the_table_is_not_followed(tmp_path: Path, github: GitHub, comment: Comment) -> None:
    (tmp_path / "log-table.json").rename(tmp_path / "other.json")
    (tmp_path / "log-table.json").symlink_to("other.json")
    assert comment() == 2 and github.asked == []


def test_nothing_is_posted_to_a_pull_request_that_moved_on_or_is_not_the_one(
    github: GitHub, comment: Comment, capsys: pytest.CaptureFixture[str]
) -> None:
    for pulls, event in (
        ([], {}),
        ([pull(7, "d" * 40)], {}),
        ([pull(7, "c" * 40, "another/nanogpt")], {}),
        ([pull(7, "c" * 40), pull(8, "c" * 40)], {}),
        ([pull(7, "c" * 40)], {"head_repository": None}),
    ):
        github.pulls = pulls
        assert comment(**event) == 0 and "nothing was posted" in capsys.readouterr().out
    assert github.comments == []
    github.pulls = [pull(7, "c" * 40)]
    assert comment() == 0 and len(github.comments) == 1


def test_a_refusal_of_github_is_an_error_without_the_token(
    github: GitHub, comment: Comment, capsys: pytest.CaptureFixture[str]
) -> None:
    github.status = 403
    assert comment() == 2
    said = capsys.readouterr().out
    assert "HTTP 403" in said and "pull-requests: write" in said and "a-token" not in said
