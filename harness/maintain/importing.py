"""Bring new rows of the upstream repository into `records/`: what is new, what is left out and why, what differs.

Each new row becomes a folder that is written whole or not at all; no file that is there changes. Every figure is read
from the logs of one commit, so the same commit gives the same bytes to whoever imports it again.
"""

import functools
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.catalog.checkout import Checkout
from harness.catalog.lookup import Catalog
from harness.catalog.mainline import read_history
from harness.catalog.tree import Tree
from harness.core.errors import HarnessError, StoreError
from harness.core.record import Merged, Record
from harness.maintain import imported, requirements
from harness.maintain.acceptance import add_folder
from harness.maintain.claims import READMES, Claims, Row, read_claims
from harness.maintain.merges import find_merged
from harness.maintain.ownership import NO_RUNS, Ambiguous, Owned, own_runs, record_folder
from harness.maintain.scripts_known import KnownScripts
from harness.maintain.upstream_logs import Group
from harness.replay.environments import Needs, add_needs, build_of
from harness.store.records import RECORD_FORM, Curve, add_merged

REPOSITORY = "KellerJordan/modded-nanogpt"


@dataclass(frozen=True, slots=True)
class New:
    """A row that becomes a record."""

    name: str
    record: Record
    curve: Curve
    remarks: tuple[str, ...]
    merged: Merged | None = None  # where it is known and not the original
    torch: str | None = None  # of its original
    needs: Needs | None = None
    clash: str | None = None  # the record of this project that was accepted under the same number


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row, or what looks like one, that is not imported."""

    where: str
    name: str | None
    what: str
    todo: str
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What upstream says now of a record that is here, and what its files say."""

    name: str
    what: str
    here: str
    upstream: str


@dataclass(slots=True)
class ImportPlan:
    """All that an import would do."""

    commit: str
    known: int = 0  # rows that are records already
    new: list[New] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    without_row: list[str] = field(default_factory=list)  # folders with files that no row links
    merged: dict[str, Merged] = field(default_factory=dict)  # by "track/slug", of records that are here and say nothing


def plan_import(
    catalog: Catalog, checkout: Checkout, *, commit: str | None = None, own: Mapping[str, str] | None = None
) -> ImportPlan:
    """Read the upstream repository at a commit, and say what is new there. Writes nothing.

    own: by row, which of the logs are its own, as a maintainer says. Raises StoreError where the repository cannot be
    read, and where `own` names what is not there.
    """
    tree = Tree(checkout, commit)
    texts = {path: data for path in READMES if (data := tree.read(path)) is not None}
    claims = read_claims(texts)
    plan = ImportPlan(tree.commit)
    plan.left_out += [LeftOut(p.where, None, p.what, p.todo) for p in claims.problems]
    here = _imported_here(catalog)
    known = KnownScripts(catalog, tree, read_history(checkout, tree.commit))
    choices = dict(own or {})
    taken = {f"{r.track}/{r.slug}" for r in catalog.records()}
    made: list[tuple[Row, Owned, New]] = []
    for row in claims.rows:
        record = here.get(row.name)
        if record is not None:
            plan.known += 1
            plan.differences += _differences(row, record)
            continue
        chosen = choices.pop(row.name, None)
        try:
            made.append(_new(row, catalog, tree, known, chosen, taken))
        except Ambiguous as error:
            todo = f"say which runs are its own: --own {row.name}=FOLDER, or --own {row.name}={NO_RUNS} for none"
            plan.left_out.append(LeftOut(row.where, row.name, str(error), todo, error.groups))
        except HarnessError as error:
            if chosen is not None:
                raise  # what a maintainer typed is wrong
            plan.left_out += [LeftOut(row.where, row.name, p.what, p.todo) for p in error.problems]
        else:
            known.add(row.name, made[-1][2].record)
    _refuse_unused(choices, here)
    plan.new = _settle(made, here, claims, checkout, known, plan)
    plan.differences += _gone(claims, here, plan)
    plan.without_row = _without_row(claims, tree)
    return plan


def write_import(catalog: Catalog, plan: ImportPlan) -> int:
    """Write the folders of all new records, each whole or not at all; the number of folders.

    The folders come last: an import that is cut off leaves rows that are still new, and the next one writes the rest.
    """
    add_needs(catalog.project, [(new.torch or "", new.needs) for new in plan.new if new.needs is not None])
    for name, merged in plan.merged.items():
        add_merged(catalog.project.records / name, merged)
    for new in plan.new:
        add_folder(catalog.project, new.record, functools.partial(_fill, new.merged), curve=new.curve)
    return len(plan.new)


# ------------------------------------------------------------------------------------------------ one row


def _new(
    row: Row, catalog: Catalog, tree: Tree, known: KnownScripts, chosen: str | None, taken: set[str]
) -> tuple[Row, Owned, New]:
    if row.track not in catalog.track_names():
        raise StoreError.at(row.where, f"the project has no track {row.track}", "add the track, or leave the row out")
    track = catalog.track(row.track)
    processes = track.hardware.processes if track.metric == "train_time" else None
    owned = own_runs(row, tree, processes, known.before(row), chosen)
    record = imported.make_record(row, track, owned, known, tree.commit, REPOSITORY, chosen, taken)
    RECORD_FORM.parse(RECORD_FORM.text(record).encode(), row.where)  # refused now rather than when it is read
    taken.add(f"{record.track}/{record.slug}")
    log, needs, torch = owned.linked, None, None
    if log is not None and log.program is not None:
        torch = record.original.torch if record.original else None
        needs = requirements.needs_of(row.name, build_of(torch or "").name, log.run, log.program)
    clash = next((r for r in catalog.records(row.track) if r.number == row.number and r.original is None), None)
    shown = catalog.project.show(catalog.folder(clash)) if clash is not None and not row.timing else None
    curve = imported.canonical_curve(row, owned)
    return row, owned, New(row.name, record, curve, owned.remarks, torch=torch, needs=needs, clash=shown)


