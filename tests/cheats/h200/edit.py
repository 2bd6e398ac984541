from pathlib import Path


def edit(runs: Path) -> None:
    for path in runs.glob("*/run.json"):
        path.write_text(path.read_text().replace("NVIDIA H100 80GB HBM3", "NVIDIA H200"))
