"""Recorded runs for the tests of what is shown of a run: a folder in `.runs`, written as the recorder writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from harness.store.layout import Project

ROOT = Path(__file__).parents[1]
PACKED = next((ROOT / "records/smoke/2026-11-27_token-before/evidence/runs").iterdir())  # its run.json is the template
RUN_ID = "20261127T101500Z-12345678-abcd"
START_NS = 10**12
HEADER = (b"print('hello')", b"=" * 100, b"Running Python 3.11.7", b"tokens_per_step:4096", b"=" * 100)


def make_project(root: Path) -> Project:
    """A project with this one's tracks and the current record of the smoke track."""
    shutil.copytree(ROOT / "tracks", root / "tracks")
    shutil.copytree(PACKED.parents[2], root / "records" / "smoke" / PACKED.parents[2].name)
    return Project(root)


def line(step: int, total: int, time_ms: int, loss: float | None = None) -> bytes:
    val = "" if loss is None else f" val_loss:{loss:.4f}"
    return f"step:{step}/{total}{val} train_time:{time_ms}ms step_avg:{time_ms / max(step, 1):.2f}ms".encode()


def training(steps: int, total: int, *, step_ms: int = 100, every: int = 10) -> list[tuple[bytes, float]]:
    """Lines of a run of `total` steps until `steps`, each with the second of its arrival; training begins at 5 s."""
    lines = [(text, 4.0) for text in HEADER] + [(b"clock:start", 5.0), (b"clock:stop", 5.0)]
    lines += [(line(0, total, 0, 5.5), 5.5), (b"clock:start", 5.5)]
    at = 5.5
    for step in range(1, steps + 1):
        at += step_ms / 1000
        lines.append((line(step, total, step * step_ms), at))
        if step % every == 0 or step == total:
            lines += [(b"clock:stop", at), (line(step, total, step * step_ms, 5.5 - 2.6 * step / total), at + 0.4)]
            at += 0.4
            lines += [(b"clock:start", at)] if step < total else []
    return lines


def write_run(
    project: Project, lines: list[tuple[bytes, float]], *, run_id: str = RUN_ID, changes: dict[str, Any] | None = None
) -> Path:
    """Write the folder of a run that goes on; `changes` of its run.json."""
    folder = project.runs / run_id
    folder.mkdir(parents=True)
    own = {"id": run_id, "outcome": None, "subject": f"records/smoke/{PACKED.parents[2].name}"}
    told = json.loads((PACKED / "run.json").read_text()) | own | (changes or {})
    (folder / "run.json").write_text(json.dumps(told))
    (folder / "clock.csv").write_text(f"line,monotonic_ns\nstart,{START_NS}\n")
    (folder / "log.txt").write_bytes(b"")
    add_lines(folder, lines)
    return folder


def add_lines(folder: Path, lines: list[tuple[bytes, float]]) -> None:
    before = (folder / "log.txt").read_bytes().count(b"\n")
    with (folder / "clock.csv").open("a") as clock, (folder / "log.txt").open("ab") as log:
        for number, (text, at) in enumerate(lines, start=before + 1):
            clock.write(f"{number},{START_NS + round(at * 1e9)}\n")
            log.write(text + b"\n")


def end_run(folder: Path, at: float, state: str = "finished", reason: str | None = None) -> None:
    """Write how a run ended, as the recorder and then the harness do."""
    with (folder / "clock.csv").open("a") as clock:
        clock.write(f"exit,{START_NS + round(at * 1e9)}\n")
    outcome = {"state": state, "exit_code": 0, "wall_time_s": at, "reason": reason, "received": {}, "survivors": []}
    (folder / "outcome.json").write_text(json.dumps(outcome))
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"outcome": outcome}))
