"""Training logs in the form of the field's newest dialect, with figures of a test's choice."""

from __future__ import annotations

from pathlib import Path

_REAL = Path(__file__).parent / "golden" / "logs" / "M9-ms-2sep-triton.txt"
SCRIPT = 'import torch\n\nprint("a script")\n'


def log_text(
    loss: float | str,
    time_ms: int,
    *,
    script: str = SCRIPT,
    began: str = "Mon Jan 19 01:49:27 2026",
    gpus: int = 8,
    gpu: str = "NVIDIA H100 80GB HBM3",
    torch: str = "2.10.0+cu128",
    first_loss: float = 10.8262,
    seed: int | None = None,
) -> str:
    """Write the log of a run of 8 steps, which is complete."""
    header = _REAL.read_text("utf-8").split("=" * 100 + "\n")[1]
    lines = header.replace("Mon Jan 19 01:49:27 2026", began).replace("2.10.0+cu128", torch).splitlines()
    kept, rows = [], 0
    for line in lines:
        rows += "NVIDIA H100 80GB HBM3" in line
        if not ("NVIDIA H100 80GB HBM3" in line and rows > gpus):
            kept.append(line.replace("NVIDIA H100 80GB HBM3", gpu))
    metrics = [
        *([] if seed is None else [f"seed:{seed}"]),
        f"step:0/8 val_loss:{first_loss} train_time:0ms step_avg:0.00ms",
        f"step:4/8 val_loss:6.1234 train_time:{time_ms // 2}ms step_avg:{time_ms / 8:.2f}ms",
        f"step:8/8 val_loss:{loss} train_time:{time_ms}ms step_avg:{time_ms / 8:.2f}ms",
    ]
    bar = "=" * 100
    return "\n".join([script + "\n" + bar, *kept, bar, *metrics]) + "\n"


def write(path: Path, *arguments: object, **options: object) -> Path:
    """Write such a log to a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log_text(*arguments, **options), "utf-8")  # type: ignore[arg-type]
    return path
