"""The best hits of a qdrant-edge store, in an order that no rounding decides."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines import embedded_store as stores
from sparse_ir.engines.embedded_store import ID, RECORD, VECTOR
from sparse_ir.engines.scoring import dot

if TYPE_CHECKING:
    from collections.abc import Sequence

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
