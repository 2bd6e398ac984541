"""Fetch axe-core, which finds what a page does wrong for people who do not see or point: `python -m tests.browser.axe`.

It is for tests alone, so it stays out of the repository: pinned like the site's libraries, it goes to `build/axe-core/`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from harness.board.site import vendoring
from harness.core.errors import HarnessError
from harness.store.files import write_atomic

PACKAGE = vendoring.Package(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "axe.min.js",
)
SCRIPT = Path(__file__).parents[2] / "build" / "axe-core" / f"axe-{PACKAGE.version}.min.js"


def fetch() -> None:
    """Write the script where the tests look for it."""
    assert PACKAGE.wanted is not None
    write_atomic(SCRIPT, vendoring.member(vendoring.packed(PACKAGE), PACKAGE.wanted))


def text() -> tuple[str | None, str]:
    """The script, or why it is not here; continuous integration, which sets CI, fetches it."""
    if not SCRIPT.is_file() and os.environ.get("CI") and shutil.which("npm"):
        try:
            fetch()
        except HarnessError as error:
            return None, f"axe-core cannot be fetched: {error}"
    if not SCRIPT.is_file():
        return None, "axe-core is not here: python -m tests.browser.axe fetches it by npm"
    return SCRIPT.read_text(), ""


if __name__ == "__main__":
    fetch()
    print(SCRIPT, file=sys.stderr)
