"""Whether honest runs are blamed on a busy machine: the smoke record beside processes that want every core.

    python benchmarks/busy_machine.py [--sets N] [--busy N] [--small]        default 10 sets of 3 runs, 6 busy processes

Each set is run and judged by `speedrun run` in a project of its own. No finding may fail, and one that is inconclusive
must name the delay or the gap that was measured on this machine. Exit status 1 otherwise. About 20 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = "2026-11-21_muon"
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with this program
MEASURED = re.compile(r"up to [\d.]+ m?s late|did not look between")


def project(root: Path, *, small: bool) -> tuple[str, str]:
    """Make a project with the smoke track and one record; return the Python to use and what to run."""
    if small:
        sys.path.insert(0, str(ROOT))
        from tests.faults.projects import HONEST, make_project

        made = make_project(root)
        made.submit(HONEST)
        return made.python, "submissions/2026-11-21_test"
    for name in ("tracks/smoke.yaml", f"records/smoke/{RECORD}"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, root / name)
    return sys.executable, f"smoke/{RECORD}"


def main() -> int:
    parser = argparse.ArgumentParser(description="honest runs on a busy machine")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--busy", type=int, default=6)
    parser.add_argument("--small", action="store_true", help="one set of runs that train nothing, beside one process")
    args = parser.parse_args()
    sets, busy = (1, 1) if args.small else (args.sets, args.busy)
    scratch = Path(tempfile.mkdtemp(prefix="busy-machine-"))
    beside = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    outcomes, failed, open_ones, unexplained = Counter[str](), 0, 0, 0
    try:
        python, subject = project(scratch / "project", small=args.small)
        command = [python, "-m", "harness", "--root", str(scratch / "project"), "run", subject, "--json"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        for number in range(1, sets + 1):
            done = subprocess.run(command, cwd=scratch / "project", env=environment, capture_output=True, text=True)
            if not done.stdout:
                sys.exit(done.stderr)
            verdict = json.loads(done.stdout)
            outcomes[verdict["outcome"]] += 1
            print(f"set {number}: {verdict['outcome']}", flush=True)
            for finding in verdict["findings"]:
                if finding["outcome"] not in ("fail", "inconclusive"):
                    continue
                explained = finding["outcome"] == "inconclusive" and bool(MEASURED.search(finding["text"]))
                failed += finding["outcome"] == "fail"
                open_ones += finding["outcome"] == "inconclusive"
                unexplained += finding["outcome"] == "inconclusive" and not explained
                print(f"  {finding['rule']} {finding['outcome']}: {finding['text']}", flush=True)
    finally:
        for process in beside:
            process.kill()
            process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
    said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    print(f"{3 * sets} honest runs beside {busy} busy processes: {said}; {failed} findings fail, {open_ones} are")
    print(f"inconclusive, {unexplained} of them without a measured delay or gap")
    return 1 if failed or unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
