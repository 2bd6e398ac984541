"""Decide whether the measured delay of a machine explains what is over a limit of the timing rules.

It makes inconclusive what would have failed, and never pass: whoever delays the observer gains nothing.
"""

import dataclasses
import math
from collections.abc import Sequence

from harness.core.measurement import Metrics
from harness.evidence.heartbeat import ORDINARY_S, describe_gap, heartbeat
from harness.evidence.timeline import Section
from harness.verdict.checks import Ruling

STARVED_S = 0.050  # beyond this delay all work takes longer, by no known amount


def excused(
    run: Metrics, excess: float, failed: Ruling, stretch: tuple[float | None, float | None] = (None, None)
) -> Ruling:
    """Rule inconclusive where the delay that was measured in this stretch of the run explains what is over a limit."""
    return _with_room(run, excess, failed, heartbeat(run).room_s(*stretch))


def excused_sum(run: Metrics, excess: float, failed: Ruling) -> Ruling:
    """Rule the same of a sum over the run."""
    return _with_room(run, excess, failed, heartbeat(run).room_sum_s())


def _with_room(run: Metrics, excess: float, failed: Ruling, room: float | None) -> Ruling:
    beats = heartbeat(run)
    if room is None:
        why = describe_gap(run, *beats.gaps[0])
    elif excess <= room:
        why = f"this machine was up to {1000 * (room + ORDINARY_S):.1f} ms late there; run with less beside it"
    else:
        return failed
    return dataclasses.replace(failed, outcome="inconclusive", text=f"{failed.text}, but {why}")


def starved_gap(run: Metrics, section: Section, failed: Ruling) -> Ruling:
    """Rule inconclusive where a gap lies in a stretch in which the machine was starved: all takes longer there."""
    room = heartbeat(run).room_s(section.end_s, section.next_s)
    starved = room is None or room > STARVED_S
    return _with_room(run, 0.0 if starved else math.inf, failed, room)


def worst_of(found: Sequence[Ruling]) -> Ruling:
    """Return the first that fails, else the first."""
    return next((ruling for ruling in found if ruling.outcome == "fail"), found[0])
