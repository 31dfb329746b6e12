"""Hits of passages as hits of their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sparse_ir.encoding.passages import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.types import Entry, ScoredDoc

BEST, SUM, EACH = "best", "sum", "each"
GROUPINGS = (BEST, SUM, EACH)
"""What a document scores: as its best passage, as all of those found together, or not at all."""

_FIRST_DEPTH = 3  # passages looked at for each document wanted, at first
_DEEPER = 4  # times as many where that was not enough
_SUMMED = 1000  # passages that are added up, at least
_LARGEST = 10_000  # what two-step search, a dense search and seismic reach on a server

Find: TypeAlias = "Callable[[list[int], list[SearchRequest]], list[list[ScoredDoc]]]"
"""Answers requests for passages, given their places as well."""

Get: TypeAlias = "Callable[[Sequence[str], SearchRequest], list[Entry | None]]"
"""Reads passages by their ids, with vectors where the request asks for them."""


def parent_of(doc_id: str) -> str:
    """The document that a passage is of."""
    return doc_id.rpartition(MARK)[0] or doc_id


def best_passages(
    find: Find, get: Get, requests: Sequence[SearchRequest], *, dense: bool = False
) -> list[list[ScoredDoc]]:
    """Answer requests for documents by their best passages.

    Exact, but for searches in two steps and by dense vectors: they look at no more than 10,000
    passages.

    Args:
        find: Finds passages.
        get: Reads them.
        requests: For documents.
        dense: Whether passages are found by dense vectors, alone or with others.

    Returns:
        Hits with the document's id, and title, text and vector of its best passage.
    """
    answers: list[list[ScoredDoc]] = [[] for _ in requests]
    depths = [_within_reach(_FIRST_DEPTH * (r.offset + r.k), r, dense=dense) for r in requests]
    waiting = list(range(len(requests)))
    while waiting:
        asked = [_of_ids(requests[i], depths[i]) for i in waiting]
        short = []
        for i, hits in zip(waiting, find(waiting, asked), strict=True):
            request = requests[i]
            page = _first_of_each(hits)[request.offset : request.offset + request.k]
            answers[i] = page
            deeper = _within_reach(_deeper(depths[i]), request, dense=dense)
            if len(page) < request.k and len(hits) == depths[i] and deeper > depths[i]:
                depths[i] = deeper
                short.append(i)
        waiting = short
    pages = zip(answers, requests, strict=True)
    return [[_named(hit) for hit in _filled(page, get, request)] for page, request in pages]


def summed_passages(
    find: Find, get: Get, requests: Sequence[SearchRequest], *, dense: bool = False
) -> list[list[ScoredDoc]]:
    """Answer requests for documents by the sum over their passages among the best.

    These are 1,000, or 4,000, 16,000 and so on, so that they are 12 for each document wanted; two
    steps and dense vectors reach 10,000. Arguments and result as in ``best_passages``.
    """
    answers = []
    for request, hits in zip(requests, find(*_to_sum(requests, dense=dense)), strict=True):
        sums: dict[str, float] = {}
        for hit in hits:
            parent = parent_of(hit.doc_id)
            sums[parent] = sums.get(parent, 0.0) + hit.score
        whole = [hit._replace(score=sums[parent_of(hit.doc_id)]) for hit in _first_of_each(hits)]
        whole.sort(key=lambda hit: (-hit.score, parent_of(hit.doc_id)))
        page = whole[request.offset : request.offset + request.k]
        answers.append([_named(hit) for hit in _filled(page, get, request)])
    return answers


def _to_sum(
    requests: Sequence[SearchRequest], *, dense: bool
) -> tuple[list[int], list[SearchRequest]]:
    asked = []
    for request in requests:
        depth = _SUMMED
        while depth < _DEEPER * _FIRST_DEPTH * (request.offset + request.k):
            depth *= _DEEPER
        depth = _within_reach(depth, request, dense=dense)
        asked.append(_of_ids(request, depth))
    return list(range(len(asked))), asked


def _of_ids(request: SearchRequest, depth: int) -> SearchRequest:
    """The request for so many passages; only those of the page are read, once it is known."""
    return request._replace(offset=0, k=depth, documents=False, vectors=False)


def _deeper(depth: int) -> int:
    """As deep as a server's pages reach before going further than that."""
    return min(_DEEPER * depth, _LARGEST) if depth < _LARGEST else _DEEPER * depth


def _within_reach(depth: int, request: SearchRequest, *, dense: bool) -> int:
    """A depth, as far as the search reaches; what is asked for itself is never cut."""
    if request.two_step is None and not dense:
        return depth
    return max(min(depth, _LARGEST), request.offset + request.k)


def _filled(hits: list[ScoredDoc], get: Get, request: SearchRequest) -> list[ScoredDoc]:
    """Hits with what was asked for of their passages."""
    if not hits or not (request.documents or request.vectors):
        return hits
    read = get([hit.doc_id for hit in hits], request)
    return [
        hit
        if entry is None
        else hit._replace(
            document=entry.document if request.documents else None,
            vector=entry.vector if request.vectors else None,
        )
        for hit, entry in zip(hits, read, strict=True)
    ]


def _first_of_each(hits: Sequence[ScoredDoc]) -> list[ScoredDoc]:
    found: dict[str, ScoredDoc] = {}
    for hit in hits:
        found.setdefault(parent_of(hit.doc_id), hit)
    return list(found.values())


def _named(hit: ScoredDoc) -> ScoredDoc:
    """The hit of a passage by the name of its document."""
    parent = parent_of(hit.doc_id)
    return hit._replace(
        doc_id=parent, document=hit.document and hit.document._replace(doc_id=parent)
    )


GROUPS = {BEST: best_passages, SUM: summed_passages}
