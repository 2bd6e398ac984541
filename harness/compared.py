"""Stored same-machine comparisons in, the one that a maintainer's decision rests on out.

Seconds of two machines cannot be compared, so on the tracks that rank by time a record is judged by runs of both
scripts on one machine: `.runs/comparisons/*.json`, written by `speedrun compare`. Who could repeat one until it says
what he hoped for would choose its outcome, so the one that counts is settled before: the until-decided one where it
decided, else the first fixed one that did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import originals, scripts
from harness.errors import StoreError
from harness.schema import Record
from harness.store import comparisons, records
from harness.store.layout import Project
from harness.subject import Subject

DECIDED = ("faster", "tie", "slower")
USUAL_PAIRS = 16  # of a fixed comparison, where one is to be made


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run of a comparison."""

    run: str
    arm: str  # A or B
    train_time_s: float
    val_loss: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `speedrun compare` stored, as far as accepting needs it; figures are of B against A."""

    path: Path
    track: str
    a: str  # subject, records/<track>/<slug>
    a_sha256: str
    b_sha256: str
    mode: Literal["until-decided", "fixed"]
    max_pairs: int
    outcome: str
    gain: float | None  # the share of A's train time that B saves
    interval: tuple[float, float] | None
    pairs: int
    started_at: str  # UTC
    gpus: tuple[str, ...]
    cpu: str
    runs: tuple[ComparedRun, ...]
    torch: tuple[str | None, str | None]  # of A and of B, where that was kept

    def sentence(self, a: str) -> str:
        """The outcome in words; `a` is how people call the record that it was compared with."""
        change = comparisons.other_torch(*self.torch)
        return self._outcome(a) + (f"; torch {self.torch[1]} against {self.torch[0]}" if change else "")

    def _outcome(self, a: str) -> str:
        machine = f"{len(self.gpus)}× {self.gpus[0]}" if self.gpus else self.cpu
        where = f"on one machine ({machine}, {self.started_at[:10]}, {self.pairs} pairs)"
        if self.gain is None or self.outcome == "tie":
            return f"{where}: a tie with {a}"
        sign, word = (1, "less") if self.gain > 0 else (-1, "more")
        between = ""
        if self.interval is not None:
            low, high = sorted(100 * sign * bound for bound in self.interval)
            between = f" (95 %: {low:.2f} to {high:.2f} %)"
        return f"{where}: {100 * abs(self.gain):.2f} % {word} time than {a}{between}"


def read_comparisons(project: Project) -> list[Comparison]:
    """All comparisons of this machine, the first one first; raises StoreError naming a file that is none."""
    found = [_comparison(project, held) for held in comparisons.read_comparisons(project)]
    return sorted(found, key=lambda c: (c.started_at, c.path.name))


def _comparison(project: Project, held: comparisons.Comparison) -> Comparison:
    return Comparison(
        path=comparisons.comparison_file(project, held.id),
        track=held.track,
        a=held.a.subject,
        a_sha256=held.a.script_sha256,
        b_sha256=held.b.script_sha256,
        mode=held.mode,
        max_pairs=held.max_pairs,
        outcome=held.outcome,
        gain=held.gain,
        interval=held.interval,
        pairs=held.pairs,
        started_at=held.started_at,
        gpus=tuple(gpu.name for gpu in held.machine.gpus),
        cpu=held.machine.cpu,
        runs=tuple(ComparedRun(run.run, run.arm, run.train_time_s, run.val_loss) for run in held.runs),
        torch=(held.a.torch, held.b.torch),
    )


def called(record: Record, held: Sequence[Record]) -> str:
    """A record's name as people write it: short/12, or short/21.1."""
    return f"{record.track}/{records.display_number(record, held)}"


def find_comparison(project: Project, found: Subject, best: Record) -> Comparison:
    """The decided comparison of the current record (A) with `found` (B) that counts.

    A ran the script that set the record's time, never a reimplementation of it. Raises StoreError, with the command
    that makes one, where there is none.
    """
    held = records.read_records(project)
    name = called(best, held)
    official = scripts.official_sha256(project, best)
    if official is None:
        why = f"the current record {name} was set with a script that nobody published"
        raise StoreError.at(found.name, why, "nothing can be compared with it; a maintainer decides")
    twins = {
        f"{r.track}/{r.slug}"
        for r in held
        if r.track == best.track and (r.slug == best.slug or (best.retimes is not None and r.number == best.retimes))
    }
    mine = [c for c in read_comparisons(project) if c.b_sha256 == found.chain and c.track == best.track]
    against = [c for c in mine if c.a.removeprefix("records/") in twins]
    counted = [c for c in against if c.a_sha256 == official]
    decided = sorted((c for c in counted if c.outcome in DECIDED), key=lambda c: c.mode == "fixed")
    if decided:
        return decided[0]
    if counted:
        why = f"its comparison with the current record {name} decided nothing"
    elif against:
        why = f"it was compared with another script than that of the current record {name}, as a reimplementation is"
    elif mine:
        why = f"it was compared with {mine[-1].a[:100]}, and the current record is {name}"
    else:
        why = f"there is no same-machine comparison with the current record {name}"
    raise StoreError.at(found.name, why, f"make one: {_command(project, found, best, name, counted)}")


def _command(project: Project, found: Subject, best: Record, name: str, made: Sequence[Comparison]) -> str:
    """What to type for a comparison that counts; `made`: those that are there and decided nothing."""
    # By its own name a record is run with the script in its folder; by its track's with its original.
    a = best.track if scripts.has_script(project, best) and originals.published(best) else name
    command = f"speedrun compare {a} {found.name}"
    unfinished = next((c for c in made if c.outcome == "undecided"), None)
    if unfinished is not None and unfinished.mode == "fixed":
        return f"{command} --pairs {unfinished.max_pairs}"
    if unfinished is not None or all(c.mode == "fixed" for c in made):
        return command
    taken = {c.max_pairs for c in made if c.mode == "fixed"}
    return f"{command} --pairs {next(n for n in range(USUAL_PAIRS, 101) if n not in taken)}"
