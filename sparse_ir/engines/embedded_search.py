"""The best hits of a qdrant-edge store, in an order that no rounding decides."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.engines import dense
from sparse_ir.engines import embedded_store as stores
from sparse_ir.engines.embedded_store import DENSE, ID, RECORD, VECTOR
from sparse_ir.engines.scoring import dot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPARE_HITS = 16  # beyond those wanted: mostly enough to see where close scores end


class Hit(NamedTuple):
    """A document found.

    Attributes:
        doc_id: The document.
        score: Dot product with the query.
        record: What ``records.pack`` made of it, where that was asked for.
    """

    doc_id: str
    score: float
    record: str | None


def best_hits(
    store: Any,
    terms: Sequence[tuple[int, float]],
    wanted: int,
    *,
    condition: Any = None,
    records: bool = False,
    require: Sequence[int] = (),
) -> list[Hit]:
    """Find the first ``wanted`` hits by score, then doc_id.

    The store adds up a score in an order of its own and cuts equal scores as it likes. So scores
    that lie closer together than rounding can part them are computed again, in one order of
    additions; and where the cut goes through such scores, more is asked for until they end.

    Args:
        store: The open store.
        terms: Ascending columns and their weights, at least one.
        wanted: At most so many, at least 1.
        condition: A filter of the store.
        records: Whether hits bring their record.
        require: Columns that a hit must hold, each of them.
    """

    def ask(limit: int) -> list[Hit]:
        keys = [ID, RECORD] if records else [ID]
        points = store.query(
            stores.query(terms, limit=limit, only=condition, keys=keys, require=require)
        )
        return [Hit(p.payload[ID], p.score, p.payload.get(RECORD)) for p in points]

    # A float32 sum of n positive products is off by n * 2^-24 of itself at most, and two such
    # sums are parted by twice that; the one more covers what is smaller than these.
    closeness = (len(terms) + 1) * 2.0**-23
    limit = min(wanted, int(store.info().points_count)) + SPARE_HITS
    hits = ask(limit)
    while len(hits) == limit and _are_close(hits[wanted - 1], hits[-1], closeness):
        limit *= 4
        hits = ask(limit)
    hits = _compute_close_scores_again(store, terms, hits, closeness)
    hits.sort(key=lambda hit: (-hit.score, hit.doc_id))
    return hits[:wanted]


def nearest_hits(
    store: Any,
    query: NDArray[Any],
    wanted: int,
    *,
    condition: Any = None,
    records: bool = False,
    require: Sequence[int] = (),
) -> list[Hit]:
    """Find the first ``wanted`` documents by the dot product of dense vectors, then doc_id.

    Every score is computed again, rounded once; where the cut goes through scores that the store's
    own rounding may have put in another order, more is asked for until they end.

    Args:
        store: The open store.
        query: float32, (d,).
        wanted: At most so many, at least 1.
        condition: A filter of the store.
        records: Whether hits bring their record.
        require: Columns that a hit must hold, each of them.
    """
    limit = min(wanted, int(store.info().points_count)) + SPARE_HITS
    keys = [ID, RECORD] if records else [ID]
    while True:
        points = store.query(
            stores.dense_query(
                query.tolist(), limit=limit, only=condition, keys=keys, require=require
            )
        )
        kept = [point.vector[DENSE] for point in points]
        vectors = np.array(kept, np.float32).reshape(len(kept), len(query))
        found = dense.scores(query, vectors)
        hits = [
            Hit(p.payload[ID], float(score), p.payload.get(RECORD))
            for p, score in zip(points, found, strict=True)
        ]
        hits.sort(key=lambda hit: (-hit.score, hit.doc_id))
        if len(points) < limit:
            return hits[:wanted]
        # A float32 sum of d products is off by d * 2^-24 of the sum of their sizes at most, which
        # the lengths of the two vectors bound; what is not among these scores no more than the last
        longest = float(np.max(np.linalg.norm(vectors, axis=1)))
        error = len(query) * 2.0**-23 * float(np.linalg.norm(query)) * longest
        if hits[wanted - 1].score > points[-1].score + error:
            return hits[:wanted]
        limit *= 4


def _compute_close_scores_again(
    store: Any, terms: Sequence[tuple[int, float]], hits: list[Hit], closeness: float
) -> list[Hit]:
    close: dict[str, None] = {}
    for hit, following in pairwise(hits):
        if _are_close(hit, following, closeness):
            close[hit.doc_id] = close[following.doc_id] = None
    if not close:
        return hits
    points: list[Any] = [stores.point_id(doc_id) for doc_id in close]
    again = {}
    query = dict(terms)
    for record in store.retrieve(points, [ID], [VECTOR]):
        kept = record.vector[VECTOR]
        again[record.payload[ID]] = dot(query, kept.indices, kept.values)
    return [hit._replace(score=again[hit.doc_id]) if hit.doc_id in again else hit for hit in hits]


def _are_close(hit: Hit, following: Hit, closeness: float) -> bool:
    return following.score >= hit.score * (1 - closeness)
