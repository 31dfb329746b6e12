"""Batches of like queries: the other documents of a batch are then hard for each of them.

Topic-aware sampling: Hofstätter et al., 2021, https://arxiv.org/abs/2104.06967.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 12
_SAMPLE = 40_000  # vectors that centroids are taken from


def cluster(vectors: NDArray[Any], clusters: int, *, seed: int) -> NDArray[Any]:
    """Spherical k-means.

    Args:
        vectors: (n, width), of about equal length.
        clusters: How many; at most n.
        seed: Decides which vectors the centroids begin with.

    Returns:
        The cluster of each vector, int64, (n,).
    """
    rng = np.random.default_rng(seed)
    n = len(vectors)
    clusters = max(1, min(clusters, n))
    sample = np.sort(rng.choice(n, size=min(n, _SAMPLE), replace=False))
    points = np.asarray(vectors[sample], np.float32)
    centroids = points[rng.choice(len(points), size=clusters, replace=False)]
    for _ in range(_ROUNDS):
        nearest = _nearest(points, centroids)
        sums = np.zeros_like(centroids)
        np.add.at(sums, nearest, points)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centroids)
    return _nearest(vectors, centroids)


def _nearest(vectors: NDArray[Any], centroids: NDArray[Any]) -> NDArray[Any]:
    found = [
        np.argmax(np.asarray(vectors[start : start + 8192], np.float32) @ centroids.T, axis=1)
        for start in range(0, len(vectors), 8192)
    ]
    return np.concatenate(found)


def batches_of_like(
    topics: NDArray[Any], size: int, *, rng: np.random.Generator
) -> list[NDArray[Any]]:
    """Cut shuffled topics into batches; what is left of topics makes batches together.

    Args:
        topics: The topic of each example, (n,).
        size: Examples of a batch.
        rng: Decides the order.

    Returns:
        Full batches of positions in ``topics``, shuffled; fewer than ``size`` positions stay out.
    """
    order = rng.permutation(len(topics))
    order = order[np.argsort(topics[order], kind="stable")]
    starts = np.flatnonzero(np.diff(topics[order], prepend=-1))
    whole, rest = [], []
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        count = (stop - start) // size * size
        whole += [order[at : at + size] for at in range(start, start + count, size)]
        rest.append(order[start + count : stop])
    left = np.concatenate(rest) if rest else order[:0]
    whole += [left[at : at + size] for at in range(0, len(left) - size + 1, size)]
    return [whole[i] for i in rng.permutation(len(whole))]
