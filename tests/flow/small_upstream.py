"""A small git repository in the forms of the real upstream: its tables, folders, logs and merges; words and code are made up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.runlog.source import embedded_files

SEP = "=" * 100
H100, H200, A40 = "NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA A40"
SHORT, MEDIUM, STEPS = "records/track_1_short", "records/track_2_medium", "records/track_3_optimization/results"
PULL = "https://github.com/KellerJordan/modded-nanogpt/pull"
TIMED = "| # | Record time | Description | Date | Log | Contributors |\n| - | - | - | - | - | - |\n"
STEPPED = "| # | Steps to 3.28 | Evidence | Description | Date | Log | Contributors |\n| - | - | - | - | - | - | - |\n"


def script(name: str, *, run_id: str = "a", remark: str = "") -> str:
    head = f'import torch\nimport kernels\n{remark}\nrun_id: str = "{run_id}"\n'
    return f'{head}model = torch.nn.Linear({len(name)}, 1)\nname = "{name}"\n'


def log(
    name: str = "own",
    *,
    steps: int = 1390,
    loss: float = 3.278,
    ms: int = 80_000,
    gpus: int = 8,
    gpu: str = H100,
    run_id: str = "a",
    remark: str = "",
    kernels: str | None = None,
    ends: bool = True,
) -> bytes:
    """A log of the short and medium track since 2025: source, header with the table of GPUs, lines in milliseconds."""
    extra = f"\n\n{'-' * 40}\n# triton_kernels.py\n{'-' * 40}\n\n{kernels}" if kernels else ""
    rows = "".join(
        f"|   {n}  {gpu}          On  |   00000000:{18 + n}:00.0 Off |                    0 |\n"
        f"| N/A   30C    P0             113W /  700W |    1001MiB /  81559MiB |      5%      Default |\n"
        for n in range(gpus)
    )
    head = (
        "Running Python 3.12.7 (main, Oct  1 2024) [GCC 13.2.0]\nRunning PyTorch 2.10.0+cu128 compiled for CUDA 12.8\n"
        "Running Triton version 3.6.0\nFri Jul 17 12:22:51 2026\n"
        "| NVIDIA-SMI 580.159.04             Driver Version: 580.159.04     CUDA Version: 13.0     |\n" + rows
    )
    last = f"step:{steps}/{steps} val_loss:{loss:.4f} train_time:{ms}ms step_avg:{ms / steps:.2f}ms\n" if ends else ""
    body = (
        f"step:0/{steps} val_loss:10.8258 train_time:0ms step_avg:0.02ms\n"
        f"step:1/{steps} train_time:60ms step_avg:60.00ms\n{last}"
    )
    return f"{script(name, run_id=run_id, remark=remark)}{extra}\n{SEP}\n{head}{SEP}\n{body}".encode()


def step_log(
    name: str, losses: dict[int, float], *, total: int = 3000, gpu: str = H100, ema: dict[int, float] | None = None
) -> bytes:
    """A log of the optimization track: source, `Running on`, lines in seconds at some steps."""
    head = f"Running on device_name={gpu} with world_size=1\nRunning PyTorch 2.11.0+cu130 compiled for CUDA 13.0\n"
    return f"{script(name)}\n{SEP}\n{head}{SEP}\n{step_lines(losses, total=total, ema=ema)}".encode()


def step_lines(losses: dict[int, float], *, total: int = 3000, ema: dict[int, float] | None = None) -> str:
    """The lines of such a run alone, as its standard output has them."""
    text = ""
    for step, loss in losses.items():
        more = f" val_avg_loss:{loss:.5f} val_ema_loss:{ema[step]:.5f}" if ema else ""
        seconds = f"train_time:{step * 0.15 + loss:.3f}s step_avg:150.00ms"
        text += f"step:{step}/{total} val_loss:{loss:.5f}{more} {seconds}\n"
    return text


def program(data: bytes) -> bytes:
    """The script that a log embeds."""
    return next(iter(embedded_files(data).values()))


class SmallUpstream:
    """The repository, a commit at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "master")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    def commit(self, subject: str, files: dict[str, bytes | str | None]) -> str:
        """Write and commit files, or remove those that are None; returns the commit."""
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if data is None:
                path.unlink()
            else:
                path.write_bytes(data if isinstance(data, bytes) else data.encode())
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def readme(self, short: list[str], medium: list[str] | None = None, steps: list[str] | None = None) -> None:
        """Write the three tables, each row as it stands, and commit them."""
        tables = f"# A race\n\nWords | with | bars | in | them.\n\n## World record history\n\n{TIMED}"
        tables += "".join(f"{row}\n" for row in short)
        tables += f"\n\n## Speedrun track 2: a medium model\n\n> Note.\n\n{TIMED}"
        tables += "".join(f"{row}\n" for row in medium or []) + "---\n\n### A question?\n"
        third = f"# Optimization\n\n## Results\n\n{STEPPED}" + "".join(f"{row}\n" for row in steps or [])
        self.commit("Update README.md", {"README.md": tables, "records/track_3_optimization/README.md": third})


def row(number: int, time: str, title: str, date: str, where: str | None, people: str, pr: int | None = None) -> str:
    """A row as most are: no bar in front, the log and the pull request in one cell."""
    cell = ",".join([*([f"[log]({where})"] if where else []), *([f"[PR]({PULL}/{pr})"] if pr else [])])
    return f"{number} | {time} | {title} | {date} | {cell or 'none'} | {people}"


def step_row(number: int, steps: str, evidence: str, title: str, date: str, where: str, people: str) -> str:
    return f"| {number} | {steps} | {evidence} | {title} | {date} | [log]({where}) | {people} |"
