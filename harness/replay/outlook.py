"""Find out what a replay would meet on this machine: what stops it, what is already there and what is missing.

Hard because nothing may be made, downloaded or run to know it: all answers come from files, stats and version numbers.
"""

import dataclasses
from dataclasses import dataclass

from harness.core.errors import HarnessError, MachineError, Problem, raise_if
from harness.core.measurement import Machine
from harness.core.task import Hardware
from harness.dataset import fetching
from harness.machine import computer
from harness.replay import venv
from harness.replay.own_environment import check_modules, describe, differences, used_torch
from harness.replay.plan import Plan
from harness.store.files import free_bytes
from harness.store.layout import cache_folder


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a replay would meet on this machine."""

    machine: Machine
    problems: tuple[Problem, ...]  # what would stop it
    environments: tuple[tuple[str, str], ...]  # of each that would be tried: its requirements, and its state and result
    free_bytes: int  # where environments and tokens go
    shards: int  # that the script reads
    missing: int
    missing_bytes: int


def inspect_machine(plan: Plan) -> Outlook:
    """Inspect this machine for a plan; costs one stat per shard."""
    track, tokens = plan.subject.track, plan.subject.train_tokens
    here = computer.capture(torch=venv.NOT_MADE)
    missing = fetching.missing_shards(track, tokens)
    requirement_sets = tuple(dict.fromkeys(plan.requirement_sets))
    problems = list(machine_problems(plan, here))
    environment = venv.find(requirement_sets[0])
    if environment is not None and plan.here:
        try:
            check_modules(plan, environment)
        except HarnessError as error:
            problems += error.problems
    return Outlook(
        machine=here,
        problems=tuple(problems),
        environments=tuple((", ".join(each), expected_result(plan, each)) for each in requirement_sets),
        free_bytes=free_bytes(cache_folder()),
        shards=len(fetching.needed_shards(track, tokens)),
        missing=len(missing),
        missing_bytes=fetching.size_bytes(track, missing),
    )


def machine_problems(plan: Plan, here: Machine) -> tuple[Problem, ...]:
    """List everything that is certain to stop a replay on this machine."""
    track = plan.subject.track
    hardware = needed_hardware(plan) if here.gpus else dataclasses.replace(track.hardware, processes=plan.processes)
    try:
        computer.check(here, dataclasses.replace(track, hardware=hardware))
    except MachineError as error:
        # The track's own advice may be a dry run, which overrides settings; an original takes no settings.
        todo = "use such a machine" + (", or fewer GPUs with --gpus where the script allows it" if here.gpus else "")
        return (*plan.obstacles, *(dataclasses.replace(p, todo=todo) if plan.upstream else p for p in error.problems))
    return plan.obstacles


def check_machine(plan: Plan) -> None:
    """Raise MachineError, before anything is fetched or installed, where a replay is certain to fail here."""
    raise_if(machine_problems(plan, computer.capture(torch=venv.NOT_MADE)), MachineError)


def expected_result(plan: Plan, requirements: tuple[str, ...]) -> str:
    """Say whether an environment is made or will be, and whether its result is exact or substituted."""
    made = venv.find(requirements)
    if made is not None:
        environment = describe(plan, made, ())
        return "; ".join((f"already made; the result is {environment.label}", *environment.differences))
    torch, used = requirements[0].partition("==")[2], used_torch(plan)
    todo = f"to be made, up to {venv.SIZE_BYTES / 1e9:.0f} GB; if it can be installed, the result is"
    # The default index does not say in a version which CUDA a build is for; the build itself does.
    cuda_unknown = used is not None and "+" not in torch and used.partition("+")[0] == torch
    certain = differences(plan, used if cuda_unknown else torch, None)
    if certain:
        return "; ".join((f"{todo} substituted", *certain))
    return f"{todo} exact" + (f" if the index gives torch {used}" if cuda_unknown else "")


def needed_hardware(plan: Plan) -> Hardware:
    """Return the hardware of the track with the plan's number of GPUs, of any model: the loss can still be compared."""
    return dataclasses.replace(plan.subject.track.hardware, processes=plan.processes, gpu_name=None)
