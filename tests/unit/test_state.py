"""The state before a run: what nvidia-smi says of it, what is in the way, and how long that is waited for.

A script of the test plays nvidia-smi, in the form that its manual gives for --format=csv,noheader,nounits.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.compare import readiness
from harness.compare.readiness import Start, Waiting
from harness.core import codec
from harness.core.measurement import GpuAtStart, MachineState
from harness.machine import nvidia, state
from tests.unit.test_codec import MACHINE

# Answers by the last column that was asked for; without a file, the driver does not know the field.
FAKE = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
  --query-gpu=*,clocks_event_reasons.active) file=events ;;
  --query-gpu=*,clocks_throttle_reasons.active) file=throttles ;;
  --query-gpu=*,memory.used) file=plain ;;
  --query-compute-apps=*) file=users ;;
esac
[ -f "$here/$file" ] || { echo "Field \\"${1##*,}\\" is not a valid field to query."; exit 2; }
cat "$here/$file"
"""
ROW = "{i}, GPU-5a1{i}e0d2-7c1b-4a53-9d0e-6f2b8c4e1a77, 3{i}, 700.00, 345, 1980, 81559, 4"
DEPRECATED = "[Requested functionality has been deprecated]"


class Smi:
    """An nvidia-smi with two GPUs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program(FAKE)
        self.tells("events", f"{ROW}, 1755, 0x0000000000000001")
        self.tells("throttles", f"{ROW}, 1755, 0x0000000000000001")
        self.tells("plain", ROW)
        (folder / "users").write_text("")

    def program(self, text: str) -> None:
        (self.folder / "nvidia-smi").write_text(text)
        (self.folder / "nvidia-smi").chmod(0o755)

    def tells(self, file: str, row: str) -> None:
        (self.folder / file).write_text("".join(row.format(i=i) + "\n" for i in range(2)))


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Smi(tmp_path)


def test_every_gpu_is_told_with_all_that_a_comparison_looks_at(smi: Smi) -> None:
    gpus = nvidia.at_start()
    assert gpus is not None
    assert gpus[1] == GpuAtStart(1, 31, 700.0, 345, 1980, 1755, ("gpu_idle",), 81559, 4, ())
    assert [gpu.index for gpu in gpus] == [0, 1]


def test_a_process_is_told_with_the_gpu_that_it_computes_on(smi: Smi) -> None:
    uuid = "GPU-5a11e0d2-7c1b-4a53-9d0e-6f2b8c4e1a77"
    (smi.folder / "users").write_text(f"{uuid}, 4711, /home/somebody/bin/python, 70000\n{uuid}, 12, [N/A], [N/A]\n")
    gpus = nvidia.at_start()
    assert gpus is not None
    assert [gpu.processes for gpu in gpus] == [(), (12, 4711)]
    assert "somebody" not in json.dumps(codec.encode(gpus))
    assert "GPU-" not in json.dumps(codec.encode(gpus))


def test_an_older_driver_is_asked_in_its_own_words(smi: Smi) -> None:
    smi.tells("throttles", f"{ROW}, 1755, 0x0000000000000002")
    (smi.folder / "events").unlink()
    gpus = nvidia.at_start()
    assert gpus is not None and gpus[0].clock_limits == ("applications_clocks_setting",)
    (smi.folder / "throttles").unlink()
    gpus = nvidia.at_start()
    assert gpus is not None and gpus[0] == GpuAtStart(0, 30, 700.0, 345, 1980, None, None, 81559, 4, ())
    (smi.folder / "users").unlink()
    gpus = nvidia.at_start()
    assert gpus is not None and gpus[0].processes is None


@pytest.mark.parametrize(
    ("cell", "limits"),
    [
        ("0x0000000000000000", ()),
        ("0x0000000000000006", ("applications_clocks_setting", "sw_power_cap")),
        ("0x0000000000000401", ("gpu_idle", "0x400")),
        ("[N/A]", None),
        (DEPRECATED, None),
        ("0x1; rm", None),
    ],
)
def test_what_limits_a_clock_is_named_bit_by_bit(smi: Smi, cell: str, limits: tuple[str, ...] | None) -> None:
    smi.tells("events", f"{ROW}, {DEPRECATED}, {cell}")
    gpus = nvidia.at_start()
    assert gpus is not None
    assert gpus[0].clock_limits == limits
    assert gpus[0].clock_application_mhz is None


@pytest.mark.parametrize(
    "program",
    [
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'\nexit 9\n",
        "#!/bin/sh\nhead -c 300000 /dev/urandom\n",
        "#!/bin/sh\nexec yes ''\n",
        "not a program at all",
    ],
    ids=["failed", "noise", "endless", "no-program"],
)
def test_whatever_calls_itself_nvidia_smi_gives_no_gpu(smi: Smi, program: str) -> None:
    smi.program(program)
    assert nvidia.at_start() is None


def test_a_driver_that_hangs_is_given_up(smi: Smi) -> None:
    smi.program("#!/bin/sh\nexec sleep 3119\n")
    assert nvidia.at_start(0.2) is None


def test_without_nvidia_smi_the_host_alone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    taken = state.take()
    assert taken.gpus == ()
    assert taken.load is not None and taken.load >= 0
    assert taken.memory_available_bytes is not None and taken.memory_available_bytes > 1 << 20
    assert taken.shm_used_bytes is None or taken.shm_used_bytes >= 0


def test_what_cannot_be_read_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> tuple[float, float, float]:
        raise OSError("no load here")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(state, "SHM", tmp_path)  # a folder that is no file system of its own
    monkeypatch.setattr(state, "_MEMORY", tmp_path / "none")
    monkeypatch.setattr(os, "getloadavg", fails)
    assert state.take() == MachineState((), None, None, None)


# ------------------------------------------------------------------------------------------ what is in the way

GPU = GpuAtStart(0, 34, 700.0, 345, 1980, 1755, ("gpu_idle",), 81559, 4, ())
FREE = MachineState((GPU, replace(GPU, index=1)), 0.4, 64 << 30, 0)


def changed(**changes: Any) -> MachineState:
    """The free state with the second GPU changed."""
    assert FREE.gpus is not None
    return replace(FREE, gpus=(FREE.gpus[0], replace(FREE.gpus[1], **changes)))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (changed(power_cap_w=650.0), "GPU 1: the power cap is 650 W and was 700 W"),
        (changed(clock_max_mhz=1410), "GPU 1: the highest clock is 1410 MHz and was 1980 MHz"),
        (changed(clock_application_mhz=1200), "GPU 1: the clock for applications is 1200 MHz and was 1755 MHz"),
        (
            changed(clock_limits=("gpu_idle", "applications_clocks_setting")),
            "GPU 1: the clock was set or locked since the first run",
        ),
        (changed(processes=(4711,)), "GPU 1: 1 process on it (4711)"),
        (changed(processes=(1, 2, 3, 4, 5)), "GPU 1: 5 processes on it (1, 2, 3, 4, …)"),
        (changed(memory_used_mib=4 + 816), "GPU 1: 816 MiB more in use than before the first run"),
        (replace(FREE, shm_used_bytes=200 << 20), "/dev/shm: 200 MiB more in use than before the first run"),
        (replace(FREE, gpus=None), "nvidia-smi gives no answer"),
        (replace(FREE, gpus=(GPU,)), "GPU 1: not listed any more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_cause_is_in_the_way_and_named(now: MachineState, said: str) -> None:
    assert state.obstacles(FREE, now, MACHINE) == [said]


@pytest.mark.parametrize(
    "now",
    [
        FREE,
        changed(temperature_c=88, clock_mhz=1980),
        changed(memory_used_mib=4 + 815),  # 1 % of 81,559 MiB
        changed(memory_used_mib=0),
        changed(clock_limits=()),
        changed(clock_limits=("sw_power_cap", "sw_thermal_slowdown")),
        changed(
            temperature_c=None,
            power_cap_w=None,
            clock_max_mhz=None,
            clock_application_mhz=None,
            clock_limits=None,
            memory_used_mib=None,
            processes=None,
        ),
        replace(FREE, load=900.0, memory_available_bytes=1),
        replace(FREE, load=None, memory_available_bytes=None, shm_used_bytes=None),
        replace(FREE, shm_used_bytes=163 << 20),  # of 16 GiB
    ],
)
def test_heat_load_and_what_was_not_measured_are_never_in_the_way(now: MachineState) -> None:
    assert state.obstacles(FREE, now, MACHINE) == []


def test_what_several_gpus_have_in_common_is_said_once() -> None:
    assert FREE.gpus is not None
    lowered = replace(FREE, gpus=tuple(replace(gpu, power_cap_w=500.0) for gpu in FREE.gpus))
    assert state.obstacles(FREE, lowered, MACHINE) == ["GPU 0, 1: the power cap is 500 W and was 700 W"]


# ------------------------------------------------------------------------------------------ waiting


class Clock:
    """Time that passes only while somebody sleeps; the state is what `ask` makes of the seconds that have passed."""

    def __init__(self, ask: Callable[[float], MachineState]) -> None:
        self.now_s, self.asked, self.said, self.ask = 0.0, 0, list[str](), ask

    def waiting(self) -> Waiting:
        return Waiting(self.said.append, self._take, lambda: self.now_s, self._sleep)

    def _take(self) -> MachineState:
        self.asked += 1
        return self.ask(self.now_s)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_free_machine_is_asked_once_and_nothing_is_said() -> None:
    clock = Clock(lambda now_s: FREE)
    assert readiness.wait(FREE, MACHINE, clock.waiting()) == Start(FREE)
    assert (clock.asked, clock.now_s, clock.said) == (1, 0.0, [])


def test_a_run_waits_until_what_is_in_the_way_is_gone() -> None:
    clock = Clock(lambda now_s: changed(processes=(4711,)) if now_s < 73 else FREE)
    start = readiness.wait(FREE, MACHINE, clock.waiting())
    assert start == Start(FREE, waited_s=75.0)
    assert clock.asked == 16, "every 5 s"
    assert clock.said == [
        "waiting for the machine, 0 of 300 s: GPU 1: 1 process on it (4711)",
        "waiting for the machine, 60 of 300 s: GPU 1: 1 process on it (4711)",
        "the machine is free again after 75 s",
    ]


def test_what_does_not_go_is_given_up_after_five_minutes() -> None:
    clock = Clock(lambda now_s: changed(power_cap_w=650.0))
    start = readiness.wait(FREE, MACHINE, clock.waiting())
    assert (start.waited_s, clock.now_s) == (300.0, 300.0)
    assert start.obstacles == ("GPU 1: the power cap is 650 W and was 700 W",)


def test_a_driver_that_answers_slowly_does_not_make_it_longer_than_one_answer() -> None:
    clock = Clock(lambda now_s: replace(FREE, gpus=None))
    waiting = clock.waiting()

    def slowly() -> MachineState:
        clock.now_s += 30.0
        return waiting.ask()

    start = readiness.wait(FREE, MACHINE, replace(waiting, ask=slowly))
    assert start.obstacles == ("nvidia-smi gives no answer",)
    assert start.waited_s == 310.0


def test_before_the_first_run_there_is_nothing_to_differ_from_but_the_gpus_must_be_free() -> None:
    odd = changed(power_cap_w=300.0, memory_used_mib=70000)
    assert readiness.wait(None, MACHINE, Clock(lambda now_s: odd).waiting()) == Start(odd)
    clock = Clock(lambda now_s: changed(processes=(1,), memory_used_mib=70000) if now_s < 20 else FREE)
    assert readiness.wait(None, MACHINE, clock.waiting()) == Start(FREE, 20.0)


def test_a_state_holds_numbers_and_names_of_the_driver_alone() -> None:
    texts = {field.name for field in dataclasses.fields(GpuAtStart) if "str" in str(field.type)}
    assert texts == {"clock_limits"}
    assert not {field.name for field in dataclasses.fields(MachineState) if "str" in str(field.type)}
