"""The workflows, forms and templates: what they may do, that they are well-formed, and that every box means something."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PINS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
    "actions/download-artifact": ("d3f86a106a0bac45b974a628896c90dbdf5c8093", "v4.3.0"),
    "actions/upload-pages-artifact": ("7b1f4a764d45c48632c6b24a0339c27f5614fb0b", "v4.0.0"),
    "actions/deploy-pages": ("d6db90164ac5ed86f2b6aed7e0febac5b3c0c03e", "v4.0.5"),
}
ACTION = ROOT / "action.yml"
# The two workflows that another repository copies, by the path that the page gives them.
EXAMPLES = dict(
    re.findall(r"<!-- example: (\S+) -->\n```yaml\n(.*?)```\n", (ROOT / "docs/sidecar.md").read_text(), re.S)
)
FIRST, SECOND = ".github/workflows/log-table.yml", ".github/workflows/log-table-comment.yml"
# The jobs that may do more than read, and exactly what. None of them runs anything of a pull request.
MORE = {
    ("import.yml", "propose"): {"contents": "write", "pull-requests": "write"},
    ("pages.yml", "publish"): {"pages": "write", "id-token": "write"},
}
# What starts each of them: the clock, a person, or what was merged; never a pull request.
STARTS = {"import.yml": {"schedule", "workflow_dispatch"}, "pages.yml": {"push", "workflow_dispatch"}}


def load(path: Path) -> dict[str, Any]:
    held = yaml.safe_load(path.read_text())
    assert isinstance(held, dict)
    return held


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_only_read_and_knows_no_secret(path: Path) -> None:
    held = load(path)
    assert held["permissions"] == {"contents": "read"}
    more = {(path.name, name): job["permissions"] for name, job in held["jobs"].items() if "permissions" in job}
    assert more == {key: value for key, value in MORE.items() if key[0] == path.name}
    assert "${{ secrets" not in path.read_text()
    assert "pull_request_target" not in path.read_text()
    assert all("timeout-minutes" in job for job in held["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_leave_no_token_behind(path: Path) -> None:
    used = re.findall(r"uses: (\S+)@(\S+) # (\S+)$", path.read_text(), re.M)
    assert len(used) == path.read_text().count("uses:")
    assert all(PINS[name] == (pin, version) for name, pin, version in used)
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # An expression inside a command would let a branch's name become a command.
        assert "${{" not in step.get("run", "")


def test_a_job_that_may_write_starts_on_main_by_the_clock_or_by_hand_and_after_one_that_may_only_read() -> None:
    for name, writer in MORE:
        held = load(ROOT / ".github" / "workflows" / name)
        assert held[True].keys() == STARTS[name]  # YAML reads `on` as true
        assert held[True].get("push") in (None, {"branches": ["main"]})
        assert held["jobs"][writer]["needs"] == "read"
        assert "harness" not in " ".join(step.get("run", "") for step in held["jobs"][writer]["steps"])
        assert "starts no other workflow" in (ROOT / ".github" / "workflows" / name).read_text()


def test_the_judge_of_a_pull_request_is_the_base_branch() -> None:
    [checkout] = [s for s in steps(ROOT / ".github/workflows/pull_request.yml") if "checkout" in s.get("uses", "")]
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def pinned(text: str) -> None:
    used = re.findall(
        r"uses: (\S+)@(\S+) # (\S+)$", text.replace("OWNER/REPOSITORY@COMMIT", "OWNER/OURS@COMMIT # ours"), re.M
    )
    assert len(used) == text.count("uses:")
    assert all(PINS[name] == (pin, version) for name, pin, version in used if name != "OWNER/OURS")


def test_the_action_is_pinned_and_has_no_expression_in_a_command() -> None:
    text, held = ACTION.read_text(), load(ACTION)
    pinned(text)
    assert held["runs"]["using"] == "composite"
    for step in held["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    assert "${{ secrets" not in text
    assert held["inputs"]["token"]["default"] == ""  # the first step gets none


def test_the_first_workflow_to_copy_can_only_read_and_the_second_can_only_comment() -> None:
    assert list(EXAMPLES) == [FIRST, SECOND]
    first, second = (yaml.safe_load(EXAMPLES[path]) for path in (FIRST, SECOND))
    assert first["permissions"] == {"contents": "read"} and second["permissions"] == {}
    [(_, table)], [(_, comment)] = first["jobs"].items(), second["jobs"].items()
    assert "permissions" not in table
    assert comment["permissions"] == {"actions": "read", "pull-requests": "write"}
    # True is how YAML 1.1 reads the key `on`.
    assert set(first[True]) == {"pull_request"} and set(second[True]) == {"workflow_run"}
    assert second[True]["workflow_run"]["workflows"] == [first["name"]]
    for text in EXAMPLES.values():
        pinned(text)
        assert "${{ secrets" not in text and "pull_request_target" not in text
    uses = [step["uses"].partition("@")[0] for step in comment["steps"]]
    assert uses == ["actions/download-artifact", "OWNER/REPOSITORY"]  # it checks nothing out
    [checkout, ours, upload] = table["steps"]
    assert checkout["with"] == {"fetch-depth": 2, "persist-credentials": False}
    assert "token" not in ours["with"]
    known = load(ACTION)["inputs"].keys()
    steps = {step["with"]["step"]: set(step["with"]) for step in (ours, comment["steps"][1])}
    assert set(steps) == {"table", "comment"} and all(used <= known for used in steps.values())
    name = upload["with"]["path"]
    assert name == load(ACTION)["inputs"]["file"]["default"]
    assert comment["steps"][1]["with"]["file"] == f"{comment['steps'][0]['with']['path']}/{name}"


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent)) or shutil.which("zizmor")
    if zizmor is None:
        pytest.skip("zizmor is not installed: pip install '.[test]'")
    for path, text in EXAMPLES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text.replace("OWNER/REPOSITORY@COMMIT", f"OWNER/REPOSITORY@{'0' * 40} # main"))
    read = [str(folder) for folder in (ROOT / ".github", ACTION, tmp_path / ".github")]
    command = [zizmor, "--offline", "--no-progress", "--persona", "pedantic", *read]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one_that_github_shows(path: Path) -> None:
    held = load(path)
    assert held.keys() >= {"name", "description", "body"}
    fields = [field for field in held["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    for field in fields:
        assert field["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert field["attributes"]["label"]
        assert ("options" in field["attributes"]) == (field["type"] in ("dropdown", "checkboxes"))


def test_every_box_of_the_pull_request_is_a_machines_or_a_promise() -> None:
    from harness.cli import build_parser

    [commands] = [action for action in build_parser()._actions if action.dest == "verb"]
    script = (ROOT / ".github" / "scripts" / "changes.py").read_text()
    text = (ROOT / ".github" / "pull_request_template.md").read_text()
    machine, promised = text.split("**I promise**")[0], text.split("**I promise**")[1]
    boxes = re.findall(r"^- \[ \] (.+)$", text, re.M)
    assert len(boxes) == text.count("- [ ]") >= 8
    for box in boxes:
        named = re.findall(r"`(speedrun|changes\.py|\./run_tests\.sh) ?([\w-]*)`", box)
        if not named:
            assert box in promised
            assert box.startswith(("that ", "I promise")), box
        for program, verb in named:
            assert {
                "speedrun": verb in (commands.choices or ()),
                "changes.py": f'"{verb}": ' in script,
                "./run_tests.sh": (ROOT / "run_tests.sh").is_file(),
            }[program], box
    assert all("`" in box for box in re.findall(r"^- \[ \] (.+)$", machine, re.M))
