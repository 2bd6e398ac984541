"""Write into environments.yaml which torch builds of the past the default package index lists, with the date.

    python -m harness.maintain.torch_index

It asks pip, with the user's own settings, in the project of the current folder. A build is listed if its release is: the
index does not say for which CUDA its file of that release is. Nightly builds are kept elsewhere and stay unchecked.
"""

import datetime
import re
import subprocess
import sys
from pathlib import Path

from harness.core.errors import HarnessError, StoreError
from harness.replay.environments import note_index
from harness.store.layout import Project


def listed_releases(package: str = "torch") -> frozenset[str]:
    """Ask pip which versions of a package the index lists; raises StoreError where it gives none."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--pre", "--disable-pip-version-check", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    releases = parse_versions(done.stdout)
    if done.returncode or not releases:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise StoreError.at(
            "pip index versions", f"lists nothing: {lines[-1][:200]}", "check the network and pip's settings"
        )
    return releases


def parse_versions(said: str) -> frozenset[str]:
    """Read the versions in what `pip index versions` printed; builds with a local part come from other places."""
    found = re.search(r"^Available versions: (.+)$", said, re.M)
    return frozenset(name.strip() for name in found[1].split(",") if "+" not in name) if found else frozenset()


def main() -> int:
    """Ask, and write what changed."""
    try:
        changed = note_index(Project(Path()), listed_releases(), datetime.datetime.now(datetime.UTC).date())
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    print("environments.yaml was written" if changed else "environments.yaml is current")
    return 0


if __name__ == "__main__":
    sys.exit(main())
