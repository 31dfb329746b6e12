"""From query texts to search requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.engines.base import SearchRequest
from sparse_ir.errors import ConfigError
from sparse_ir.pruning import NO_PRUNING, Pruning, prune
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.engines.filters import Filter
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Query, SparseVector


def weigh_queries(
    queries: Sequence[Query], encoder: SparseEncoder, *, pruning: Pruning = NO_PRUNING
) -> list[SparseVector]:
    """Encode queries and prune them: one term -> weight dict each, in order."""
    batch = encoder.encode_queries(
        [query.text for query in queries], ids=[query.query_id for query in queries]
    )
    return list(to_terms(prune(batch, pruning), encoder.vocabulary))


def build_request(
    terms: SparseVector,
    *,
    k: int = 10,
    offset: int = 0,
    conditions: Filter = (),
    documents: bool = True,
    vectors: bool = False,
) -> SearchRequest:
    """Check the numbers and put a request together.

    Raises:
        ConfigError: k is below 1 or offset below 0.
    """
    if k < 1:
        raise ConfigError(f"k is {k}. It must be at least 1.")
    if offset < 0:
        raise ConfigError(f"offset is {offset}. It must be at least 0.")
    return SearchRequest(terms, k, offset, conditions, documents, vectors)
