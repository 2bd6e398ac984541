"""A newcomer's first hour: CONTRIBUTING.md's commands, run as printed, in a fresh clone; then the maintainer's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e import first_record
from tests.named import as_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
# The printed commands cost over a minute of CPU time with the real script. Here its target is one that a smaller model
# reaches in as many steps; the validation tokens, the ranks, the number of runs and all rules are the track's own.
TARGET = ("above_entropy: 0.15 ", "above_entropy: 2.6 ")
SMALLER = {
    "val_loss_every: int = 20": "val_loss_every: int = 50",
    "n_layer: int = 2": "n_layer: int = 1",
    "d_model: int = 64": "d_model: int = 16",
}


def commands(section: str, page: str = PAGE) -> str:
    """The fenced shell blocks of one section, as one script."""
    text = page.split(f"## {section}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S))


def environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "gitconfig"), "OMP_NUM_THREADS": "1"}


def with_environment(clone: Path) -> None:
    """The .venv that setup_env.sh would make, from the packages that run this test: nothing is downloaded."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    bin_folder = clone / ".venv" / "bin"
    [packages] = (clone / ".venv" / "lib").glob("python*/site-packages")
    (packages / "here.pth").write_text(f"{sysconfig.get_path('purelib')}\n{clone}\n")
    program = f"#!{bin_folder}/python\nimport sys\nfrom harness.cli import main\n"
    program += "from tests.warm import forgive_a_busy_machine\nforgive_a_busy_machine()\nsys.exit(main())\n"
    (bin_folder / "speedrun").write_text(program)
    for tool in ("ruff", "mypy"):
        (bin_folder / tool).symlink_to(Path(sys.executable).parent / tool)
    (bin_folder / "pip").write_text("#!/bin/sh\necho nothing is downloaded in a test >&2\nexit 1\n")
    for name in ("speedrun", "pip"):
        (bin_folder / name).chmod(0o755)
    sums = "cksum pyproject.toml constraints.txt | cut -d' ' -f1,2 | tr '\\n' ' '"
    have = subprocess.run(["bash", "-c", sums], cwd=clone, capture_output=True, text=True, check=True).stdout
    (clone / ".venv" / "speedrun-installed").write_text(f"{have}\ntrain,test\n")


def replace(path: Path, changes: dict[str, str]) -> None:
    """Change a file where each of these texts stands once."""
    text = path.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contributing")
    tree = folder / "tree"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=False)
    if names.returncode:
        pytest.skip("no git checkout")
    for name in filter(None, os.fsdecode(names.stdout).split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    as_of(tree, "smoke/4")  # the page's example beats this one
    replace(tree / "tracks" / "smoke.yaml", dict([TARGET]))
    (folder / "gitconfig").write_text(
        "[user]\nname = A Newcomer\nemail = newcomer@example.org\n[init]\ndefaultBranch = main\n"
    )
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "the working tree")):
        subprocess.run(["git", *command], cwd=tree, env=environment(folder), check=True)
    subprocess.run(["git", "clone", "-q", "--bare", tree, folder / "origin.git"], env=environment(folder), check=True)
    subprocess.run(["git", "clone", "-q", "origin.git", "clone"], cwd=folder, env=environment(folder), check=True)
    with_environment(folder / "clone")
    return folder / "clone"


def execute(clone: Path, script: str, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone,
        env=environment(clone.parent) | more,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_run_is_submitted_in_five_steps(clone: Path) -> None:
    assert len(re.findall(r"^\*\*\d\. ", PAGE.split("## Submit a run")[1].split("\n## ")[0], re.M)) == 5
    before, mark, after = commands("Submit a run").partition("speedrun run ")
    assert mark
    said = execute(clone, before)
    [script] = (clone / "submissions").glob("*_fewer-steps/train_gpt.py")
    replace(script, SMALLER)
    said += execute(clone, f". .venv/bin/activate\n{mark}{after}")
    for words in (
        "+1 −1 lines of code",
        "froze train_gpt.py",
        "packed 3 runs",
        "verdict: pass",
        "3 fewer: a new record",
    ):
        assert words in said
    assert re.search(r"the submission \S+_fewer-steps: in order", said)
    pushed = ["git", "--git-dir", clone.parent / "origin.git", "diff", "--name-only", "main", "fewer-steps"]
    names = subprocess.run(pushed, capture_output=True, text=True, check=True).stdout.splitlines()
    assert names
    assert all(re.match(r"submissions/\d{4}-\d{2}-\d{2}_fewer-steps/", name) for name in names)
    assert "smoke/4 holds the record with 68 steps; this is 3 fewer: a new record" in said
    assert "tokens/s" in said
    stale = first_record.forms_of_page() - first_record.forms(said)
    assert not stale, "no command prints this now: PYTHONPATH=. python -m tests.e2e.first_record makes the page anew"
    shutil.rmtree(clone / ".runs")  # the maintainer has only the pack
    verdict = execute(clone, ".venv/bin/speedrun verify --json submissions/*_fewer-steps 2>/dev/null")
    assert json.loads(verdict)["outcome"] == "pass"
    # Fresh runs of whoever is listed are what a record rests on; tests/flow makes such sessions on a smaller track.
    refused = execute(clone, "! .venv/bin/speedrun accept submissions/*_fewer-steps --timer @a-newcomer")
    assert "tracks/timers.yaml" in refused


def test_a_new_track_is_one_file_and_a_first_script_runs_on_it(clone: Path) -> None:
    said = execute(clone, commands("From a file to a first run", (ROOT / "docs" / "tracks.md").read_text()))
    for words in (
        "nano has no parent for it",
        "dry run of submissions/",
        "succeeded",
        "judged by nano@1",
        "3 on 2 processes",
    ):
        assert words in said
    added = execute(clone, "git status --porcelain --untracked-files=all | cut -c4- | grep -v '^submissions/'").split()
    assert {*added} <= {"tracks/nano.yaml", "tracks/nano.pins.json", "leaderboard.md"} | {
        name for name in added if name.startswith("leaderboard/")
    }
    assert "tracks/nano.yaml" in added and "tracks/nano.pins.json" in added


def test_the_harness_is_changed_in_three_steps(clone: Path) -> None:
    assert len(re.findall(r"^\*\*\d\. ", PAGE.split("## Change the harness")[1].split("\n## ")[0], re.M)) == 3
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", clone / ".mypy_cache")
    if not (Path(sys.executable).parent / "ruff").exists():
        pytest.skip("ruff is not installed beside this Python")
    execute(clone, "git stash -q -u")  # what the other test left
    # Of the tests that the command names some are enough to see that it runs them; all of them run outside the clone.
    said = execute(clone, commands("Change the harness"), PYTEST_ADDOPTS="-k import_cycle")
    assert re.search(r"^[1-9]\d* passed", said, re.M)
    assert "records stay as they are" in said or "records are only added to: in order" in said
