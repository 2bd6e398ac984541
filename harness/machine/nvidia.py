"""Ask nvidia-smi which accelerators there are and what they are doing.

Hard because a driver refuses a whole query for one field that it does not know: each question has a plainer form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.measurement import Gpu, GpuAtStart
from harness.machine import nvidia_smi
from harness.machine.nvidia_smi import Answer, ask, decimal, rows, whole

_QUERY = ("name", "memory.total", "power.limit", "vbios_version", "driver_version")
_STATE_QUERY = (
    "index",
    "uuid",
    "name",
    "memory.total",
    "memory.used",
    "compute_cap",
    "driver_version",
    "power.limit",
    "power.default_limit",
)
_USER_QUERY = ("gpu_uuid", "pid", "process_name", "used_memory")
_REST_QUERY = (
    "index",
    "uuid",
    "temperature.gpu",
    "power.limit",
    "clocks.sm",
    "clocks.max.sm",
    "memory.total",
    "memory.used",
)
# Whether a clock is locked (`nvidia-smi -lgc`) stands in no field. What is seen of a lock is what limits the clock, which
# drivers before 535 call a throttle reason, and the clock that applications were given, which newer ones do not say.
_CLOCK_QUERIES = (
    (*_REST_QUERY, "clocks.applications.graphics", "clocks_event_reasons.active"),
    (*_REST_QUERY, "clocks.applications.graphics", "clocks_throttle_reasons.active"),
    _REST_QUERY,
)
_LIMITS = (  # by the bits of nvmlClocksEventReasons, the lowest first
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
)
_CAPTURE_S = 30.0  # without persistence mode a driver initialises 8 GPUs one after the other


def named() -> tuple[tuple[Gpu, ...], str | None]:
    """Return the accelerators as a fingerprint names them, and their driver; none where nvidia-smi gives none."""
    program = nvidia_smi.find()
    if program is None:
        return (), None
    [answer] = ask([nvidia_smi.of_gpus(program, _QUERY)], _CAPTURE_S)
    found = rows(answer, _QUERY)
    gpus = tuple(
        Gpu(row["name"], whole(row["memory.total"]), decimal(row["power.limit"]), row["vbios_version"]) for row in found
    )
    return gpus, found[0]["driver_version"] if found else None


@dataclass(frozen=True, slots=True)
class GpuState:
    """One accelerator at this moment; None is "the driver does not say"."""

    index: int
    uuid: str
    name: str
    memory_mib: int | None
    used_mib: int | None
    capability: float | None  # 9.0 on an H100
    driver: str
    power_cap_w: float | None
    power_default_w: float | None


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A process that computes on an accelerator."""

    uuid: str
    pid: int
    program: str
    memory_mib: int | None


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What nvidia-smi says about the accelerators, if it says anything."""

    state: Literal["answered", "absent", "silent", "failed"]
    message: str = ""  # its first line, where it failed
    gpus: tuple[GpuState, ...] = ()
    users: tuple[GpuUser, ...] | None = None  # None: it does not say
    links: dict[tuple[int, int], str] | None = None  # (0, 1) -> "NV18", "PHB", …


def query(seconds: float) -> GpuReport:
    """Ask nvidia-smi for the accelerators, their users and the links between them; never takes longer than `seconds`.

    All queries run at once, because each takes up to a second. An old driver refuses a query with one field that it
    does not know; for that case the plain query of `named` runs beside it.
    """
    program = nvidia_smi.find()
    if program is None:
        return GpuReport("absent")
    full, plain, users, topology = ask(
        [
            nvidia_smi.of_gpus(program, _STATE_QUERY),
            nvidia_smi.of_gpus(program, _QUERY),
            nvidia_smi.of_users(program, _USER_QUERY),
            [program, "topo", "-m"],
        ],
        seconds,
    )
    gpus = _states(full, _STATE_QUERY) or _states(plain, _QUERY)
    if not gpus:
        silent = full.status is None and plain.status is None
        lines = (line.strip() for line in (full.text + plain.text).splitlines())
        return GpuReport("silent" if silent else "failed", next((line[:120] for line in lines if line), "nothing"))
    return GpuReport("answered", "", gpus, _users(users), _links(topology, len(gpus)))


def _states(answer: Answer, columns: Sequence[str]) -> tuple[GpuState, ...]:
    """Read GPUs from an answer with these columns; what stands in no column is not reported."""
    states = []
    for number, row in enumerate(rows(answer, columns)):
        cells = {**dict.fromkeys(_STATE_QUERY, ""), "index": str(number), **row}
        index, memory = whole(cells["index"]), whole(cells["memory.total"])
        if index is None or ("index" not in row and memory is None):
            continue  # no row about a GPU
        states.append(
            GpuState(
                index=index,
                uuid=cells["uuid"],
                name=cells["name"],
                memory_mib=memory,
                used_mib=whole(cells["memory.used"]),
                capability=decimal(cells["compute_cap"]),
                driver=cells["driver_version"],
                power_cap_w=decimal(cells["power.limit"]),
                power_default_w=decimal(cells["power.default_limit"]),
            )
        )
    return tuple(states)


def _users(answer: Answer) -> tuple[GpuUser, ...] | None:
    if answer.status != 0:
        return None
    return tuple(
        GpuUser(row["gpu_uuid"], pid, row["process_name"], whole(row["used_memory"]))
        for row in rows(answer, _USER_QUERY)
        if (pid := whole(row["pid"])) is not None
    )


def _links(answer: Answer, count: int) -> dict[tuple[int, int], str] | None:
    """Read the matrix of `nvidia-smi topo -m`; None where it is incomplete."""
    if answer.status != 0:
        return None
    links: dict[tuple[int, int], str] = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", answer.text).splitlines():
        name, *cells = line.split()[: count + 1] or [""]
        row = whole(name.removeprefix("GPU")) if name.startswith("GPU") else None
        if row is None or cells[:1] == ["GPU1"]:  # the heading begins with GPU0 GPU1
            continue
        links |= {(row, column): cell for column, cell in enumerate(cells) if column > row}
    pairs = {(row, column) for row in range(count) for column in range(row + 1, count)}
    return links if links.keys() == pairs else None


def at_start(seconds: float = _CAPTURE_S) -> tuple[GpuAtStart, ...] | None:
    """Say how every accelerator is right before a run; empty where there is no nvidia-smi, None where it gives none.

    The first answer counts of queries that ask for less and less, as an old driver knows fewer fields.
    """
    program = nvidia_smi.find()
    if program is None:
        return ()
    commands = [nvidia_smi.of_gpus(program, columns) for columns in _CLOCK_QUERIES]
    *answers, users = ask([*commands, nvidia_smi.of_users(program, _USER_QUERY)], seconds)
    who = _users(users)
    for answer, columns in zip(answers, _CLOCK_QUERIES, strict=True):
        gpus = tuple(gpu for row in rows(answer, columns) if (gpu := _at_start(row, who)) is not None)
        if gpus:
            return gpus
    return None


def _at_start(row: dict[str, str], users: tuple[GpuUser, ...] | None) -> GpuAtStart | None:
    """Read one row; None where it is about no GPU."""
    index = whole(row["index"])
    if index is None:
        return None
    own = None if users is None else tuple(sorted({user.pid for user in users if user.uuid == row["uuid"]}))
    return GpuAtStart(
        index=index,
        temperature_c=whole(row["temperature.gpu"]),
        power_cap_w=decimal(row["power.limit"]),
        clock_mhz=whole(row["clocks.sm"]),
        clock_max_mhz=whole(row["clocks.max.sm"]),
        clock_application_mhz=whole(row.get("clocks.applications.graphics", "")),
        clock_limits=_limits(next((cell for name, cell in row.items() if name.endswith("reasons.active")), "")),
        memory_mib=whole(row["memory.total"]),
        memory_used_mib=whole(row["memory.used"]),
        processes=own,
    )


def _limits(cell: str) -> tuple[str, ...] | None:
    """Name the bits that are set in "0x0000000000000001"; None where the cell is no such number."""
    if not re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", cell):
        return None
    mask = int(cell, 16)
    names = [name for bit, name in enumerate(_LIMITS) if mask >> bit & 1]
    unknown = mask >> len(_LIMITS) << len(_LIMITS)
    return (*names, *([f"0x{unknown:x}"] if unknown else []))
