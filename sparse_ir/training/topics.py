"""Batches of like queries: the other documents of a batch are then hard for each of them.

Topic-aware sampling: Hofstätter et al., 2021, https://arxiv.org/abs/2104.06967.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 12
_SAMPLE = 40_000  # vectors that centroids are taken from
_OF_CLUSTER = 16  # vectors of the sample for each cluster, at least
_BATCHES = 16  # of a topic
_AT_ONCE = 8192


def topic_count(queries: int, size: int) -> int:
    """How many topics make about 16 batches each.

    Args:
        queries: Distinct queries.
        size: Queries of a batch.

    >>> topic_count(40_000, 32)
    78
    """
    return max(1, queries // (_BATCHES * size))


def cluster(vectors: NDArray[Any], clusters: int, *, seed: int) -> NDArray[Any]:
    """Spherical k-means.

    Args:
        vectors: (n, width), of about equal length.
        clusters: How many; at most 2,500, and one a vector.
        seed: Decides which vectors the centroids begin with.

    Returns:
        The cluster of each vector, int64, (n,).
    """
    rng = np.random.default_rng(seed)
    n = len(vectors)
    size = min(n, _SAMPLE)
    clusters = max(1, min(clusters, n, _SAMPLE // _OF_CLUSTER))
    sample = np.sort(rng.choice(n, size=size, replace=False))
    points = np.asarray(vectors[sample], np.float32)
    centroids = points[rng.choice(size, size=clusters, replace=False)]
    for _ in range(_ROUNDS):
        nearest = _nearest(points, centroids)
        members = sparse.csr_array(
            (np.ones(size, np.float32), (nearest, np.arange(size))), shape=(clusters, size)
        )
        sums = members @ points
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centroids)
    return _nearest(vectors, centroids)


def _nearest(vectors: NDArray[Any], centroids: NDArray[Any]) -> NDArray[Any]:
    found = [
        np.argmax(np.asarray(vectors[start : start + _AT_ONCE], np.float32) @ centroids.T, axis=1)
        for start in range(0, len(vectors), _AT_ONCE)
    ]
    return np.concatenate(found)


def batches_of_like(topics: NDArray[Any], size: int, *, rng: np.random.Generator) -> NDArray[Any]:
    """Cut shuffled topics into batches; what is left of topics makes batches together.

    Args:
        topics: The topic of each example, (n,).
        size: Examples of a batch.
        rng: Decides the order.

    Returns:
        Positions in ``topics``, shuffled, (batches, size); fewer than ``size`` stay out.
    """
    order = rng.permutation(len(topics))
    order = order[np.argsort(topics[order], kind="stable")]
    of_order = topics[order]
    starts = np.flatnonzero(np.diff(of_order, prepend=-1))
    counts = np.diff(starts, append=len(order))
    place = np.arange(len(order)) - np.repeat(starts, counts)  # within its own topic
    whole = place < np.repeat(counts // size * size, counts)
    joined = np.concatenate([order[whole], order[~whole]])
    batches = joined[: len(joined) // size * size].reshape(-1, size)
    return batches[rng.permutation(len(batches))]
