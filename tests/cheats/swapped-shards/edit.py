import json
from pathlib import Path


def edit(runs: Path) -> None:
    for path in runs.glob("*/run.json"):
        data = json.loads(path.read_text())
        data["data"]["unchanged"] = False
        path.write_text(json.dumps(data))
