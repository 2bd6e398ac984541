"""Choose what run_record.sh starts: `run` for the smoke record, a track or a submission, `replay` for other records."""

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.cli import main
from harness.core.errors import HarnessError
from harness.store.layout import find_project


def command_of(arguments: Sequence[str]) -> list[str]:
    """Return the command that these arguments mean; that command says what is wrong with a name."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if name is None:
        return ["run", "smoke", *arguments]
    try:
        named = Catalog(find_project(Path.cwd())).find(name)
    except HarnessError:
        return ["run" if name.startswith("submissions/") else "replay", *arguments]
    return ["run" if named.record is None or named.by_track else "replay", *arguments]


if __name__ == "__main__":
    sys.exit(main(command_of(sys.argv[1:])))
