import json
import shutil
from pathlib import Path


def edit(runs: Path) -> None:
    ledger = runs / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    dropped = next(entry["run"] for entry in map(json.loads, lines) if entry["kind"] == "start")
    ledger.write_text("".join(line + "\n" for line in lines if dropped not in line))
    shutil.rmtree(runs / dropped)
