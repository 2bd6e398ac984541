from pathlib import Path


def edit(runs: Path) -> None:
    ledger = runs / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"n_max": 3', '"n_max": 9'))
