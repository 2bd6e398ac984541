"""Keep what a scan finds in a file: places with a flag of the rulesets, places to look at, patterns of files."""

import ast
from dataclasses import dataclass, field

MOST_PLACES = 1000  # of a kind; who has so many is not judged by the next one


class TooMuchText(ValueError):
    """A script makes more of its text than a scan holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Something found in a script."""

    kind: str  # a flag word of the rulesets, or the kind of a warning
    file: str
    line: int
    text: str  # as a sentence's part: "sets torch._inductor.config.max_autotune"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.text}"


@dataclass(frozen=True, slots=True)
class Load:
    """One place where code or values are loaded past the scan."""

    kind: str  # code, values, process, compiled, finder, path
    place: Place
    names: frozenset[str]  # texts that may name a file, without folders
    blind: bool  # what is loaded there is not known by its text


@dataclass(slots=True)
class Scan:
    """What was found in one file."""

    flags: list[Place] = field(default_factory=list)
    warnings: list[Place] = field(default_factory=list)
    train_patterns: dict[tuple[str, int], None] = field(default_factory=dict)  # file pattern, line; each once, in order
    loads: list[Load] = field(default_factory=list)
    imports: dict[str, int] = field(default_factory=dict)  # first part of a module's name -> line of its first import
    unreadable: str | None = None


class Notes:
    """Writes down what is found in one file."""

    def __init__(self, file: str, found: Scan) -> None:
        self.file = file
        self.found = found
        self.counts: dict[str, int] = {}  # places of each kind

    def flag(self, kind: str, node: ast.AST, text: str) -> None:
        self.place(self.found.flags, kind, node, text)

    def warn(self, kind: str, node: ast.AST, text: str) -> None:
        self.place(self.found.warnings, kind, node, text)

    def place(self, places: list[Place], kind: str, node: ast.AST, text: str) -> None:
        key = f"{kind} {id(places)}"
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.counts[key] <= MOST_PLACES:
            places.append(Place(kind, self.file, getattr(node, "lineno", 0), text))

    def train_pattern(self, text: str, node: ast.expr) -> None:
        """Note a pattern of training files; more than 1,000 cannot be told apart from noise."""
        self.found.train_patterns[text, node.lineno] = None
        if len(self.found.train_patterns) > MOST_PLACES:
            raise TooMuchText(f"names more than {MOST_PLACES:,} patterns of files")
