"""Lower one number of a submission's script for as long as it still passes; every try stands in results.tsv.

    python examples/agents/loop.py submissions/<slug> 'num_iterations: int = ([0-9]+)' 4 [hours]

Each turn takes 4 from the number that the pattern finds, scores the script, and keeps the change or puts the old text
back. A try is a screening run: it is in the ledger, it counts for nothing, and the number of scripts tried is shown to
whoever judges the submission. Make the runs that count yourself, with `speedrun run`.
"""

import csv
import re
import sys
from pathlib import Path

import harness


def main(submission: str, pattern: str, less: int, hours: float = 1.0) -> None:
    """Try smaller numbers until one does not pass or the hours are spent."""
    script, results = Path(submission) / "train_gpt.py", Path(submission).parent / "results.tsv"
    best, spent = float("inf"), 0.0
    while spent < hours:
        text = script.read_text()
        found = re.search(pattern, text)
        if found is None:
            sys.exit(f"{script}: nothing in it is like {pattern}")
        number = int(found[1]) - less * (best < float("inf"))  # the first try is the script as it is
        start, end = found.span(1)
        script.write_text(f"{text[:start]}{number}{text[end:]}")
        answer = harness.score(submission, stage="full", budget_gpu_hours=hours - spent)
        spent += answer.gpu_hours
        metric = answer.metric.mean if answer.metric is not None else None
        kept = metric is not None and metric < best
        with results.open("a", newline="") as file:
            row = (number, answer.status, answer.label, metric, answer.loss and answer.loss.mean, kept, answer.message)
            csv.writer(file, delimiter="\t").writerow(row)
        if not kept:
            script.write_text(text)
            break
        best = metric
    print(f"best: {best:g} after {spent:.3g} GPU hours; see {results}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:]))
