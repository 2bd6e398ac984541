"""Tell which logs of the upstream repository are a row's own runs, and what the others beside them are.

In this order: the linked folder, the track's number of GPUs, the linked log's steps and script. What stays ambiguous then
is left to a maintainer (`--own`): a row that got somebody else's runs would be worse than one that waits. A run is
called a baseline where its author named it so, in a folder's or a file's name.
"""

import fnmatch
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.catalog.tree import Tree
from harness.core.errors import StoreError
from harness.core.text import plural
from harness.maintain.claims import Row
from harness.maintain.upstream_logs import Group, Log, distinct, groups, read_folder

NO_RUNS = "-"  # --own NAME=-: the row has no runs of its own
_BASELINE = re.compile(r"(?<![a-z])(baseline|comparison)")
_DEPTHS = {"optimization": 3}  # parts of the path above a record's folder; 2 on the other tracks


class Ambiguous(Exception):
    """What is a row's own cannot be told; holds the groups to choose from."""

    def __init__(self, what: str, found: Sequence[Group] = ()) -> None:
        super().__init__(what)
        self.groups = tuple(found)


@dataclass(frozen=True, slots=True)
class Owned:
    """The runs of a row's folder."""

    folder: str | None = None  # of the record, below records/<track>/; None where it has none
    own: tuple[Log, ...] = ()
    baseline: tuple[Log, ...] = ()
    other: tuple[Log, ...] = ()
    linked: Log | None = None  # the own log that the row links, else the first with a script
    metric: str = "val_loss"  # that the claim is about
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """What the link of a row means."""

    root: str | None = None  # the folder of the record; None in a folder that records share
    folder: str | None = None
    file: str | None = None
    deep: bool = False  # all below the folder: the link is its README
    remarks: list[str] = field(default_factory=list)


def own_runs(row: Row, tree: Tree, processes: int | None, older: set[str], chosen: str | None = None) -> Owned:
    """Find a row's own runs among the logs of its folder.

    processes: the track's number of GPUs; None where any will do. older: contents of the track's program that came
    before the row's folder (blobs of git). chosen: what a maintainer named. Raises Ambiguous, and StoreError where
    `chosen` names no run.
    """
    if not row.logs or chosen == NO_RUNS:
        return Owned()
    try:
        place = _place(row, tree)
    except Ambiguous:
        named = (chosen or "").strip("/")
        if not tree.is_folder(named):
            raise
        place = _Place(root=named, folder=named)
    paths = [place.file] if place.root is None and place.file else tree.below(place.root or place.folder or "")
    reading = read_folder(tree, paths)
    logs = distinct(reading.logs)
    place.remarks += reading.remarks
    if chosen is not None:
        own = [log for log in logs if _is_chosen(log.path, place.root or "", chosen)]
        if not own:
            few = ", ".join(sorted({_inside(group.folder, place.root) for group in groups(logs)}))
            raise StoreError.at(f"--own {row.name}", f"names no run with {ascii(chosen)[:80]}", f"name one of {few}")
    elif row.track == "optimization":
        own = _by_claim(row, logs, place)
    else:
        own = _by_hardware(logs, place, processes, older)
    return _sorted(row, place, logs, own)


# ------------------------------------------------------------------------------------------------ the linked folder


def record_folder(row: Row, tree: Tree) -> str | None:
    """Return the folder of a row's record; None where it has none of its own, or nobody can tell."""
    try:
        return _place(row, tree).root if row.logs else None
    except Ambiguous:
        return None


def _place(row: Row, tree: Tree) -> _Place:
    path, file, place = row.logs[0], None, _Place()
    if len(row.logs) > 1:
        place.remarks.append(f"its log cell has {len(row.logs)} links; the first counts")
    if path in tree.blobs:
        file = path
    elif tree.is_folder(path):
        place.folder = path
    else:
        moved = _moved(path, tree)
        place.remarks.append(f"its link is dead: {path}; read from {moved}")
        file, place.folder = (moved, None) if moved in tree.blobs else (None, moved)
    if file is not None:
        place.folder, place.deep = posixpath.dirname(file), file.lower().endswith(".md")
        place.file = None if place.deep else file
    parts = (place.folder or "").split("/")
    depth = _DEPTHS.get(row.track, 2)
    if len(parts) > depth:
        place.root = "/".join(parts[: depth + 1])
    elif place.file is None:
        raise Ambiguous(f"links {path}, which is no folder of one record")
    return place


def _moved(path: str, tree: Tree) -> str:
    """Find what a dead link meant: the file of that name, else the folder whose name differs in `-`, `_` and case."""
    name = posixpath.basename(path)
    found = [other for other in tree.below("records") if posixpath.basename(other) == name and "." in name]
    if not found:
        alike = re.sub(r"[-_ ]", "", path.lower())
        folders = {posixpath.dirname(other) for other in tree.below("records")}
        parents = {"/".join(f.split("/")[:depth]) for f in folders for depth in range(2, f.count("/") + 2)}
        found = [other for other in sorted(parents) if re.sub(r"[-_ ]", "", other.lower()) == alike]
    if len(found) != 1:  # a baseline's log may be a copy of the file that is looked for
        raise Ambiguous(f"links {path}, which is not there" + (", but in several folders" if found else ""))
    return found[0]


