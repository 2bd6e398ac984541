from pathlib import Path


def edit(runs: Path) -> None:
    ledger = runs / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"at": "20', '"at": "19')
    ledger.write_text("".join(lines))
