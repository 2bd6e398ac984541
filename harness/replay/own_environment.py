"""Make the environment that a replay runs in, and list how it differs from the one that the record ran with.

Hard because most records ran with nightly builds of torch, which are deleted after some weeks: the record's own build is
tried first, then a release in its place, and the result says which one it was.
"""

import platform
import sys
from pathlib import Path
from typing import Literal

from harness.catalog.lookup import Catalog
from harness.core.errors import Problem, StoreError, raise_if
from harness.core.record import Label
from harness.replay import environments, obstacles, venv
from harness.replay.plan import Plan
from harness.replay.plan import plan as plan_replay
from harness.store.layout import Project
from harness.store.replays import Environment

Found = Literal["installed", "not found"]  # what became of a build


def make_environment(project: Project, plan: Plan) -> tuple[venv.Venv, Environment]:
    """Make the best environment that can be installed, and note in environments.yaml whether the record's build could be.

    Raises StoreError, with every attempt, where nothing can be installed, and at once where the disk is full.
    """
    made, tried = install(project, plan)
    check_modules(plan, made)
    return made, describe(plan, made, tried)


def install(project: Project, plan: Plan) -> tuple[venv.Venv, tuple[str, ...]]:
    """Make the best environment that can be installed, and say what was tried before it; raises as `make_environment` does."""
    tried: list[str] = []
    for requirements in dict.fromkeys(plan.requirement_sets):
        try:
            made = venv.make(requirements)
        except venv.InstallError as error:
            tried.append(f"{requirements[0]}: {error.problems[0].what}")
            if error.lists_others(requirements[0]):
                note_build(project, plan, requirements, "not found")
            continue
        note_build(project, plan, requirements, "installed")
        return made, tuple(tried)
    raise StoreError.at(plan.name, f"no environment can be made ({'; '.join(tried)})", "check pip's settings")


def made_for(catalog: Catalog, target: str) -> venv.Venv:
    """Return the environment that `doctor TARGET --make` made; raises StoreError where none was made yet."""
    wanted = of_target(catalog, target)
    for requirements in dict.fromkeys(wanted.requirement_sets):
        found = venv.find(requirements)
        if found is not None:
            return found
    what = f"no environment for {wanted.name} is made on this machine"
    raise StoreError.at(
        f"--env {target}", what, f"make it with `speedrun doctor {wanted.name} --make`, then start again"
    )


def interpreter(catalog: Catalog, target: str | None) -> tuple[str, str | None]:
    """Return the interpreter that runs are started with and, where it is not the harness's own, the torch that it has.

    target: the record whose environment `doctor --make` made; None: the harness's. Raises StoreError where it is not made.
    """
    if target is None:
        return sys.executable, None
    made = made_for(catalog, target)
    return str(made.python), made.torch


def of_target(catalog: Catalog, target: str) -> Plan:
    """Plan the environment of a record, of a track's current record, or of the record that a submission builds on.

    Downloads nothing. Raises HarnessError where the target means nothing or names no record.
    """
    named = catalog.find(target)
    record = named.record
    if record is None:
        record = catalog.parent(catalog.subject(named))
    if record is None:
        todo = "name the record whose packages it needs, like short/89"
        raise StoreError.at(target, "this submission names no parent, so no record says what it needs", todo)
    return plan_replay(catalog, record, plan_only=True)


def note_build(project: Project, plan: Plan, requirements: tuple[str, ...], found: Found) -> None:
    """Note in environments.yaml whether the record's own build could be installed."""
    if plan.build is not None and requirements[0] == f"torch=={plan.build.torch}":
        here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        environments.note_availability(project, plan.build.name, found, here)


def check_modules(plan: Plan, made: venv.Venv) -> None:
    """Raise StoreError, before any token is fetched, for modules that the script imports and no package provides."""
    own = {Path(name).stem for name in plan.subject.files}
    missing = venv.missing_modules(made, obstacles.imports(plan.subject.script) - own)
    todo = f"install it from its source with {made.python} -m pip, then start again"
    problems = (Problem(plan.name, f"its script imports {name}, which no package provides", todo) for name in missing)
    raise_if(problems, StoreError)


def describe(plan: Plan, made: venv.Venv, tried: tuple[str, ...]) -> Environment:
    """Describe an environment and all ways in which it differs from the one that the record ran with."""
    different = differences(plan, made.torch, made.packages)
    label: Label = "substituted" if different else "exact"
    return Environment(label, made.torch, platform.python_version(), used_torch(plan), different, tried)


def differences(plan: Plan, torch: str | None, packages: dict[str, str] | None) -> tuple[str, ...]:
    """List all ways in which an environment with this torch is not the record's; packages: None before it is made."""
    used, needs, python = used_torch(plan), plan.needs, platform.python_version()
    different = []
    if used is None:
        different.append("the record does not say which torch it used")
    elif torch != used:
        why = f": {plan.build.why}" if plan.build is not None else ""
        different.append(f"torch {torch} for {used}{why}")
    if needs is None:
        return tuple(different)
    if needs.python and needs.python.split(".")[:2] != python.split(".")[:2]:
        different.append(f"Python {python} for {needs.python}")
    if needs.triton and packages is not None and packages.get("triton") != needs.triton:
        different.append(f"triton {packages.get('triton', 'none')} for {needs.triton}")
    for kernel in needs.hub_kernels:
        if "@" not in kernel:
            different.append(f"hub kernel {kernel}: its revision is not recorded")
    if needs.missing:
        different.append(f"not from a package: {needs.missing}")
    return tuple(different)


def used_torch(plan: Plan) -> str | None:
    """Name the torch build that the record ran with; None where nothing says so."""
    if plan.build is not None:
        return plan.build.torch
    return next((run.torch for run in plan.record.runs if run.torch), None)
