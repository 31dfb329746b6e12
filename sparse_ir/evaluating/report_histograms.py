"""How many terms queries and documents have: histograms of systems below one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.evaluating.report_axes import Axis, Tick
from sparse_ir.evaluating.report_costs import mean
from sparse_ir.evaluating.report_words import clipped, count, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.evaluating.results import Results

WIDTH = 380
LEFT, RIGHT = 12, 362
ROW = 58  # of one system
TOP, FOOT = 6, 38
_LAST = 54  # room of the last tick
_BARS = 30  # at most
_BAR = 32.0  # height of the highest
_MOST = 0.995  # of the texts; what lies beyond is heaped on the last bar


class Bar(NamedTuple):
    """A bar of a histogram, in the units of the picture, and the texts that it stands for."""

    x: float
    y: float
    width: float
    height: float
    texts: int


class Row(NamedTuple):
    """A histogram of a system, or of several that have the same terms."""

    system: str
    label: str
    number: int
    base: float
    bars: list[Bar]
    mean_x: float
    mean: str


class Histogram(NamedTuple):
    """The systems' histograms of one side of a dataset on one common axis."""

    dataset: str
    side: str
    height: float
    foot: float
    rows: list[Row]
    ticks: list[Tick]


def histograms(results: Results) -> list[Histogram]:
    """Draw terms per query, then per document, of each dataset."""
    numbers = {system: number for number, system in enumerate(results.systems)}
    found = []
    for facts in results.datasets:
        outcomes = results.of(facts.name)
        for side in ("query", "document"):
            terms = {
                name: outcome.query_terms if side == "query" else outcome.document_terms
                for name, outcome in outcomes.items()
            }
            drawn = {name: values for name, values in terms.items() if values}
            if drawn:
                found.append(_histogram(facts.name, side, drawn, numbers))
    return found


def _once(terms: Mapping[str, Sequence[int]]) -> list[tuple[list[str], Sequence[int]]]:
    """Systems of the same terms together: those that differ in the engine alone, say."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, values in terms.items():
        groups.setdefault(tuple(values), []).append(name)
    return [(names, values) for values, names in groups.items()]


def _label(names: Sequence[str]) -> str:
    others = len(names) - 1
    return clipped(names[0], 24) + f" and {others} more" if others else clipped(names[0], 34)


def bin_width(values: Sequence[int], bars: int = _BARS) -> tuple[int, int]:
    """Choose how wide bins are, and how many, so that they hold nearly all of the values.

    >>> bin_width([0, 7, 12])
    (1, 13)
    """
    most = sorted(values)[max(math.ceil(_MOST * len(values)) - 1, 0)]
    scale = 1
    while True:
        for step in (1, 2, 5):
            if most // (step * scale) < bars:
                return step * scale, most // (step * scale) + 1
        scale *= 10


def counts(values: Sequence[int], width: int, bins: int) -> list[int]:
    """Count the values of each bin from 0 on; the last one takes what lies beyond.

    >>> counts([0, 4, 5, 9, 100], 5, 3)
    [2, 2, 1]
    """
    found = [0] * bins
    for value in values:
        found[min(value // width, bins - 1)] += 1
    return found


def _histogram(
    dataset: str, side: str, terms: Mapping[str, Sequence[int]], numbers: Mapping[str, int]
) -> Histogram:
    everything = [value for values in terms.values() for value in values]
    width, bins = bin_width(everything)
    axis = Axis(0, width * bins, LEFT, RIGHT)
    rows = [
        _row(names, numbers[names[0]], values, axis, (width, bins), TOP + ROW * (i + 1))
        for i, (names, values) in enumerate(_once(terms))
    ]
    foot = TOP + ROW * len(rows)
    ticks = axis.ticks(7)
    if max(everything) >= width * bins:  # the last bar holds more than the axis says
        ticks = [tick for tick in ticks if tick.at < RIGHT - _LAST]
        ticks.append(Tick(axis.at(width * (bins - 0.5)), f"≥ {count(width * (bins - 1))}"))
    return Histogram(dataset, side, foot + FOOT, foot, rows, ticks)


def _row(
    names: Sequence[str],
    number: int,
    values: Sequence[int],
    axis: Axis,
    bins: tuple[int, int],
    base: float,
) -> Row:
    width, number_of_bins = bins
    found = counts(values, *bins)
    scale = _BAR / max(found)
    bars = [
        Bar(
            axis.at(i * width) + 0.5,
            round(base - n * scale, 1),
            round((RIGHT - LEFT) / number_of_bins - 1, 1),
            round(n * scale, 1),
            n,
        )
        for i, n in enumerate(found)
        if n
    ]
    middle = mean(values) or 0.0
    at = min(axis.at(middle), RIGHT)
    return Row(", ".join(names), _label(names), number, base, bars, at, figure(middle))
