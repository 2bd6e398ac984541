"""Find in the beats of an observer when it looked and how late its news may have come. Pure.

The observer wakes up ten times a second and notes once a second by how much the latest wake-up was too late. So late any
news that it wrote in that second may be, and so late the recorder's stamps may be, for both wait for the same
processors. A machine that is starved is told from a script with a trick by nothing else, so what lies within the delay
decides nothing. A gap is a stretch in which nobody looked at all.
"""

import bisect
import itertools
from dataclasses import dataclass

from harness.core.measurement import Metrics

GAP_S = 5.0
ORDINARY_S = 0.006  # delay of a busy machine that the limits of the timing rules have room for


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When the observer of one run looked."""

    times: tuple[float, ...]  # of the beats
    delays: tuple[float, ...]
    gaps: tuple[tuple[float, float | None], ...]  # seconds from and to; None: the end of the run
    known: bool  # False of an observer of old, which is believed without any
    waits: tuple[
        tuple[float, float], ...
    ] = ()  # (seconds, how long one had to wait for a processor since the one before)

    def delay_s(self, begin: float | None, end: float | None) -> float:
        """Return the largest delay around a stretch of time, the neighbouring beats included; 0 without a heartbeat."""
        first = 0 if begin is None else max(0, bisect.bisect_left(self.times, begin) - 1)
        last = len(self.times) if end is None else bisect.bisect_right(self.times, end) + 1
        return max(self.delays[first:last], default=0.0)

    def room_s(self, begin: float | None, end: float | None) -> float | None:
        """Return by how much a difference of two stamps in a stretch may exceed its limit; None within a gap."""
        for since, until in self.gaps:
            if (end is None or since <= end) and (begin is None or until is None or until >= begin):
                return None
        return max(0.0, max(self.delay_s(begin, end), self._wait_s(begin, end)) - ORDINARY_S)

    def _wait_s(self, begin: float | None, end: float | None) -> float:
        """Return the longest wait around a stretch: a line is printed and stamped so late, and the observer's may be less."""
        times = [at for at, _ in self.waits]
        first = 0 if begin is None else bisect.bisect_left(times, begin)
        last = len(times) if end is None else bisect.bisect_right(times, end) + 1
        return max((wait for _, wait in self.waits[first:last]), default=0.0)

    def room_sum_s(self) -> float | None:
        """Return by how much a sum of such differences over the run may exceed its limit; None with a gap."""
        if self.gaps:
            return None
        late = (*self.delays, *(wait for _, wait in self.waits))
        return sum(max(0.0, seconds - ORDINARY_S) for seconds in late)


def heartbeat(run: Metrics) -> Heartbeat:
    """Read the beats of a run's observer."""
    beats = run.observed.beats if run.observed is not None else None
    if beats is None:
        return Heartbeat((), (), (), known=False)
    waits = run.observed.waits if run.observed is not None else ()
    return Heartbeat(
        tuple(at for at, _ in beats), tuple(delay for _, delay in beats), tuple(_gaps(run, beats)), True, waits
    )


def _gaps(run: Metrics, beats: tuple[tuple[float, float], ...]) -> list[tuple[float, float | None]]:
    if not beats:
        return [(0.0, None)]
    found: list[tuple[float, float | None]] = []
    first = beats[0][0]  # a tenth of a second after the start; torchrun needs some seconds before the clock can start
    if first > GAP_S:
        found.append((0.0, first))
    for (before, _), (at, delay) in itertools.pairwise(beats):
        if delay > GAP_S or at - before - delay > GAP_S:
            found.append((before, at))
    assert run.observed is not None
    last = beats[-1][0]
    if not run.observed.ended or (run.wall_time_s is not None and run.wall_time_s - last > GAP_S):
        found.append((last, None))
    return found


def describe_gap(run: Metrics, begin: float, end: float | None) -> str:
    """Say when nobody looked, as a sentence without its full stop."""
    if begin == 0.0 and end is None:
        return f"what the observer saw of {run.run_id} is missing: it was stopped, killed or starved"
    until = "its end" if end is None else f"{end:.1f} s"
    return f"the observer did not look between {begin:.1f} s and {until} of {run.run_id}: it was stopped, killed or starved"
