"""Follow the entries of one script through its chain and the branches of other machines, and find where they break.

Every entry carries the hash of the entry before it: in the chain, or in the branch of the task that it belongs to. A
branch leaves the chain right behind the entry that declares its task, so it cannot be older than that, and the entry
that takes it in names its last entry.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.store.flaws import Break, Flaw
from harness.store.ledger_lines import GENESIS, Branched, Declared, Ended, Entry, Scored, Started, Taken, Tasked, Tried

MAIN = ""  # the chain itself, among the names of tasks


@dataclass
class Tree:
    """The chain of one script and its branches, as far as entries were added."""

    tips: dict[str, str] = field(default_factory=lambda: {MAIN: GENESIS})  # of open branches -> hash of the last entry
    declared: dict[str, Tasked] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)  # run -> task
    seen: set[str] = field(default_factory=set)  # tasks that have, or had, a branch

    def add(self, entry: Entry) -> Flaw | None:
        """Add the next entry of the ledger; return what is wrong with its place."""
        if isinstance(entry, Branched):
            return self._branch(entry)
        known = isinstance(entry, Tasked) and entry.task in self.declared
        name: str | None = MAIN
        if self.tips[MAIN] != entry.before:
            name = next((name for name, tip in self.tips.items() if tip == entry.before), None)
        self.tips[name or MAIN] = entry.hash
        if isinstance(entry, Started):
            self.branches[entry.run] = name or MAIN
        if isinstance(entry, Tasked):
            self.declared.setdefault(entry.task, entry)
        if isinstance(entry, Taken):
            tip = self.tips.pop(entry.task, None) if entry.task != MAIN else None
            if tip != entry.tip:
                return "no task" if tip is None else "cut branch"
        return "gap" if name is None else "task again" if known else None

    def _branch(self, entry: Branched) -> Flaw | None:
        task = self.declared.get(entry.task)
        if task is None or entry.task in self.seen:
            return "no task"
        self.seen.add(entry.task)
        self.tips[entry.task] = entry.hash
        return "gap" if entry.before != task.hash else None

    @property
    def tip(self) -> str:
        """The hash that the next entry carries: on a machine that makes a task the branch goes on, else the chain."""
        return next(reversed(self.tips.values()))


def grow(entries: Iterable[Entry]) -> Tree:
    """Follow the entries of one script."""
    tree = Tree()
    for entry in entries:
        tree.add(entry)
    return tree


def find_breaks(entries: Iterable[Entry]) -> tuple[Break, ...]:
    """Find every place where the chain of one script, or a branch of it, is not whole; runs without an end come last."""
    found = []
    tree = Tree()
    open_at: dict[str, int] = {}  # run -> line of its start
    started: set[str] = set()
    scored: set[str] = set()
    declared = is_new = False
    for number, entry in enumerate(entries):
        flaw = tree.add(entry)
        if flaw is not None:
            found.append(Break(flaw, entry.line, getattr(entry, "task", None)))
        if is_new and entry.is_old:
            found.append(Break("older form", entry.line))
        is_new = not entry.is_old
        if isinstance(entry, Declared) and declared:
            found.append(Break("declared again", entry.line))
        elif not isinstance(entry, Declared) and not declared and _needs_declaration(entry, number):
            found.append(Break("undeclared", entry.line))
            declared = True
        declared = declared or isinstance(entry, Declared)
        if isinstance(entry, Started):
            if entry.run in started:
                found.append(Break("started again", entry.line, entry.run))
            started.add(entry.run)
            open_at[entry.run] = entry.line
        elif isinstance(entry, Ended) and open_at.pop(entry.run, None) is None:
            found.append(Break("not open", entry.line, entry.run))
        elif isinstance(entry, Scored):
            if entry.run in scored | open_at.keys() or entry.run not in started:
                found.append(Break("not to score", entry.line, entry.run))
            scored.add(entry.run)
    return (*found, *(Break("no end", open_at[run], run) for run in sorted(open_at)))


def _needs_declaration(entry: Entry, number: int) -> bool:
    if isinstance(entry, Started | Tasked):
        return entry.purpose in (None, "judged")
    return number == 0 and not isinstance(entry, Tried)
