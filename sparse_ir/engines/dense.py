"""Dense vectors as engines take, keep and score them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir.engines.stamp import COSINE
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparse_ir.engines.stamp import DenseSpace
    from sparse_ir.types import DenseVector

_TOGETHER = 4096  # rows scored at a time, in float64
_UNIT = 1e-3  # how far from 1 the length of a vector may lie, where the similarity is cosine


def checked(dense: Sequence[float] | None, space: DenseSpace | None) -> NDArray[Any] | None:
    """A document's dense vector, float32, as the index may keep it; None for none.

    Raises:
        ValueError: the index holds no dense vectors, or this is none of its space.
    """
    if dense is None:
        return None
    if space is None:
        raise ValueError("the index holds no dense vectors")
    try:
        vector = np.asarray(dense, np.float32)
    except (TypeError, ValueError):
        raise ValueError("the dense vector holds what is no number") from None
    if vector.shape != (space.dimension,):
        raise ValueError(
            f"the dense vector has {vector.size} numbers; those of the index have {space.dimension}"
        )
    if not np.isfinite(vector).all():
        raise ValueError("the dense vector holds what is no finite number")
    if space.similarity == COSINE and abs(float(np.linalg.norm(vector)) - 1) > _UNIT:
        raise ValueError("the dense vector is not of length 1, as the index's similarity is cosine")
    return vector


def require_query(dense: DenseVector, space: DenseSpace | None) -> NDArray[Any]:
    """A query's dense vector, float32.

    Raises:
        ConfigError: the index holds no dense vectors.
        ValueError: it has another number of dimensions.
    """
    if space is None:
        raise ConfigError("the index holds no dense vectors. Index again with --dense MODEL.")
    query = np.asarray(dense, np.float32)
    if query.shape != (space.dimension,):
        raise ValueError(
            f"the dense query vector has {query.size} numbers; those of the index have "
            f"{space.dimension}"
        )
    return query


def scores(query: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Dot products, rounded once, so that no order of additions shows in them.

    Args:
        query: float32, (d,).
        vectors: float32, (n, d).

    Returns:
        float32, (n,).
    """
    wide = query.astype(np.float64)
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found[part] = vectors[part].astype(np.float64) @ wide
    return found


def to_tuple(vector: NDArray[Any] | Sequence[float] | None) -> DenseVector | None:
    """As an ``Entry`` has it: floats that are float32."""
    return None if vector is None else tuple(np.asarray(vector, np.float32).tolist())
