"""Bring the scores of several teachers to one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

NORMALIZATIONS = ("none", "minmax", "zscore", "global")


class Spread(NamedTuple):
    """Mean and standard deviation of each teacher's scores over all pairs, (teachers,)."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, parts: Iterable[NDArray[np.float64]]) -> Spread:
        """Take them in one pass over blocks of scores, (n, teachers) each (Chan et al., 1979)."""
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        for part in parts:
            own = part.mean(axis=0)
            apart = own - mean
            total = count + len(part)
            squares = (
                squares + ((part - own) ** 2).sum(axis=0) + apart**2 * (count * len(part) / total)
            )
            mean, count = mean + apart * (len(part) / total), total
        return cls(mean, np.sqrt(squares / max(count, 1)))


def normalize(
    scores: NDArray[np.float64], kind: str, spread: Spread | None = None
) -> NDArray[np.float64]:
    """Normalise the scores of one query's documents, each teacher apart.

    A teacher that gives all of them the same score says nothing: its scores become 0.

    Args:
        scores: (documents, teachers).
        kind: none; minmax: to 0 .. 1; zscore: mean 0 and deviation 1 over the documents; global:
            the same over all pairs.
        spread: For global.

    Returns:
        (documents, teachers).
    """
    if kind == "none":
        return scores
    if kind == "minmax":
        low = scores.min(axis=0)
        return _divided(scores - low, scores.max(axis=0) - low)
    if spread is None or kind == "zscore":
        spread = Spread(scores.mean(axis=0), scores.std(axis=0))
    return _divided(scores - spread.mean, spread.deviation)


def combine(scores: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """Average over teachers by weight: (documents, teachers) -> (documents,)."""
    shares = np.asarray(weights, np.float64)
    return np.asarray(scores @ (shares / shares.sum()))


def _divided(values: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, by, out=np.zeros_like(values), where=by > 1e-12)
