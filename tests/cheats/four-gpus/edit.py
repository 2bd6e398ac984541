import json
from pathlib import Path


def edit(runs: Path) -> None:
    for path in runs.glob("*/run.json"):
        data = json.loads(path.read_text())
        data["machine"]["gpus"] = data["machine"]["gpus"][:4]
        path.write_text(json.dumps(data))
