"""The environment that a replay runs in: made, and held against what the record ran with."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from harness.core.errors import Problem, StoreError, raise_if
from harness.core.record import Record
from harness.core.replayed import Label
from harness.replay import environments, obstacles, venv
from harness.replay.plan import Plan
from harness.store import run_files
from harness.store.layout import Project
from harness.store.replays import Environment


def make_environment(project: Project, plan: Plan) -> tuple[venv.Venv, Environment]:
    """Make the best environment that can be had, and note beside the record's build whether that was to be had.

    Raises StoreError, with every attempt, where none can be made.
    """
    tried: list[str] = []
    for wish in dict.fromkeys(plan.wishes):
        try:
            made = venv.make(wish)
        except StoreError as error:
            tried.append(f"{wish[0]}: {error.problems[0].what}")
            if "disk is full" in tried[-1]:
                raise
            # pip lists what the index has instead; an index that was not reached lists nothing and proves nothing.
            if re.search(rf"requirement {re.escape(wish[0])} \(from versions: (?!none)", tried[-1]):
                note_build(project, plan, wish, "not found")
            continue
        note_build(project, plan, wish, "installed")
        check_modules(plan, made)
        return made, describe(plan, made, tuple(tried))
    raise StoreError.at(plan.name, f"no environment can be had ({'; '.join(tried)})", "check pip's settings")


def note_build(project: Project, plan: Plan, wish: tuple[str, ...], found: str) -> None:
    """Say in environments.yaml what became of the record's own build."""
    if plan.build is not None and wish[0] == f"torch=={plan.build.torch}":
        here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        environments.note_availability(project, plan.build.name, f"{found} on {run_files.now()[:10]} ({here})")


def check_modules(plan: Plan, made: venv.Venv) -> None:
    """Raise StoreError, before any token is fetched, for modules that the script imports and nothing installed."""
    beside = {Path(name).stem for name in plan.subject.files}
    lacking = venv.lacking(made, obstacles.imports(plan.subject.script) - beside)
    todo = f"build it into its environment with {made.python} -m pip, then start again"
    raise_if(
        (Problem(plan.name, f"its script imports {name}, which no package gives", todo) for name in lacking),
        StoreError,
    )


def describe(plan: Plan, made: venv.Venv, tried: tuple[str, ...]) -> Environment:
    """How an environment differs from what the record ran with."""
    found = differences(plan, made.torch, made.packages)
    label: Label = "substituted" if found else "exact"
    return Environment(label, made.torch, platform.python_version(), used_torch(plan), found, tried)


def differences(plan: Plan, torch: str | None, packages: dict[str, str] | None) -> tuple[str, ...]:
    """All ways in which an environment with this torch is not the record's; packages: None before it is made."""
    used, needs, python = used_torch(plan), plan.needs, platform.python_version()
    found = []
    if used is None:
        found.append("the record does not say which torch it used")
    elif torch != used:
        why = f": {plan.build.why}" if plan.build is not None else ""
        found.append(f"torch {torch} for {used}{why}")
    if needs is None:
        return tuple(found)
    if needs.python and needs.python.split(".")[:2] != python.split(".")[:2]:
        found.append(f"Python {python} for {needs.python}")
    if needs.triton and packages is not None and packages.get("triton") != needs.triton:
        found.append(f"triton {packages.get('triton', 'none')} for {needs.triton}")
    for kernel in needs.hub_kernels:
        if "@" not in kernel:
            found.append(f"hub kernel {kernel}: its revision is not recorded")
    if needs.missing:
        found.append(f"not from a package: {needs.missing}")
    return tuple(found)


def used_torch(plan: Plan) -> str | None:
    """The torch build that the record ran with."""
    return plan.build.torch if plan.build is not None else _own_torch(plan.held)


def _own_torch(record: Record) -> str | None:
    """The torch build that a record of this harness logged."""
    return next((run.torch for run in record.runs if run.torch), None)
