"""Name a log's layout: one of the 26 dialects of the field's archive, or a plain description of a new one.

A label for people and for the golden tests; nothing is judged by it.
"""

from harness.runlog.header import Header
from harness.runlog.part import Part
from harness.runlog.runs import RunLines
from harness.runlog.source import Layout


def name_dialect(layout: Layout, part: Part, header: Header, text: bytes) -> str:
    """Name the dialect of a file; `text` is what stands before the first metric line."""
    run = part.runs[0]
    if run.total is None:
        if run.first_train is None:
            return "L2-llmc-telonly"
        return "L1-llmc-lrnorm" if run.first_train.extra else "L0-llmc-plain"
    if (run.last.unit or run.first.unit) == "s":
        return _seconds(run, len(layout.separators), part)
    return _milliseconds(run, layout, header, text)


def _milliseconds(run: RunLines, layout: Layout, header: Header, text: bytes) -> str:
    count = len(layout.separators)
    if run.first_train is not None and run.first_train.train_loss is not None:
        known = {(3, True): "M1-ms-trainloss-3sep", (4, True): "M2-ms-trainloss-4sep"}
        known[3, False] = "M3-ms-trainloss-3sep-nolead"
        return known.get((count, layout.leads), f"ms-trainloss-{count}sep")
    if count == 3 and not layout.leads:
        if b"Training dataloader files" in text:
            return "M5b-ms-3sep-filelist"
        return "M5-ms-3sep-python" if b"\nRunning python " in b"\n" + text else "M4-ms-3sep"
    if count != 2 or layout.leads:
        return f"ms-{count}sep"
    if _starts_without_average(run):
        return "M6-ms-2sep-nan"
    if run.last_val is not None and len(run.last_val.text.partition(".")[2]) == 6:
        return "M8-ms-6dec"
    return "M9-ms-2sep-triton" if header.triton else "M7-ms-2sep"


def _seconds(run: RunLines, count: int, part: Part) -> str:
    many = len(part.runs) > 1
    if count == 0:
        if many:
            return "S9-s-batch-combined"
        if run.n_val + run.n_train == 1:
            return "S8-s-single-line"
        tail_averages = part.odd is not None and b"\ntailavg step:" in part.odd
        return "S7b-s-stdout-tailavg" if tail_averages else "S7-s-stdout"
    if count == 1:
        return "S6-s-1sep-trainlines" if run.n_train else "S5-s-1sep"
    if count != 2:
        return f"s-{count}sep"
    if run.n_train:
        return "S1-s-trainlines"
    if many:
        return "S2m-s-multirun-nan"
    if "ema_beta" in run.last.extra:
        return "S3a-s-emabeta"
    if "extrap_count" in run.last.extra:
        return "S3b-s-extrap"
    if run.last.val_ema_loss is not None:
        return "S4-s-valavg-valema"
    return "S2-s-valonly-nan" if _starts_without_average(run) else "S2-s-valonly"


def _starts_without_average(run: RunLines) -> bool:
    """Whether the first line prints `nan` for its step average."""
    return run.first.step == 0 and run.first.step_avg_ms is None
