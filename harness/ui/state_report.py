"""Say in which state of the machine the runs of a comparison started, as far as that may interest a person.

The states themselves stand in the stored comparison. Here are only the differences between the two scripts that are
larger than a quiet machine shows, and how long the machine was waited for.
"""

from collections.abc import Callable, Iterable

from harness.core.measurement import MachineState
from harness.store.comparisons import Comparison

# What is worth a line between the two scripts: a GPU at rest varies by 2 or 3 °C, and 1 is one busy core.
DEGREES_C = 5.0
LOAD = 1.0


def lines(comparison: Comparison) -> list[str]:
    """Describe the states that the counted runs started in, a sentence per line; empty where nothing stands out."""
    said = []
    for name, unit, least, value in (
        ("hottest GPU", " °C", DEGREES_C, _temperature_c),
        ("highest load", "", LOAD, _load),
    ):
        a, b = (_highest(comparison, arm, value) for arm in "AB")
        if a is not None and b is not None and abs(a - b) >= least:
            said.append(f"{name} at the start of a run: {a:g}{unit} with A, {b:g}{unit} with B")
    if comparison.waited_s:
        said.append(f"{comparison.waited_s:.0f} s of it were spent waiting for the machine before runs")
    if comparison.obstacles:
        said.append("the same command continues it, once the machine is free")
    if comparison.follows is not None:
        said.append(f"begun anew on this machine after {comparison.follows}, which others may look at as well")
    return said


def _highest(comparison: Comparison, arm: str, value: Callable[[MachineState], Iterable[float | None]]) -> float | None:
    """Return the highest value at the start of any counted run of an arm; None where none was measured."""
    states = [comparison.states[run.run] for run in comparison.runs if run.arm == arm and run.run in comparison.states]
    return max((figure for state in states for figure in value(state) if figure is not None), default=None)


def _temperature_c(state: MachineState) -> Iterable[float | None]:
    return (gpu.temperature_c for gpu in state.gpus or ())


def _load(state: MachineState) -> Iterable[float | None]:
    return (state.load,)
