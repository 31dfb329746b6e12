"""Static pruning of sparse vectors: the same functions for documents and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import ConfigError
from sparse_ir.vectors import SparseBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sparse_ir.types import SparseVector


@dataclass(frozen=True)
class Pruning:
    """Which terms of a vector are kept; a term must pass every rule that is set.

    Attributes:
        top_k: The k heaviest terms of a vector.
        mass: The fewest heaviest terms that together hold this share of the vector's summed
            weight, above 0 and at most 1.
        ratio: The terms of at least this share of the vector's largest weight, 0 to 1.
    """

    top_k: int | None = None
    mass: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"pruning top_k is {self.top_k}. It must be at least 1.")
        if self.mass is not None and not 0 < self.mass <= 1:
            raise ConfigError(f"pruning mass is {self.mass}. It must lie above 0 and at most at 1.")
        if self.ratio is not None and not 0 <= self.ratio <= 1:
            raise ConfigError(f"pruning ratio is {self.ratio}. It must lie between 0 and 1.")

    def __str__(self) -> str:
        rules = {"top_k": self.top_k, "mass": self.mass, "ratio": self.ratio}
        return ",".join(f"{name}={value}" for name, value in rules.items() if value is not None)


NO_PRUNING = Pruning()


def parse_pruning(text: str) -> Pruning:
    """Read "top_k=128,mass=0.95,ratio=0.1"; the empty text prunes nothing.

    Raises:
        ConfigError: an unknown rule, or a value out of range.
    """
    kinds: dict[str, Callable[[str], float]] = {"top_k": int, "mass": float, "ratio": float}
    rules: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if name not in kinds:
            raise ConfigError(f"pruning {part!r} is not known. Use top_k=N, mass=M or ratio=R.")
        try:
            rules[name] = kinds[name](value)
        except ValueError:
            raise ConfigError(f"pruning {part!r} needs a number after the equals sign.") from None
    return Pruning(**rules)  # type: ignore[arg-type]


def both_prunings(first: Pruning, second: Pruning) -> Pruning | None:
    """The one pruning that does what two do after one another.

    Rules of the second that only ask for less of what the first left are its own. None where the
    second asks for more than the first left, or for a share of a sum that the first changed.

    >>> both_prunings(Pruning(top_k=64, ratio=0.1), Pruning(top_k=32))
    Pruning(top_k=32, mass=None, ratio=0.1)
    >>> both_prunings(Pruning(top_k=32), Pruning(top_k=64)) is None
    True
    """
    further = pruned_further(second, first)
    if first.top_k is not None and (further.top_k or 0) > first.top_k:
        return None
    if first.ratio is not None and (1.0 if further.ratio is None else further.ratio) < first.ratio:
        return None
    if further.mass is not None and (first.mass is not None or first.top_k is not None):
        return None
    if further.ratio is not None and first.mass is not None:
        return None
    return Pruning(
        top_k=first.top_k if further.top_k is None else further.top_k,
        mass=first.mass if further.mass is None else further.mass,
        ratio=first.ratio if further.ratio is None else further.ratio,
    )


def pruned_further(pruning: Pruning, done: Pruning) -> Pruning:
    """The rules of a pruning that are still to be applied to vectors which others were applied to.

    >>> pruned_further(Pruning(top_k=32, mass=0.9), Pruning(mass=0.9))
    Pruning(top_k=32, mass=None, ratio=None)
    """
    return Pruning(
        top_k=None if pruning.top_k == done.top_k else pruning.top_k,
        mass=None if pruning.mass == done.mass else pruning.mass,
        ratio=None if pruning.ratio == done.ratio else pruning.ratio,
    )


def prune(batch: SparseBatch, pruning: Pruning) -> SparseBatch:
    """Apply every rule that is set: ratio, then mass, then top_k."""
    if pruning.ratio is not None:
        batch = keep_ratio(batch, pruning.ratio)
    if pruning.mass is not None:
        batch = keep_mass(batch, pruning.mass)
    if pruning.top_k is not None:
        batch = keep_top_terms(batch, pruning.top_k)
    return batch


def keep_top_terms(batch: SparseBatch, k: int) -> SparseBatch:
    """Keep the k heaviest terms of every row; of equal ones, the lower column.

    Static pruning of this kind costs little effectiveness and shortens both the index and
    the query (Lassance et al., 2023, https://arxiv.org/abs/2304.12702).

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    row, order = _heaviest_first(batch)
    rank = np.arange(len(order)) - batch.weights.indptr[row]  # within its own row, once sorted
    return _keep(batch, order[rank < k])


def keep_mass(batch: SparseBatch, mass: float) -> SparseBatch:
    """Keep the fewest heaviest terms of every row that hold this share of its summed weight."""
    row, order = _heaviest_first(batch)
    sorted_weights = batch.weights.data[order].astype(np.float64)
    before = np.cumsum(sorted_weights) - sorted_weights
    starts = batch.weights.indptr[row]
    before -= before[starts] if len(starts) else 0.0
    total = np.zeros(len(batch))
    np.add.at(total, row, sorted_weights)
    return _keep(batch, order[before < mass * total[row] * (1 - 1e-12)])


def keep_ratio(batch: SparseBatch, ratio: float) -> SparseBatch:
    """Keep the terms of at least this share of their row's largest weight."""
    row = _rows(batch)
    largest = np.zeros(len(batch), np.float32)
    np.maximum.at(largest, row, batch.weights.data)
    return _keep(batch, np.flatnonzero(batch.weights.data >= ratio * largest[row]))


def split_heavy(vector: SparseVector, ratio: float) -> tuple[SparseVector, SparseVector]:
    """Split a query for two-step search: the terms of at least this share of the largest weight.

    >>> split_heavy({"a": 1.0, "b": 0.5, "c": 0.3}, 0.4)
    ({'a': 1.0, 'b': 0.5}, {'c': 0.3})
    """
    least = ratio * max(vector.values(), default=0.0)
    heavy = {term: weight for term, weight in vector.items() if weight >= least}
    return heavy, {term: weight for term, weight in vector.items() if weight < least}


def _rows(batch: SparseBatch) -> NDArray[Any]:
    return np.repeat(np.arange(len(batch)), np.diff(batch.weights.indptr))


def _heaviest_first(batch: SparseBatch) -> tuple[NDArray[Any], NDArray[Any]]:
    row = _rows(batch)
    return row, np.lexsort((batch.weights.indices, -batch.weights.data, row))


def _keep(batch: SparseBatch, positions: NDArray[Any]) -> SparseBatch:
    w = batch.weights
    kept = np.sort(positions)
    counts = np.bincount(_rows(batch)[kept], minlength=len(batch))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(w.indptr.dtype)
    pruned = sparse.csr_array((w.data[kept], w.indices[kept], indptr), shape=w.shape)
    return SparseBatch(batch.ids, pruned)
