"""Each trick is tried by a real run in each tier; what a tier leaves open is what docs/confinement.md says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.core.errors import MachineError
from harness.core.measurement import Confinement
from harness.launch import confinement, landlock
from tests.confinement.tricks import BODY, TITLES
from tests.faults.projects import HONEST, make_project, processes_of
from tests.warm import python_with_small_torch

ROOT = Path(__file__).parents[2]
TIERS = ("bubblewrap", "landlock", "none")
OPEN = {  # what each tier leaves open, for a user who may do everything
    "bubblewrap": set(),
    "landlock": {"shard-link", "processes", "modes", "shm", "network"},
    "none": set(TITLES) - {"survivor", "chain", "trace"},
}


def confined_as(tier: str) -> Confinement:
    """How a run of this tier is confined here; raises MachineError where it cannot be."""
    view = confinement.View(ROOT, (), (), (), (ROOT,), network=False, python=python_with_small_torch())
    return confinement.choose(view, tier)


def usable(tier: str) -> str | None:
    """None where a tier works here, else why it does not."""
    try:
        confined_as(tier)
    except MachineError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(params=TIERS, scope="module")
def tier(request: pytest.FixtureRequest) -> str:
    why = usable(request.param)
    if why is not None:
        pytest.skip(f"this machine has no {request.param}: {why}")
    return str(request.param)


@pytest.fixture(scope="module")
def played(tier: str, server: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of every trick in one real run."""
    small = make_project(tmp_path_factory.mktemp(tier) / "project")
    small.environment["SPEEDRUN_CONFINEMENT"] = tier
    home = small.root / "home"
    (home / "secret").write_text("secret")
    mark, nap = f"left-{os.getpid()}-{tier}", f"8{os.getpid()}"
    holder = subprocess.Popen(["/bin/sleep", "3600"], env={"SPEEDRUN_TEST_SECRET": "1"})
    try:
        given = {"root": str(small.root), "harness": str(Path(harness.__file__).parent), "home": str(home)}
        body = BODY.format(**given, port=server, mark=mark, nap=nap, secret_pid=holder.pid, tracing=tier != "none")
        done = small.run("run", str(small.submit(HONEST + body)), "--runs", "1")
    finally:
        holder.kill()
        holder.wait()
    assert small.ends() == ["finished"], done.stderr
    log = (small.run_folders()[0] / "log.txt").read_text()
    found = dict(re.findall(r"^trick:([a-z-]+):(open|closed)$", log, re.MULTILINE))
    for name, folder in (("shm", "/dev/shm"), ("tmp", "/tmp"), ("outcome", small.run_folders()[0])):
        left = Path(folder) / mark
        found[name] = "open" if left.exists() else "closed"
        left.unlink(missing_ok=True)
    found["survivor"] = "open" if alive(nap) else "closed"
    found["chain"] = "open" if processes_of(small) else "closed"
    return found


def alive(nap: str) -> bool:
    """Whether the daemon that sleeps so long is there."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{entry}/cmdline").read_bytes() == f"sleep\0{nap}\0".encode():
                return True
        except OSError:
            continue
    return False


def test_a_tier_closes_what_the_page_says(tier: str, played: dict[str, str]) -> None:
    assert set(played) == set(TITLES) - ({"trace"} if tier == "none" else set())
    found = {name for name, outcome in played.items() if outcome == "open"}
    if os.geteuid() == 0 and confined_as(tier).user is None:
        assert found == OPEN[tier]
    else:  # a plain user, or a run with a user of its own, can do less
        assert found <= OPEN[tier]


def test_the_table_of_the_page_is_what_was_tried() -> None:
    begin, end = "<!-- tricks: generated -->\n", "<!-- tricks: end -->"
    page = (ROOT / "docs" / "confinement.md").read_text()
    assert page.split(begin)[1].split(end)[0] == table(), (
        "paste tests.confinement.test_tricks.table() between the marks"
    )


def table() -> str:
    """Write tricks by tiers as a Markdown table."""
    lines = ["| a script cannot | bubblewrap | Landlock | none |", "|---|---|---|---|"]
    for name, title in TITLES.items():
        cells = ["**open**" if name in OPEN[tier] else "closed" for tier in TIERS]
        if name == "trace":
            cells[-1] = "**open**"
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_landlock_says_which_abi_leaves_what_open() -> None:
    assert landlock.open_points(7) == ()
    assert landlock.open_points(5) == ("processes of the same user can be signalled",)
    assert len(landlock.open_points(2)) == 2
