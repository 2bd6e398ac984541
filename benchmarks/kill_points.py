"""Kill the harness at points spread over a run series and its pack, and look whether everything is recovered.

    python benchmarks/kill_points.py [--points N] [--seed N]        default 25 points, about 8 minutes

Each point has a small project of its own. `run` and then `pack` are started in it and, at that point of the time that
they take undisturbed, get `kill -9`. Then both are called again. Recovered means: no process of a run is left, the
ledger's chain is whole and gives every run one start and one end, the runs that finished before count, the others are
aborted, the pack is accepted by `check`, and no temporary file is left in the submission. Exit status 1 where one point
is not recovered.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults.projects import Small, make_project, processes_of, wait_for  # noqa: E402
from tests.flow.repositories import ANSWERS  # noqa: E402

NAME = "submissions/2026-11-21_test"
BODY = """\
time.sleep(0.2)
for n in range(6): step(n, 5, 5.0 if n == 0 else 2.5 - SEED % 9973 / 1e6 if n == 5 else None)
time.sleep(0.2)
"""
VERBS = ("run", "pack")


def project(root: Path) -> Small:
    """A project with one submission that nothing was run of."""
    small = make_project(root)
    folder = small.submit(BODY)
    (folder / "README.md").write_text(ANSWERS)
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().partition("files:")[0].replace("schema: 1", "schema: 2"))
    return small


def undisturbed(root: Path) -> float:
    """How long both commands take, seconds."""
    small = project(root)
    began = time.monotonic()
    for verb in VERBS:
        assert small.start(verb, NAME).wait() == 0
    return time.monotonic() - began


def killed(small: Small, after_s: float) -> str | None:
    """Start the commands and kill the one that is there after some seconds; return its verb, None if both had ended."""
    end = time.monotonic() + after_s
    for verb in VERBS:
        process = small.start(verb, NAME)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return verb
        assert process.stderr is not None
        process.stderr.close()
    return None


def not_recovered(small: Small) -> list[str]:
    """Call both commands again and return what is wrong then."""
    wrong = []
    if not wait_for(lambda: not processes_of(small), 120):
        wrong.append("a process of a run was left")
    starts = sum(entry["kind"] == "start" for entry in small.ledger())
    finished = small.ends().count("finished")
    for verb in (*VERBS, "check"):
        done = small.run(verb, NAME)
        if done.returncode != 0:
            wrong.append(f"{verb} exits {done.returncode}: {done.stderr[-500:]}")
    begun = [entry["run"] for entry in small.ledger() if entry["kind"] == "start"]
    ended = Counter(entry["run"] for entry in small.ledger() if entry["kind"] == "end")
    if ended != Counter(begun):
        wrong.append(f"{len(begun)} starts and {ended.total()} ends in the ledger")
    # A run that had finished when its harness was killed may be found as such or as lost, but is never made twice.
    if not 3 + starts - finished - 1 <= len(begun) <= 3 + starts - finished:
        wrong.append(f"{starts} runs were started before, {finished} of them finished, {len(begun)} in the end")
    if small.ends().count("finished") != 3:
        wrong.append(f"they ended as {', '.join(small.ends())}")
    left = [path.name for path in (small.root / NAME).rglob("*") if path.name.startswith(".")]
    if left:
        wrong.append(f"left in the submission: {', '.join(left)}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 at many points of a run series, and what is recovered")
    parser.add_argument("--points", type=int, default=25)
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    scratch = Path(tempfile.mkdtemp(prefix="kill-points-"))
    try:
        whole = undisturbed(scratch / "undisturbed")
        recovered, during = 0, Counter[str]()
        for point in range(args.points):
            small = project(scratch / f"point-{point}")
            after = whole * (point + draw.random()) / args.points
            verb = killed(small, after)
            ends = small.ends()
            wrong = not_recovered(small)
            recovered += not wrong
            during[verb or "neither"] += 1
            print(
                f"{after:6.2f} s: killed {verb or 'nothing, all was done'}; {len(ends)} runs had ended, then "
                + (", ".join(small.ends()) if not wrong else "NOT RECOVERED: " + "; ".join(wrong)),
                flush=True,
            )
            shutil.rmtree(small.root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    said = ", ".join(f"{count} in {verb}" for verb, count in during.items())
    print(f"{recovered} of {args.points} points recovered ({said})")
    return 0 if recovered == args.points else 1


if __name__ == "__main__":
    sys.exit(main())
