import json
from pathlib import Path


def edit(runs: Path) -> None:
    for path in runs.glob("*/run.json"):
        data = json.loads(path.read_text())
        data["data"]["shards"][-1]["sha256"] = "0" * 64
        path.write_text(json.dumps(data))
