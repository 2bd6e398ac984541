"""Map values to places of a picture, and choose the few round values that an axis names."""

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_MONTHS = (1, 2, 3, 6, 12, 24, 60)
_DAYS = (1, 2, 5, 10, 20)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or a logarithmic map of values from `low` to `high` onto places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; on a logarithmic scale it must be above 0."""
        low, high = self._mapped(self.low), self._mapped(self.high)
        return self.start + (self.end - self.start) * (self._mapped(value) - low) / (high - low)

    def _mapped(self, value: float) -> float:
        return math.log(value) if self.log else value

    def ticks(self, most: int) -> list[float]:
        """Return at most so many round values inside; a logarithmic scale of less than a factor 4 has linear ones."""
        if not self.log or self.high < 4 * self.low:
            return _linear(self.low, self.high, most)
        return _logarithmic(self.low, self.high, most)


def widened(values: Iterable[float], share: float = 0.05) -> tuple[float, float]:
    """Return the least and the greatest value with a little room on both sides; around one value, one on each side."""
    held = list(values)
    room = (max(held) - min(held)) * share or 1.0
    return min(held) - room, max(held) + room


def _linear(low: float, high: float, most: int) -> list[float]:
    power = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    for step in (step * power * ten for ten in (1, 10, 100) for step in _STEPS):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [index * step for index in range(first, last + 1)]
    return []


def _logarithmic(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (_STEPS, (1, 3), (1,)):
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def dates(first: datetime.date, last: datetime.date, most: int) -> list[datetime.date]:
    """Return at most so many dates: firsts of months, or days of a short time."""
    days = (last - first).days
    if days < 62:
        step = next((step for step in _DAYS if days // step < most), 31)
        return [first + datetime.timedelta(days=day) for day in range(0, days + 1, step)]
    start, end = (date.year * 12 + date.month - 1 for date in (first, last))
    step = next((step for step in _MONTHS if (end - start) // step < most), 12 * (1 + (end - start) // (12 * most)))
    months = range(-(-(start + 1) // step) * step, end + 1, step)
    return [datetime.date(month // 12, month % 12 + 1, 1) for month in months]
