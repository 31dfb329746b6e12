"""Hits of passages as hits of their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.encoding.passages import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.types import ScoredDoc

BEST, SUM, EACH = "best", "sum", "each"
GROUPINGS = (BEST, SUM, EACH)
"""What a document scores: as its best passage, as all of those found together, or not at all."""

_FIRST_DEPTH = 3  # passages looked at for each document wanted, at first
_DEEPER = 4  # times as many where that was not enough
_SUMMED = 1000  # passages that are added up, at least


def parent_of(doc_id: str) -> str:
    """The document that a passage is of."""
    return doc_id.rpartition(MARK)[0] or doc_id


def best_passages(
    find: Callable[[list[int], list[SearchRequest]], list[list[ScoredDoc]]],
    requests: Sequence[SearchRequest],
) -> list[list[ScoredDoc]]:
    """Answer requests for documents by their best passages, exactly.

    Args:
        find: Answers requests for passages, given their places as well.
        requests: For documents.

    Returns:
        Hits with the document's id, and title, text and vector of its best passage.
    """
    answers: list[list[ScoredDoc]] = [[] for _ in requests]
    depths = [_FIRST_DEPTH * (r.offset + r.k) for r in requests]
    waiting = list(range(len(requests)))
    while waiting:
        asked = [requests[i]._replace(offset=0, k=depths[i]) for i in waiting]
        short = []
        for i, hits in zip(waiting, find(waiting, asked), strict=True):
            request = requests[i]
            answers[i] = _first_of_each(hits)[request.offset : request.offset + request.k]
            if len(answers[i]) < request.k and len(hits) == depths[i]:
                depths[i] *= _DEEPER
                short.append(i)
        waiting = short
    return answers


def summed_passages(
    find: Callable[[list[int], list[SearchRequest]], list[list[ScoredDoc]]],
    requests: Sequence[SearchRequest],
) -> list[list[ScoredDoc]]:
    """Answer requests for documents by the sum over their passages among the best 1,000 or more.

    Arguments and result as in ``best_passages``.
    """
    places = list(range(len(requests)))
    asked = [
        r._replace(offset=0, k=max(_SUMMED, _DEEPER * _FIRST_DEPTH * (r.offset + r.k)))
        for r in requests
    ]
    answers = []
    for request, hits in zip(requests, find(places, asked), strict=True):
        sums: dict[str, float] = {}
        for hit in hits:
            parent = parent_of(hit.doc_id)
            sums[parent] = sums.get(parent, 0.0) + hit.score
        whole = [hit._replace(score=sums[hit.doc_id]) for hit in _first_of_each(hits)]
        whole.sort(key=lambda hit: (-hit.score, hit.doc_id))
        answers.append(whole[request.offset : request.offset + request.k])
    return answers


def _first_of_each(hits: Sequence[ScoredDoc]) -> list[ScoredDoc]:
    found: dict[str, ScoredDoc] = {}
    for hit in hits:
        parent = parent_of(hit.doc_id)
        if parent not in found:
            document = hit.document and hit.document._replace(doc_id=parent)
            found[parent] = hit._replace(doc_id=parent, document=document)
    return list(found.values())


GROUPS = {BEST: best_passages, SUM: summed_passages}
