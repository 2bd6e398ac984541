"""Find the stored same-machine comparison that a maintainer's decision rests on.

Seconds of two machines cannot be compared, so on the tracks that rank by time a record is judged by runs of both
scripts on one machine: `.runs/comparisons/*.json`, written by `speedrun compare`. Whoever could repeat a comparison
until the outcome suits would choose it, so the rule is fixed in advance: the until-decided comparison counts if it
decided, else the first fixed one that did.
"""

from collections.abc import Sequence

from harness.catalog.lookup import Catalog
from harness.catalog.originals import program, published
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.core.record import Record
from harness.store.comparisons import Comparison, other_torch, read_comparisons
from harness.store.ledger import chain_of

DECIDED = ("faster", "tie", "slower")
USUAL_PAIRS = 16  # of a fixed comparison that has still to be made


def sentence(comparison: Comparison, a: str) -> str:
    """Put the outcome into words; `a` names the record that the script was compared with, like short/89."""
    torches = comparison.a.torch, comparison.b.torch
    change = f"; torch {torches[1]} against {torches[0]}" if other_torch(*torches) else ""
    gpus, gain = comparison.machine.gpus, comparison.gain
    machine = f"{len(gpus)}× {gpus[0].name}" if gpus else comparison.machine.cpu
    where = f"on one machine ({machine}, {comparison.started_at[:10]}, {comparison.pairs} pairs)"
    if gain is None or comparison.outcome == "tie":
        return f"{where}: a tie with {a}{change}"
    sign, word = (1, "less") if gain > 0 else (-1, "more")
    between = ""
    if comparison.interval is not None:
        low, high = sorted(100 * sign * bound for bound in comparison.interval)
        between = f" (95 %: {low:.2f} to {high:.2f} %)"
    return f"{where}: {100 * abs(gain):.2f} % {word} time than {a}{between}{change}"


def find_comparison(catalog: Catalog, subject: Subject, best: Record) -> Comparison:
    """Return the decided comparison of the current record (A) with `subject` (B) that counts.

    A ran the script that set the record's time, never a reimplementation of it. Raises StoreError, with the command
    that makes one, where there is none.
    """
    name = catalog.name(best)
    official = official_sha256(catalog, best)
    if official is None:
        why = f"the current record {name} was set with a script that nobody published"
        raise StoreError.at(subject.name, why, "nothing can be compared with it; a maintainer decides")
    same_script = {  # a re-timed record and the record that it times again
        f"{r.track}/{r.slug}"
        for r in catalog.records(best.track)
        if (r.slug == best.slug or (best.retimes is not None and r.number == best.retimes))
    }
    stored = sorted(read_comparisons(catalog.project), key=lambda c: (c.started_at, c.id))  # the first one first
    of_subject = [c for c in stored if c.b.script_sha256 == subject.chain and c.track == best.track]
    with_best = [c for c in of_subject if c.a.subject.removeprefix("records/") in same_script]
    valid = [c for c in with_best if c.a.script_sha256 == official]
    decided = sorted((c for c in valid if c.outcome in DECIDED), key=lambda c: c.mode == "fixed")
    if decided:
        return decided[0]
    if valid:
        why = f"its comparison with the current record {name} decided nothing"
    elif with_best:
        why = f"it was compared with a script of {name} that did not set the record, such as a reimplementation"
    elif of_subject:
        why = f"it was compared with {of_subject[-1].a.subject[:100]}, and the current record is {name}"
    else:
        why = f"there is no same-machine comparison with the current record {name}"
    raise StoreError.at(subject.name, why, f"make one: {_command(catalog, subject, best, name, valid)}")


def official_sha256(catalog: Catalog, record: Record) -> str | None:
    """Return what a comparison calls the script that set a record's time; None where it was never published.

    That is the merged one, the original, or a script in the record's folder that is not a reimplementation.
    """
    script = program(record)
    if script is not None:
        return chain_of(dict(script.files))
    if catalog.has_script(record):
        subject = catalog.script_here(record)
        if not subject.reimplementation:
            return subject.chain
    timed = catalog.timed(record)
    return None if timed is None else official_sha256(catalog, timed)


def _command(catalog: Catalog, subject: Subject, best: Record, name: str, valid: Sequence[Comparison]) -> str:
    """Return the command of a comparison that counts; `valid`: those that exist and decided nothing."""
    # A record's own name means the script in its folder; the track's name the published one of its current record.
    a = best.track if catalog.has_script(best) and published(best) else name
    command = f"speedrun compare {a} {subject.name}"
    unfinished = next((c for c in valid if c.unfinished), None)
    if unfinished is not None and unfinished.mode == "fixed":
        return f"{command} --pairs {unfinished.max_pairs}"
    if unfinished is not None or all(c.mode == "fixed" for c in valid):
        return command
    taken = {c.max_pairs for c in valid if c.mode == "fixed"}
    return f"{command} --pairs {next(n for n in range(USUAL_PAIRS, 101) if n not in taken)}"
