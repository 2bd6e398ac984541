"""Try a script from Python, without a line on the terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.launch.torchrun import TorchrunLauncher
from harness.replay import own_environment
from harness.run.series import Watcher
from harness.screening.answer import Answer, Order, Stage
from harness.screening.attempting import attempt, refused
from harness.store.layout import find_project


def score(
    submission: str,
    *,
    stage: Stage,
    runs: int,
    budget_gpu_hours: float | None,
    env: str | None,
    allow_network: bool,
    root: Path | None,
) -> Answer:
    """See `harness.score`."""
    if stage not in get_args(Stage):
        raise ValueError(f"stage is {stage!r}; give one of {', '.join(get_args(Stage))}")
    if not 1 <= runs <= 1000:
        raise ValueError(f"runs is {runs!r}; give 1 to 1000")
    if budget_gpu_hours is not None and not 0 < budget_gpu_hours < 1e6:
        raise ValueError(f"budget_gpu_hours is {budget_gpu_hours!r}; give a number above 0")
    catalog = Catalog(find_project(Path.cwd(), None if root is None else str(root)))
    order = Order(stage, runs, budget_gpu_hours, allow_network)
    try:
        python, torch = own_environment.interpreter(catalog, env)
    except HarnessError as error:
        return refused(submission, None, order, error, "machine")
    order = Order(stage, runs, budget_gpu_hours, allow_network, python, torch)
    return attempt(catalog, submission, order, TorchrunLauncher(python), unwatched)


def unwatched(subject: Subject) -> Watcher:
    """Show nothing while it runs."""

    def begin(run_id: str, number: int, count: int, what: str | None = None) -> Callable[[bytes], None]:
        return lambda line: None

    return begin
