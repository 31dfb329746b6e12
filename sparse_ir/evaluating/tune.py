"""How little an index and a search may read: pruning and two-step search, swept and chosen."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from sparse_ir.evaluating.sweep import sweep
from sparse_ir.evaluating.tune_settings import UNPRUNED, Choice, Point, Tuned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sparse_ir.evaluating.tune_settings import TuneSettings


def tune(settings: TuneSettings, *, tell: Callable[[str], None] = lambda line: None) -> Tuned:
    """Try every combination on a dataset and choose the fastest that keeps the quality.

    The documents are encoded once. Times are taken in rounds, each round in another order, so that
    what else the machine does meanwhile falls on all alike.

    Args:
        settings: What is tried.
        tell: Called with a line before each piece of work.

    Raises:
        ConfigError: the dataset is unknown.
        InputError: a file cannot be read.
    """
    choices = [
        Choice(*parts)
        for parts in product(settings.document_pruning, settings.query_pruning, settings.two_step)
    ]
    points = sweep(settings, settings.dataset, [UNPRUNED, *choices], tell)
    unpruned = points[0]
    distinct = tuple(sorted(dict.fromkeys(points), key=lambda p: (p.milliseconds, -p.value)))
    chosen = choose(distinct, within=settings.within)
    confirmed = None
    if settings.confirm is not None:
        first, second = sweep(settings, settings.confirm, [chosen.choice, UNPRUNED], tell)
        confirmed = (first, second)
    return Tuned(distinct, front(distinct), chosen, unpruned, confirmed)


def front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats in one of quality and time without losing in the other."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.value)):
        if not kept or point.value > kept[-1].value:
            kept.append(point)
    return tuple(kept)


def choose(points: Sequence[Point], *, within: float) -> Point:
    """The fastest point whose quality is at most that share below the best."""
    floor = (1 - within) * max(point.value for point in points)
    return min(
        (point for point in points if point.value >= floor),
        key=lambda p: (p.milliseconds, -p.value),
    )