def _settle(
    made: list[tuple[Row, Owned, New]],
    here: dict[str, Record],
    claims: Claims,
    checkout: Checkout,
    known: KnownScripts,
    plan: ImportPlan,
) -> list[New]:
    """Find what was merged, now that all records are known, and say of baselines whose script that was."""
    if not made:
        return []
    records = sorted(
        [*here.values(), *(new.record for _, _, new in made)], key=lambda record: (record.track, record.slug)
    )
    sure = {_key(record) for record in records if _is_followed(record, records, claims)}
    found = {key: m for key, m in find_merged(records, checkout, plan.commit).items() if key in sure}
    plan.merged = {_key(r): found[_key(r)] for r in here.values() if r.merged is None and _key(r) in found}
    names = {_key(record): name for name, record in here.items()} | {_key(new.record): new.name for _, _, new in made}
    known.add_merged({names[key]: merged for key, merged in found.items()})
    return [
        replace(
            new,
            record=replace(new.record, runs=tuple(imported.runs(row, owned, known))),
            merged=found.get(_key(new.record)),
        )
        for row, owned, new in made
    ]


def _is_followed(record: Record, records: list[Record], claims: Claims) -> bool:
    """Tell whether the next record of the track is known: a record's merged script is what stood before that came."""
    numbers = {other.number for other in records if other.track == record.track}
    rows = {row.number for row in claims.rows if row.track == record.track}
    return record.number + 1 in numbers or (not claims.problems and record.number == max(numbers | rows))


def _key(record: Record) -> str:
    return f"{record.track}/{record.slug}"


def _fill(merged: Merged | None, aside: Path) -> None:
    if merged is not None:
        add_merged(aside, merged)


# ------------------------------------------------------------------------------------------------ what is here already


def _imported_here(catalog: Catalog) -> dict[str, Record]:
    """Return the imported records by the names that rows have; what this project accepted is none of them."""
    found: dict[str, Record] = {}
    mine = [record for record in catalog.records() if record.original is not None]
    for record in sorted(mine, key=lambda r: (r.track, r.number, r.kind, str(r.date), r.slug)):
        timing = 0
        while f"{record.track}/{record.number}" + (f".{timing}" if timing else "") in found or (
            timing == 0 and record.kind == "retiming"
        ):
            timing += 1
        found[f"{record.track}/{record.number}" + (f".{timing}" if timing else "")] = record
    return found


def _differences(row: Row, record: Record) -> Iterable[Difference]:
    claimed = record.claimed
    pairs: list[tuple[str, object, object]] = [
        ("time", claimed.train_time_s, row.train_time_s),
        ("steps", claimed.steps, row.steps),
        ("mean loss", claimed.val_loss, row.val_loss),
        ("runs", claimed.runs, row.runs),
        ("date", record.date, row.date),
        ("contributors", ", ".join(record.contributors), ", ".join(row.contributors)),
        # A row may name none; the record may have its number from the history.
        ("pull request", record.pull_request, row.pull_request or record.pull_request),
    ]
    return [Difference(row.name, what, str(a or "none"), str(b or "none")) for what, a, b in pairs if a != b]


def _gone(claims: Claims, here: dict[str, Record], plan: ImportPlan) -> list[Difference]:
    """Name the records that no row stands for any more; a table with rows that were not understood tells nothing."""
    unread = {left.where.partition(":")[0] for left in plan.left_out if left.name is None}
    readable = {t for t in claims.tracks if READMES[t == "optimization"] not in unread}
    rows = {row.name for row in claims.rows}
    return [
        Difference(name, "row", "a record", "no row")
        for name, record in here.items()
        if record.track in readable and name not in rows
    ]


def _without_row(claims: Claims, tree: Tree) -> list[str]:
    """List the folders of runs below records/ that no row links."""
    linked = {folder for row in claims.rows if (folder := record_folder(row, tree)) is not None}
    folders = set()
    for path in tree.below("records"):
        parts = path.split("/")
        depth = 4 if parts[1] == "track_3_optimization" else 3
        if len(parts) > depth and posixpath.splitext(path)[1] in (".txt", ".log", ".stdout"):
            folders.add("/".join(parts[:depth]))
    return sorted(folders - linked)


def _refuse_unused(choices: dict[str, str], here: dict[str, Record]) -> None:
    for name in choices:
        what = "is a record already, and never changes" if name in here else "is no row upstream"
        raise StoreError.at(f"--own {name}", what, "name new rows only, like --own short/90=this_pr")


def checked_own(values: Iterable[str]) -> dict[str, str]:
    """Read the values of --own, NAME=FOLDER; raises StoreError for one that is none."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not equals or not folder.strip() or name in found or not folder.isprintable() or "`" in folder:
            raise StoreError.at(f"--own {ascii(value)[:80]}", "is not NAME=FOLDER", "write --own short/88=this_pr")
        found[name] = folder
    return found
