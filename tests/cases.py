"""All tricks that are played for real, read from the galleries: what each does, the rule that names it, and at which stage.

`PYTHONPATH=. python -m tests.cases` writes the table in docs/tricks.md anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "tricks.md"
BEGIN, END = "<!-- cases: generated -->\n", "<!-- cases: end -->"
STAGES = ("check", "scored", "probe", "accept")
GALLERIES = ("cheats", "scoring", "probes")


@dataclass(frozen=True, order=True)
class Case:
    """One trick of a gallery."""

    stage: str
    rule: str
    place: str  # "cheats/early-stop"
    what: str
    outcome: str  # of its rule
    quick: tuple[str, ...] | None  # of a script that is probed: the rules by which the quick probe finds it


def read_cases() -> list[Case]:
    """Read all tricks of all galleries, in the order of the stages; raises KeyError where one does not say its stage.

    A script of the probes' gallery that names no rule is an honest one.
    """
    found = []
    for gallery in GALLERIES:
        for path in sorted((TESTS / gallery).rglob("case.yaml")):
            data = yaml.safe_load(path.read_text())
            if "rule" not in data and gallery == "probes":
                continue
            if "stage" not in data:
                raise KeyError(f"{path} names no stage; add `stage:` and one of {', '.join(STAGES)}")
            quick = tuple(data["quick"]) if "quick" in data else None
            what = " ".join(data["what"].split())
            place = str(path.parent.relative_to(TESTS))
            found.append(Case(data["stage"], data["rule"], place, what, data.get("outcome", "fail"), quick))
    return sorted(found, key=lambda case: (STAGES.index(case.stage), case))


def table() -> str:
    """Write the table of docs/tricks.md."""
    lines = ["| case | what it does | rule | stage |", "|---|---|---|---|"]
    for case in read_cases():
        rule = case.rule if case.outcome == "fail" else f"{case.rule} ({case.outcome})"
        if case.quick is not None:
            rule += f"; quick: {', '.join(case.quick) or 'not found'}"
        what = re.sub(r"([|<>*_])", r"\\\1", case.what)
        lines.append(f"| `{case.place}` | {what} | {rule} | {case.stage} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = PAGE.read_text()
    PAGE.write_text(page.partition(BEGIN)[0] + BEGIN + table() + END + page.partition(END)[2])
