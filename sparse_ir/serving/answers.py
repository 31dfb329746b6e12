"""Answers as JSON: terms with their words, hits with what matched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparse_ir.models.base import Explanation, TermOrigin
    from sparse_ir.types import Document, ScoredDoc, SparseVector

NOWHERE = -1


def weighed_terms(
    terms: SparseVector, origins: Mapping[str, TermOrigin] | None = None
) -> list[dict[str, Any]]:
    """Terms, heaviest first, each with the word of the text that it came from.

    Args:
        terms: Term -> weight.
        origins: Where they came from, as far as that is known.

    Returns:
        ``{"term", "weight", "word", "start", "end"}`` each; "" and -1 for no place.
    """
    rows = []
    for term, weight in sorted(terms.items(), key=lambda pair: (-pair[1], pair[0])):
        origin = (origins or {}).get(term)
        row: dict[str, Any] = {"term": term, "weight": weight, "word": ""}
        row |= {"start": NOWHERE, "end": NOWHERE}
        if origin is not None:
            row |= {"word": origin.word, "start": origin.start, "end": origin.end}
        rows.append(row)
    return rows


def explained_terms(explanation: Explanation) -> dict[str, Any]:
    """A text's own terms, ``{"terms", "cut"}``."""
    origins = by_term(explanation)
    weights = {origin.term: origin.weight for origin in explanation.terms}
    return {"terms": weighed_terms(weights, origins), "cut": explanation.cut}


def by_term(explanation: Explanation | None) -> dict[str, TermOrigin]:
    """Each term's origin."""
    return {} if explanation is None else {origin.term: origin for origin in explanation.terms}


def dropped_terms(given: SparseVector, searched: SparseVector) -> list[dict[str, Any]]:
    """Terms that the model gave and that were not searched for, heaviest first."""
    gone = {term: weight for term, weight in given.items() if term not in searched}
    ordered = sorted(gone.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"term": term, "weight": weight} for term, weight in ordered]


def hit_row(hit: ScoredDoc, *, rank: int | None) -> dict[str, Any]:
    """A hit with its document."""
    row: dict[str, Any] = {"rank": rank, "doc_id": hit.doc_id, "score": hit.score}
    document = hit.document
    row |= {
        "title": document.title if document is not None else "",
        "text": document.text if document is not None else "",
        "metadata": dict(document.metadata) if document is not None else {},
    }
    return row


def matched_terms(
    searched: SparseVector,
    vector: SparseVector,
    document: Document | None,
    explanation: Explanation | None,
) -> list[dict[str, Any]]:
    """The terms that make a hit's score, the one that adds most first.

    Args:
        searched: The query's terms.
        vector: The document's, as the index holds them.
        document: Where words are to be found.
        explanation: Of the document's content, where it is known.

    Returns:
        ``{"term", "query_weight", "document_weight", "contribution", "words"}`` each; words are
        ``{"field", "start", "end"}`` in the document's title or text.
    """
    origins = by_term(explanation)
    rows: list[dict[str, Any]] = [
        {
            "term": term,
            "query_weight": weight,
            "document_weight": vector[term],
            "contribution": weight * vector[term],
            "words": _places(document, [origins[term]] if term in origins else ()),
        }
        for term, weight in searched.items()
        if term in vector
    ]
    rows.sort(key=lambda row: (-row["contribution"], row["term"]))
    return rows


def _places(document: Document | None, origins: Iterable[TermOrigin]) -> list[dict[str, Any]]:
    if document is None:
        return []
    places = (_place(document, origin.start, origin.end) for origin in origins)
    return [place for place in places if place is not None]


def _place(document: Document, start: int, end: int) -> dict[str, Any] | None:
    """A place of ``document.content`` as one of the title or the text."""
    if start < 0 or start >= end:
        return None
    if not document.title:
        return {"field": "text", "start": start, "end": end}
    joined = f"{document.title} {document.text}"
    start, end = (p + len(joined) - len(joined.lstrip()) for p in (start, end))
    title = len(document.title)
    if end <= title:
        return {"field": "title", "start": start, "end": end}
    if start <= title:
        return None  # across both: no word
    return {"field": "text", "start": start - title - 1, "end": end - title - 1}


def hit_rows(hits: Sequence[ScoredDoc], *, first: int) -> list[dict[str, Any]]:
    """Hits with their ranks, counted from ``first``."""
    return [hit_row(hit, rank=rank) for rank, hit in enumerate(hits, start=first)]
