"""Name a log's layout: one of the 26 dialects of the field's archive, or a plain description of a new one.

A label for people and for the golden tests; nothing is judged by it.
"""

from dataclasses import dataclass

from harness.runlog.grammar import MetricLine
from harness.runlog.header import Header
from harness.runlog.runs import RunLines
from harness.runlog.source import Layout


@dataclass(frozen=True, slots=True)
class Traits:
    """What the name of a dialect depends on."""

    layout: Layout
    header: Header
    lower_case_python: bool  # "Running python"
    file_list: bool  # "Training dataloader files"
    tail_averages: bool  # "tailavg step:"
    runs: list[RunLines]


def name_dialect(traits: Traits) -> str:
    """Name the dialect of a file."""
    run = traits.runs[0]
    if run.total is None:
        return _plain(run)
    return _seconds(traits) if (run.last.unit or run.first.unit) == "s" else _milliseconds(traits)


def _plain(run: RunLines) -> str:
    if run.first_train is None:
        return "L2-llmc-telonly"
    return "L1-llmc-lrnorm" if run.first_train.extra else "L0-llmc-plain"


def _milliseconds(traits: Traits) -> str:
    run, count = traits.runs[0], len(traits.layout.separators)
    if run.first_train is not None and run.first_train.train_loss is not None:
        known = {(3, True): "M1-ms-trainloss-3sep", (4, True): "M2-ms-trainloss-4sep"}
        known[3, False] = "M3-ms-trainloss-3sep-nolead"
        return known.get((count, traits.layout.leads), f"ms-trainloss-{count}sep")
    if count == 3 and not traits.layout.leads:
        if traits.file_list:
            return "M5b-ms-3sep-filelist"
        return "M5-ms-3sep-python" if traits.lower_case_python else "M4-ms-3sep"
    if count != 2 or traits.layout.leads:
        return f"ms-{count}sep"
    if _starts_without_average(run):
        return "M6-ms-2sep-nan"
    if run.last_val is not None and len(run.last_val.text.partition(".")[2]) == 6:
        return "M8-ms-6dec"
    return "M9-ms-2sep-triton" if traits.header.triton else "M7-ms-2sep"


def _seconds(traits: Traits) -> str:
    run, count = traits.runs[0], len(traits.layout.separators)
    many = len(traits.runs) > 1
    if count == 0:
        if many:
            return "S9-s-batch-combined"
        if run.n_val + run.n_train == 1:
            return "S8-s-single-line"
        return "S7b-s-stdout-tailavg" if traits.tail_averages else "S7-s-stdout"
    if count == 1:
        return "S6-s-1sep-trainlines" if run.n_train else "S5-s-1sep"
    if count != 2:
        return f"s-{count}sep"
    if run.n_train:
        return "S1-s-trainlines"
    if many:
        return "S2m-s-multirun-nan"
    return _suffixed(run.last, run)


def _suffixed(last: MetricLine, run: RunLines) -> str:
    if "ema_beta" in last.extra:
        return "S3a-s-emabeta"
    if "extrap_count" in last.extra:
        return "S3b-s-extrap"
    if last.val_ema_loss is not None:
        return "S4-s-valavg-valema"
    return "S2-s-valonly-nan" if _starts_without_average(run) else "S2-s-valonly"


def _starts_without_average(run: RunLines) -> bool:
    """Whether the first line prints `nan` for its step average."""
    return run.first.step == 0 and run.first.step_avg_ms is None
