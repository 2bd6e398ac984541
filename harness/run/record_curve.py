"""Hold the validation curve of a run beside that of the current record, at the same step or the same time.

Hard because curves have few points (a record has six or so), fall steeply at first, and are measured at other steps: a
straight line between two points says little where they lie far apart, and then nothing is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.catalog.lookup import Catalog
from harness.catalog.standing import ran_other_script
from harness.core.record import Record
from harness.core.task import Ruleset, Track
from harness.run.run_progress import Point
from harness.store import records

MOST_APART = 0.5  # nats between two points of the record's curve that a line may be drawn between


@dataclass(frozen=True, slots=True)
class Reference:
    """The curve of a record."""

    name: str  # as people type it: short/89
    points: tuple[Point, ...]  # by step; distances to the entropy where the run's are
    timed: bool  # its seconds were measured on the hardware that the run is on, and the track ranks them
    by_original: bool = False  # it is of the original, and the record is held by another script, which was merged

    @property
    def shown(self) -> str:
        """Say whose curve it is."""
        return f"the original of {self.name}" if self.by_original else self.name


@dataclass(frozen=True, slots=True)
class Against:
    """How far a validation is from the record's curve."""

    difference: float  # nats; below 0: the run is better
    name: str
    where: str  # "step 750" or "45.2 s"
    about: bool  # between two points of the record's curve

    @property
    def said(self) -> str:
        """0.012 below short/89 at step 750"""
        side = "below" if self.difference < 0 else "above"
        return f"{'about ' if self.about else ''}{abs(self.difference):.4f} {side} {self.name} at {self.where}"


def reference_of(
    catalog: Catalog, track: Track, ruleset: Ruleset, record: Record | None, *, gpus: int
) -> Reference | None:
    """Read the curve of a record (None: the current one); None where it has none, or losses of another kind.

    gpus: of the machine that the run is on.
    """
    best = record or catalog.current(track)
    if best is None:
        return None
    theirs = next((rules for rules in track.rulesets if rules.id == best.ruleset), None)
    curve = records.read_curve(catalog.folder(best))
    if not curve or theirs is None or (theirs.above_entropy is None) != (ruleset.above_entropy is None):
        return None
    points = tuple(Point(step, loss, time_s) for step, loss, time_s in sorted(curve, key=lambda point: point[0]))
    hardware = track.hardware
    timed = track.metric == "train_time" and hardware.kind == "gpu" and gpus == hardware.processes
    known = all(point.train_time_s is not None for point in points)
    return Reference(catalog.name(best), points, timed and known, ran_other_script(best))


def against(point: Point, reference: Reference, total_steps: int | None) -> Against | None:
    """Compare a validation with a record's curve; None where that tells nothing.

    At the same step. Where the record takes another number of steps, so that its learning rate falls at other steps, and
    its seconds count here: at the same training time.
    """
    if point.loss is None or not reference.points:
        return None
    if reference.timed and total_steps != reference.points[-1].step and point.train_time_s is not None:
        curve = [(one.train_time_s or 0.0, one.loss) for one in reference.points if one.loss is not None]
        at, where = point.train_time_s, f"{point.train_time_s:,.1f} s"
    else:
        curve = [(float(one.step), one.loss) for one in reference.points if one.loss is not None]
        at, where = float(point.step), f"step {point.step}"
    exact = next((loss for place, loss in curve if place == at), None)
    theirs = exact if exact is not None else _between(curve, at)
    if theirs is None:
        return None
    return Against(point.loss - theirs, reference.shown, where, about=exact is None)


def _between(curve: Sequence[tuple[float, float]], at: float) -> float | None:
    """Draw a line between the neighbours of a place; None outside of the curve, and where they lie too far apart."""
    before = max((one for one in curve if one[0] < at), default=None)
    after = min((one for one in curve if one[0] > at), default=None)
    if before is None or after is None or abs(after[1] - before[1]) > MOST_APART:
        return None
    share = (at - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])
