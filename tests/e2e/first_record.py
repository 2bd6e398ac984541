"""A submitter's evening, run for real: the output in docs/first-record.md is what its own commands print.

`PYTHONPATH=. python -m tests.e2e.first_record` runs every command of the page in a copy of the working tree and writes what
it prints below it; a few minutes on two cores. Dates and ids of runs are replaced by ones that stay, so that a page that is
made anew differs in what was measured and in what the commands say. All figures are of the run that made the page.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.named import as_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first-record.md"
DAY, NAME = "2026-12-01", "fewer-steps"  # of the evening, on the page
INTERRUPT = "# Ctrl-C in the second run"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
_RUN_ID = re.compile(r"\b\d{8}T\d{6}Z-([0-9a-f]{8})-[0-9a-f]{4}\b")
_PASS = re.compile(r"^  [A-Z]\d+ +pass (?!.*aborted)")
SHOWN = 2  # findings that pass, of those that stand below each other


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the page, and what stands below it."""

    command: str  # as typed, over several lines where it has them
    output: str


def steps_of(block: str) -> list[Step]:
    """Split a block into its commands, which begin with "$ " and go on with "> ", and their output."""
    steps = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.splitlines()
        more = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:more])])
        steps.append(Step(command, "".join(f"{line}\n" for line in lines[more:])))
    return steps


def all_steps(page: str) -> list[Step]:
    """Return all commands of a page in their order."""
    return [step for block in _BLOCK.findall(page) for step in steps_of(block)]


def text_of(steps: list[Step]) -> str:
    """Write a block of commands with their output."""
    return "".join("$ " + step.command.replace("\n", "\n> ") + "\n" + step.output for step in steps)


# ------------------------------------------------------------------------------------------------ running


def make_copy(folder: Path) -> Path:
    """Copy the working tree, as of the day of the page's example, into a repository of its own."""
    tree = folder / "modded"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, os.fsdecode(names).split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    as_of(tree, "smoke/4")  # which the example beats
    tools = folder / "bin"
    tools.mkdir()
    (tools / "speedrun").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    (tools / "speedrun").chmod(0o755)
    who = "[user]\nname = A Newcomer\nemail = newcomer@example.org\n[init]\ndefaultBranch = main\n"
    (folder / "gitconfig").write_text(who)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "the working tree")):
        subprocess.run(["git", *words], cwd=tree, env=environment(folder), check=True)
    return tree


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of the evening's shell."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    paths = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    own = {"PATH": os.pathsep.join(paths), "HOME": str(folder), "GIT_CONFIG_GLOBAL": str(folder / "gitconfig")}
    order = {"PYTHONUNBUFFERED": "1"}  # what goes to both streams stands as on a terminal
    return kept | own | order | {"PYTHONPATH": str(folder / "modded"), "OMP_NUM_THREADS": "1"}


def execute(tree: Path, command: str) -> str:
    """Run one command in the copy and return all that it prints; press Ctrl-C in the second run where it says so."""
    typed = command.removesuffix(INTERRUPT).rstrip()
    process = subprocess.Popen(
        ["bash", "-c", f"exec {typed}" if typed != command else typed],
        cwd=tree,
        env=environment(tree.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if typed != command and re.search(r"^run 2 of 5 .*\bstep 20/", line):
            said += "^C\n"
            os.kill(process.pid, signal.SIGINT)
    status = process.wait()
    expected = 130 if typed != command else 0
    if status != expected:
        raise SystemExit(f"{typed} ended with status {status}, not {expected}:\n{said}")
    return said


# ------------------------------------------------------------------------------------------------ writing


def normalised(said: str, days: set[str], ids: dict[str, str]) -> str:
    """Replace dates and the ids of runs by ones that stay the same from one evening to the next."""
    for day in days:
        said = said.replace(f"{day}_{NAME}", f"{DAY}_{NAME}")

    def stays(found: re.Match[str]) -> str:
        number = len(ids)
        moment = f"{DAY.replace('-', '')}T19{number:02d}00Z"
        return ids.setdefault(found[0], f"{moment}-{found[1]}-{0x1000 + number:04x}")

    return _RUN_ID.sub(stays, said)


def shortened(said: str) -> str:
    """Leave out findings that pass, where more than a few stand below each other."""
    kept: list[str] = []
    passing: list[str] = []

    def flush() -> None:
        kept.extend(passing if len(passing) <= SHOWN + 1 else [*passing[:SHOWN], "…"])
        passing.clear()

    for line in said.splitlines():
        if _PASS.match(line):
            passing.append(line)
            continue
        flush()
        kept.append(line)
    flush()
    return "".join(f"{line}\n" for line in kept)


def evening(page: str) -> Iterator[tuple[str, str]]:
    """Run the commands of every block of a page in their order; yield each block with the one that takes its place."""
    ids: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="first-record-") as folder:
        tree = make_copy(Path(folder))
        days = {str(datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=n)) for n in (0, 1)}
        for block in _BLOCK.findall(page):
            done = []
            for step in steps_of(block):
                print(f"$ {step.command}", file=sys.stderr)
                done.append(Step(step.command, shortened(normalised(execute(tree, step.command), days, ids))))
            yield block, text_of(done)


# ------------------------------------------------------------------------------------------------ what holds the page

_FIGURE = re.compile(r"\d[\d,.]*(e[-+]\d+)?")
# What depends on the machine and on what ran before, or stands in an evening with Ctrl-C alone.
_OF_ONE_EVENING = re.compile(
    r"^  (machine|scoring) |^  [A-Z]\d+ |^would freeze|in addition to|Ctrl-C|\^C|those that are missing"
    r"|^(run \d of \d|first run)  "  # where a run stands, and beside which loss
)


def forms(said: str) -> set[str]:
    """Return the forms of all lines: no figure, hash or id, and one blank for many."""
    plain = re.sub(r"\b[0-9a-f]{12,64}\b", "h", _RUN_ID.sub("id", said))
    lines = (line for line in plain.splitlines() if not _OF_ONE_EVENING.search(line))
    return {" ".join(_FIGURE.sub("#", line).split()) for line in lines} - {"", "…"}


def forms_of_page() -> set[str]:
    """Return the forms of all that the harness printed on the page."""
    steps = all_steps(PAGE.read_text())
    return forms("".join(step.output for step in steps if step.command.startswith("speedrun ")))


def main() -> None:
    """Write the output in the page anew."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs behind it without
    page = PAGE.read_text()
    for old, new in evening(page):
        page = page.replace(f"```console\n{old}```", f"```console\n{new}```", 1)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
