"""Answers `run` from saved run folders, so that a verification walks the same code as a run on 8×H100."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness import jsonform
from harness.errors import RunError
from harness.launch import base
from harness.schema import RunOutcome
from harness.store import runs


class SavedLauncher:
    """Plays back saved runs in the given order, one for each plan."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders: Iterator[Path] = iter(folders)

    def run(self, plan: base.LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Copy the next saved log, clock and outcome into the plan's folder; see `Launcher`."""
        saved = next(self.folders, None)
        if saved is None:
            raise RunError.at(plan.run_id, "there is no further saved run to play back", "save more runs")
        for name in (runs.LOG, runs.CLOCK, runs.STDERR, runs.OUTCOME):
            if (saved / name).exists():
                shutil.copyfile(saved / name, plan.folder / name)
        for line in (plan.folder / runs.LOG).read_bytes().splitlines():
            watch(line)
        return jsonform.read(plan.folder / runs.OUTCOME, RunOutcome, name=str(saved / runs.OUTCOME))
