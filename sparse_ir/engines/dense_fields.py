"""Dense vectors in a search server: the field, the query, and the dot product behind a score.

The servers find the nearest vectors in a graph (HNSW, Malkov and Yashunin 2016,
https://arxiv.org/abs/1603.09320), which is approximate: a neighbour may be missed. The scores of
those found are those of the whole vectors, not of quantised ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from sparse_ir.engines.dense import to_tuple
from sparse_ir.engines.stamp import COSINE
from sparse_ir.errors import ConfigError
from sparse_ir.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sparse_ir.engines.connecting import Server
    from sparse_ir.engines.stamp import DenseSpace
    from sparse_ir.types import DenseVector

DENSE = "dense"
"""The field that holds a document's dense vector."""

CANDIDATES = 1000
"""How many neighbours a shard looks for, at least: more are slower, and fewer are missed."""

_MOST_CANDIDATES = 10_000  # what both servers take
_SINCE = (8, 11)  # of Elasticsearch: 4,096 dimensions, and inner products of any length
_MOST_DIMENSIONS = {"elasticsearch": 4096, "opensearch": 16_000}
_SIMILARITIES = {  # our name -> the server's
    "elasticsearch": {"cosine": "dot_product", "dot": "max_inner_product"},
    "opensearch": {"cosine": "cosinesimil", "dot": "innerproduct"},
}


def require_dense(server: Server, space: DenseSpace) -> None:
    """Refuse a server that cannot search dense vectors, or not such long ones.

    Raises:
        ConfigError: it is an Elasticsearch before 8.11, or takes fewer dimensions.
    """
    if server.flavour == "elasticsearch" and server.version[:2] < _SINCE:
        raise ConfigError(
            f"--dense needs Elasticsearch {'.'.join(map(str, _SINCE))} or later; the server is "
            f"{server.version_text}. Index without --dense, or on another server."
        )
    most = _MOST_DIMENSIONS[server.flavour]
    if space.dimension > most:
        raise ConfigError(
            f"--dense {space.model} makes vectors of {space.dimension:,} numbers; "
            f"{server.flavour} takes {most:,} at most. Use another dense model."
        )


def add_dense(body: dict[str, Any], flavour: str, space: DenseSpace) -> None:
    """Add what ``mappings/FLAVOUR-dense.json`` says to the body that creates an index."""
    more = json.loads(resource("mappings", f"{flavour}-dense.json").read_text("utf-8"))
    field = more["mappings"]["properties"][DENSE]
    similarity = _SIMILARITIES[flavour][space.similarity]
    if flavour == "opensearch":
        field["dimension"] = space.dimension
        field["method"]["space_type"] = similarity
    else:
        field["dims"] = space.dimension
        field["similarity"] = similarity
    body["settings"]["index"].update(more.get("settings", {}).get("index", {}))
    body["mappings"]["properties"][DENSE] = field
    body["mappings"]["_source"]["excludes"] += more["mappings"]["_source"]["excludes"]


def dense_parts(
    flavour: str, vector: Sequence[float], wanted: int, conditions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The part of a search body that finds the nearest documents.

    Args:
        flavour: "elasticsearch" or "opensearch".
        vector: The query's.
        wanted: Hits wanted, from the first on; at most 10,000.
        conditions: Filter clauses; the search is among the documents that satisfy them.
    """
    candidates = min(max(CANDIDATES, 2 * wanted), _MOST_CANDIDATES)
    if flavour == "opensearch":
        nearest: dict[str, Any] = {"vector": list(vector), "k": candidates}
        if conditions:
            nearest["filter"] = {"bool": {"filter": conditions}}
        return {"query": {"knn": {DENSE: nearest}}}
    # as many as are looked at: hits of equal scores are then all there to be ordered by id
    knn: dict[str, Any] = {
        "field": DENSE,
        "query_vector": list(vector),
        "k": candidates,
        "num_candidates": candidates,
    }
    if conditions:
        knn["filter"] = conditions
    return {"knn": knn}


def dot_product(score: float, space: DenseSpace) -> float:
    """The dot product that a server made a score above 0 of; alike on both.

    Of a cosine, score = (1 + cosine) / 2; of an inner product p, p + 1 where p is above 0, else
    1 / (1 - p) (https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/dense-vector,
    https://docs.opensearch.org/latest/mappings/supported-field-types/knn-spaces/).
    """
    if space.similarity == COSINE:
        return 2 * score - 1
    if score >= 1:
        return score - 1
    return 1 - 1 / score


def dumps(vector: NDArray[Any]) -> bytes:
    """Write a float32 vector as JSON: the shortest decimals that read back as it."""
    return orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY)


def read_dense(source: Mapping[str, Any]) -> DenseVector | None:
    """Read a dense vector back from a hit's ``_source``."""
    return to_tuple(source.get(DENSE))
