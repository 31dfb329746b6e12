"""One order of additions for engines that compute in this process.

Floating-point sums depend on their order. Where an engine adds up a score itself, it does so in
float32, term by term in ascending column order, so that equal vectors score equal and documents
come in the same order from one engine as from the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from scipy import sparse


def dot(query: Mapping[int, float], columns: Sequence[int], weights: Sequence[float]) -> float:
    """Dot product of a query, column -> weight, and one document of ascending columns."""
    shared = [
        (query[column], weight)
        for column, weight in zip(columns, weights, strict=True)
        if column in query
    ]
    if not shared:
        return 0.0
    factors = np.array(shared, np.float32)
    with np.errstate(over="ignore"):
        # accumulate adds from left to right, where sum pairs the terms up
        return float(np.add.accumulate(factors[:, 0] * factors[:, 1])[-1])


def score_all(
    query: Sequence[tuple[int, float]], documents: sparse.csr_array
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Dot product of a query, as ascending (column, weight), and every document.

    Args:
        query: Columns below V.
        documents: One row a term, (V, n).

    Returns:
        The documents that share a term with the query, ascending, and their scores, float32.
    """
    scores = np.zeros(documents.shape[1], np.float32)
    shares = np.zeros(documents.shape[1], bool)
    for column, weight in query:
        postings = slice(documents.indptr[column], documents.indptr[column + 1])
        rows = documents.indices[postings]
        with np.errstate(over="ignore"):
            scores[rows] += np.float32(weight) * documents.data[postings]
        shares[rows] = True
    matched = np.flatnonzero(shares)
    return matched, scores[matched]
