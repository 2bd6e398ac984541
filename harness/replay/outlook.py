"""What a replay would find on this machine; nothing is made, fetched or run to know it."""

from __future__ import annotations

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
    """What a replay would find on this machine; nothing was made, fetched or run to know it."""

    machine: Machine
    problems: tuple[Problem, ...]  # what would stop it
    environments: tuple[tuple[str, str], ...]  # the requirements of each that would be tried; whether made, what result
    free_bytes: int  # where environments and tokens go
    shards: int  # that the script reads
    missing: int
    missing_bytes: int


def look(plan: Plan) -> Outlook:
    """Look at this machine for a plan: can it, what is made, what is fetched. Costs a stat per shard."""
    track, tokens = plan.subject.track, plan.subject.train_tokens
    here = computer.capture(torch="in an environment of its own")
    missing = fetching.missing_shards(track, tokens)
    wishes = tuple(dict.fromkeys(plan.wishes))
    problems = list(machine_problems(plan, here))
    made = venv.find(wishes[0])
    if made is not None and plan.here:
        try:
            check_modules(plan, made)
        except HarnessError as error:
            problems += error.problems
    return Outlook(
        machine=here,
        problems=tuple(problems),
        environments=tuple((", ".join(wish), expected(plan, wish)) for wish in wishes),
        free_bytes=free_bytes(cache_folder()),
        shards=len(fetching.needed_shards(track, tokens)),
        missing=len(missing),
        missing_bytes=fetching.size_bytes(track, missing),
    )


def machine_problems(plan: Plan, here: Machine) -> tuple[Problem, ...]:
    """Everything that is certain to stop a replay on this machine."""
    track = plan.subject.track
    asked = _asked(plan) if here.gpus else dataclasses.replace(track.hardware, processes=plan.processes)
    try:
        computer.check(here, dataclasses.replace(track, hardware=asked))
    except MachineError as error:
        # A dry run overrides settings, which no original takes.
        todo = "use such a machine" + (", or fewer GPUs with --gpus where the script allows it" if here.gpus else "")
        found = [dataclasses.replace(p, todo=todo) if plan.upstream else p for p in error.problems]
        return (*plan.obstacles, *found)
    return plan.obstacles


def check_machine(plan: Plan) -> None:
    """Raise MachineError, before anything is fetched or installed, where this machine cannot do it."""
    raise_if(machine_problems(plan, computer.capture(torch="in an environment of its own")), MachineError)


def expected(plan: Plan, wish: tuple[str, ...]) -> str:
    """Whether an environment is made or to be made, and whether the result would be exact or substituted."""
    made = venv.find(wish)
    if made is not None:
        told = describe(plan, made, ())
        return "; ".join((f"made already; the result is {told.label}", *told.differences))
    torch, used = wish[0].partition("==")[2], used_torch(plan)
    room = f"to be made, up to {venv.ROOM_BYTES / 1e9:.0f} GB; where it can be had the result is"
    # The default index does not say in a version which CUDA a build is for; the build itself does.
    open_end = used is not None and "+" not in torch and used.partition("+")[0] == torch
    certain = differences(plan, used if open_end else torch, None)
    if certain:
        return "; ".join((f"{room} substituted", *certain))
    return f"{room} exact" + (f" if the index gives torch {used}" if open_end else "")


def _asked(plan: Plan) -> Hardware:
    """So many GPUs of any model: another model gives a loss to compare, if no time."""
    hardware = plan.subject.track.hardware
    return dataclasses.replace(hardware, processes=plan.processes, gpu_name=None)
