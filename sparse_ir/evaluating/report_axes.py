"""Where the ticks of an axis go, and which points nothing beats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = (1, 2, 5)
_FEW = 3  # a logarithmic axis of fewer round values takes those of a linear one
_ROOM = 0.1  # of an axis, on either side of the points


class Tick(NamedTuple):
    """A mark on an axis: where it lies in the picture, and what it says."""

    at: float
    label: str


class Axis(NamedTuple):
    """Values from low to high, drawn from start to end of a picture."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies in the picture."""
        low, high, x = self.low, self.high, value
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(value)
        return round(self.start + (self.end - self.start) * (x - low) / (high - low), 1)

    def ticks(self, most: int = 6) -> list[Tick]:
        """Round values within the axis."""
        values = log_ticks(self.low, self.high, most) if self.log else []
        alike = len(values) < _FEW
        if alike:
            values = linear_ticks(self.low, self.high, most)
        texts = _texts(values, alike=alike)
        return [Tick(self.at(value), text) for value, text in zip(values, texts, strict=True)]


def linear_axis(values: Sequence[float], start: float, end: float, *, least: float) -> Axis:
    """An axis around values, which it shows with some room; at least so much wide."""
    low, high = min(values), max(values)
    room = max((high - low) * _ROOM, (least - (high - low)) / 2)
    return Axis(low - room, high + room, start, end)


def log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """A logarithmic axis around values above 0, at least from a half to the double."""
    low, high = min(values), max(values)
    room = max((high / low) ** _ROOM, 2 / math.sqrt(high / low), 1.1)
    return Axis(low / room, high * room, start, end, log=True)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten between two values, at most so many.

    >>> linear_ticks(0.31, 0.52, 6)
    [0.35, 0.4, 0.45, 0.5]
    """
    exponent = math.floor(math.log10((high - low) / most))
    for step, power in ((s, e) for e in (exponent, exponent + 1) for s in _STEPS):
        first = math.ceil(low / (step * 10.0**power) - 1e-9)
        last = math.floor(high / (step * 10.0**power) + 1e-9)
        if last - first < most:
            # from whole numbers, so that no tick is 0.30000000000000004
            return [float(f"{i * step}e{power}") for i in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times the powers of ten between two values; the powers alone where space is short.

    >>> log_ticks(0.8, 12, 6), log_ticks(0.8, 1200, 6)
    ([1.0, 2.0, 5.0, 10.0], [1.0, 10.0, 100.0, 1000.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (_STEPS, (1,)):
        values = [float(f"{step}e{power}") for power in powers for step in steps]
        within = [value for value in values if low <= value <= high]
        if len(within) <= most:
            return within
    return within[:: math.ceil(len(within) / most)]


def _texts(values: Sequence[float], *, alike: bool) -> list[str]:
    """Round values as texts, if wanted alike with as many digits after the point.

    >>> _texts([0.58, 0.6], alike=True), _texts([0.5, 1000.0], alike=False)
    (['0.58', '0.60'], ['0.5', '1,000'])
    """
    digits = [len(f"{value:.9f}".rstrip("0").partition(".")[2]) for value in values]
    if alike:
        digits = [max(digits)] * len(values)
    texts = [f"{value:,.{n}f}" for value, n in zip(values, digits, strict=True)]
    return [text.replace("-", "\N{MINUS SIGN}") for text in texts]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that nothing beats, cheapest first.

    A point is beaten by one that costs no more and is no worse, and better in one of the two.

    Args:
        points: Cost and quality of each.

    Returns:
        Their positions in ``points``. Equal points are beaten by neither.
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if not front or points[i][1] > points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front
