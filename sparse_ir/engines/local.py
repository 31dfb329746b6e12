"""What the engines of this process do alike with a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparse_ir.errors import ConfigError
from sparse_ir.pruning import split_heavy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.base import SearchRequest, TwoStep
    from sparse_ir.types import Document, Entry, ScoredDoc, SparseVector


def answer(
    search: Callable[[SearchRequest], list[ScoredDoc]], request: SearchRequest
) -> list[ScoredDoc]:
    """Answer a request with an engine's exact search, in two steps where that is asked for.

    Raises:
        ConfigError: the request is one for a text index.
    """
    if request.text:
        raise ConfigError(
            "this engine has no text index of its own. Index the corpus with --model bm25 too and "
            "name that index: --words-index NAME"
        )
    if request.two_step is None or request.dense is not None:
        return search(request)
    return _two_step(search, request, request.two_step)


def unchanged(stored: Sequence[Entry | None], documents: Sequence[Document]) -> set[str]:
    """The ids of those documents that equal what is stored, given in the same order."""
    return {
        document.doc_id
        for entry, document in zip(stored, documents, strict=True)
        if entry is not None and entry.document == document
    }


def scores_of(
    entries: Sequence[Entry | None], queries: Sequence[SparseVector]
) -> list[dict[str, float]]:
    """Score given documents from their stored vectors; see ``Engine``."""
    there = [entry for entry in entries if entry is not None]
    scores: list[dict[str, float]] = []
    for query in queries:
        found: dict[str, float] = {}
        for entry in there:
            shared = query.keys() & entry.vector.keys()
            if shared:
                found[entry.document.doc_id] = sum(query[t] * entry.vector[t] for t in shared)
        scores.append(found)
    return scores


def kept(vector: SparseVector) -> SparseVector:
    """A vector with its weights as float32."""
    weights = np.array(list(vector.values()), np.float32).tolist()
    return dict(zip(vector, weights, strict=True))


def _two_step(
    search: Callable[[SearchRequest], list[ScoredDoc]], request: SearchRequest, step: TwoStep
) -> list[ScoredDoc]:
    heavy, light = split_heavy(request.terms, step.ratio)
    needed = request.offset + request.k
    window = max(round(step.expansion * needed) if step.window is None else step.window, needed)
    plain = request._replace(two_step=None, terms=heavy)
    if not light:
        return search(plain)
    candidates = search(plain._replace(offset=0, k=window, vectors=True))
    rescored = []
    for hit in candidates:
        vector = hit.vector or {}
        more = sum(weight * vector[term] for term, weight in light.items() if term in vector)
        kept = hit.vector if request.vectors else None
        rescored.append(hit._replace(score=hit.score + more, vector=kept))
    rescored.sort(key=lambda hit: (-hit.score, hit.doc_id))
    return rescored[request.offset : needed]