def _is_chosen(path: str, root: str, chosen: str) -> bool:
    inside = path.removeprefix(f"{root}/")
    names = (path, inside, posixpath.basename(path))
    wanted = chosen.strip("/")
    below = path.startswith(f"{wanted}/") or inside.startswith(f"{wanted}/") or wanted == "."
    return below or any(fnmatch.fnmatchcase(name, wanted) for name in names)


def _inside(folder: str, root: str | None) -> str:
    return folder.removeprefix(root or "").strip("/") or "."


# ------------------------------------------------------------------------------------------------ short and medium


def _by_hardware(logs: list[Log], place: _Place, processes: int | None, older: set[str]) -> list[Log]:
    here = [log for log in logs if log.folder == place.folder]
    below = sorted({log.folder for log in logs if log.folder.startswith(f"{place.folder}/")})
    if not here and len(below) == 1:
        here = [log for log in logs if log.folder == below[0]]
    if not here:
        said = f"links a folder of {plural(len(below), 'folder')} with logs" if below else "links no training log"
        raise Ambiguous(said, groups(logs))
    fit = [log for log in here if processes is None or log.gpus in (None, processes)]
    linked = next((log for log in logs if log.path == place.file), None)
    if place.file is not None and linked is None:
        raise Ambiguous(f"links {place.file}, which is no training log", groups(logs))
    if linked is not None and linked not in fit:
        what = f"links a run on {plural(linked.gpus or 0, 'GPU')}, and the track runs on {processes}"
        raise Ambiguous(what, groups(logs))
    if linked is None and (not fit or any(log.steps != fit[0].steps or not log.same_program(fit[0]) for log in fit)):
        raise Ambiguous("links a folder whose runs are not alike", groups(logs))
    model = linked or fit[0]
    own = [log for log in fit if log.steps == model.steps and log.same_program(model)]
    rest = [log for log in fit if log not in own]
    if rest and model.program is not None and older.intersection(model.program.blobs):
        what = "links a run of the program before it, which looks like a baseline"
        raise Ambiguous(what, groups(logs))
    if unlike := sum(log.steps == model.steps and not _named_baseline(log, place) for log in rest):
        place.remarks.append(f"{plural(unlike, 'run')} beside its own made as many steps with another script")
    return own


# ------------------------------------------------------------------------------------------------ optimization


def _by_claim(row: Row, logs: list[Log], place: _Place) -> list[Log]:
    """Find as many runs as are claimed: those of the linked script, of its code, of its hardware, or all."""
    assert place.folder is not None and row.runs is not None
    here = [log for log in logs if log.path == place.file] if place.root is None else logs
    here = [log for log in here if log.folder == place.folder or log.folder.startswith(f"{place.folder}/")]
    model = next((log for log in here if log.path == place.file), None)
    model = model or next((log for log in here if log.program is not None), None) or next(iter(here), None)
    if model is None:
        raise Ambiguous("links no training log")
    alike = [log for log in here if log.run.total_steps == model.run.total_steps]
    tests: tuple[Callable[[Log], bool], ...] = (
        lambda log: log.run.script_sha256 == model.run.script_sha256,
        lambda log: log.same_program(model),
        lambda log: log.run.gpu_name == model.run.gpu_name,
        lambda log: True,
    )
    for test in tests:
        found = [log for log in alike if test(log)]
        if len(found) == row.runs:
            return found
    if len(here) == row.runs:
        return here
    if len(here) > row.runs:
        raise Ambiguous(f"claims {plural(row.runs, 'run')} of {len(here)}", groups(here))
    place.remarks.append(f"claims {plural(row.runs, 'run')}; {len(alike)} are there")
    return alike


def _metric(row: Row, own: Sequence[Log]) -> str:
    """Tell whether a claim is about val_loss, or about val_ema_loss where that is printed and comes nearer to it."""
    if row.steps is None or row.val_loss is None or not own or not all(log.ema for log in own):
        return "val_loss"
    off = {}
    for metric in ("val_loss", "val_ema_loss"):
        losses = [loss for log in own if (loss := log.loss_at(row.steps, metric)) is not None]
        off[metric] = abs(sum(losses) / len(losses) - row.val_loss) if losses else float("inf")
    return min(off, key=lambda metric: off[metric])


# ------------------------------------------------------------------------------------------------ all tracks


def _named_baseline(log: Log, place: _Place) -> bool:
    return _BASELINE.search(log.path.removeprefix(place.root or "").lower()) is not None


def _sorted(row: Row, place: _Place, logs: list[Log], own: list[Log]) -> Owned:
    linked = next((log for log in own if log.path == place.file), None)
    if linked is None and place.file is not None:
        place.remarks.append(f"it links {place.file}, which is not one of its own runs")
    if linked is None or linked.program is None:
        linked = next((log for log in own if log.program is not None), linked)
    rest = [log for log in logs if log not in own] if place.root is not None else []
    return Owned(
        folder=place.root,
        own=tuple(own),
        baseline=tuple(log for log in rest if _named_baseline(log, place)),
        other=tuple(log for log in rest if not _named_baseline(log, place)),
        linked=linked,
        metric=_metric(row, own),
        remarks=tuple(place.remarks),
    )
