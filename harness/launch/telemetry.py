"""Ask the driver what all GPUs of this machine do, through a module that is or acts like pynvml."""

from collections.abc import Callable
from typing import Any, Self

TELEMETRY = "telemetry.csv"
TELEMETRY_HEADER = b"monotonic_ns,gpu,power_w,sm_mhz,memory_mhz,temperature_c,utilisation,throttling\n"
# Bits of the clock event reasons (NVML); the first two are the machine's fault, the power cap is its ordinary state.
SLOW = {0x08: "hardware slowdown", 0x20: "thermal (software)", 0x40: "thermal (hardware)", 0x80: "power brake"}
OTHER = {0x04: "power cap", 0x02: "application clocks"}


class Gpus:
    """All GPUs of this machine, through a module that is or acts like pynvml."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    @classmethod
    def find(cls) -> Self | None:
        """Find the GPUs; None without pynvml, a driver or a GPU."""
        try:
            import pynvml

            pynvml.nvmlInit()
            gpus = cls(pynvml)
        except Exception:  # whatever a driver library raises, the run goes on without telemetry
            return None
        return gpus if gpus.handles else None

    def rows(self, now: int) -> bytes:
        """Write one row per GPU; a figure that the driver does not give stays empty."""
        return b"".join(b"%d,%d,%s\n" % (now, index, self._figures(gpu)) for index, gpu in enumerate(self.handles))

    def _figures(self, gpu: Any) -> bytes:
        nvml = self.nvml
        reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        reasons = reasons or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        figures = [
            _text_of(lambda: f"{nvml.nvmlDeviceGetPowerUsage(gpu) / 1000:.1f}"),
            _text_of(lambda: str(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))),
            _text_of(lambda: str(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM))),
            _text_of(lambda: str(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))),
            _text_of(lambda: str(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)),
            _text_of(lambda: "+".join(name for bit, name in (SLOW | OTHER).items() if reasons(gpu) & bit)),
        ]
        return ",".join(figures).encode()


def _text_of(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception:  # NVMLError of any kind: not supported, no permission, lost
        return ""
