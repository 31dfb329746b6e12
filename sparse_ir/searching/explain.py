"""Why a text weighs what it weighs, why two texts match, why a hit is a hit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.errors import EngineError
from sparse_ir.searching.control import NO_CONTROL, explained, reweighed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.models.base import Explanation, SparseEncoder
    from sparse_ir.searching.control import TermControl
    from sparse_ir.types import ScoredDoc, SparseVector


class SharedTerm(NamedTuple):
    """A term that both sides hold.

    Attributes:
        term: The vocabulary term.
        query_weight: Its weight in the query.
        document_weight: Its weight in the document.
        query_word: The word of the query that produced it, as written.
        document_word: The word of the document that produced it, as written; empty where the
            document's text is not at hand.
    """

    term: str
    query_weight: float
    document_weight: float
    query_word: str
    document_word: str

    @property
    def contribution(self) -> float:
        """What the term adds to the score."""
        return self.query_weight * self.document_weight


class PairExplanation(NamedTuple):
    """Two texts side by side, the first as query, the second as document.

    Attributes:
        query: The first text's vector with provenance.
        document: The second text's.
        shared: What both hold, largest contribution first.
        dot: The score, the sum of all contributions.
        cosine: The same over both lengths; 0 where a vector is empty.
    """

    query: Explanation
    document: Explanation
    shared: tuple[SharedTerm, ...]
    dot: float
    cosine: float


def explain(text: str, encoder: SparseEncoder, *, query: bool = False) -> Explanation:
    """Weigh a text and name the word that produced each term.

    Args:
        text: Any text.
        encoder: Weighs it.
        query: Weigh it as a query instead of as a document.
    """
    return encoder.explain(text, query=query)


def explain_query(
    text: str,
    encoder: SparseEncoder,
    *,
    control: TermControl = NO_CONTROL,
    mask: frozenset[str] = frozenset(),
) -> Explanation:
    """Weigh a query under a person's control; arguments as in ``explain_pair``."""
    found = encoder.explain(text, query=True)
    if not control.weighs and not mask:
        return found
    return explained(found, control, own=lambda: encoder.text_terms(text), mask=mask)


def explain_pair(
    first: str,
    second: str,
    encoder: SparseEncoder,
    *,
    control: TermControl = NO_CONTROL,
    mask: frozenset[str] = frozenset(),
) -> PairExplanation:
    """Weigh a query and a document and say which terms make the score.

    Args:
        first: The query.
        second: The document.
        encoder: Weighs them.
        control: What is done to the query's terms.
        mask: Terms that are never used in it.
    """
    query = explain_query(first, encoder, control=control, mask=mask)
    document = encoder.explain(second)
    shared = _shared(query, {t.term: t.weight for t in document.terms}, _words(document))
    dot = sum(term.contribution for term in shared)
    lengths = _length(query) * _length(document)
    return PairExplanation(query, document, shared, dot, dot / lengths if lengths else 0.0)


def explain_hit(
    terms: SparseVector, query: Explanation, hit: ScoredDoc, encoder: SparseEncoder
) -> tuple[SharedTerm, ...]:
    """Say which terms make a hit's score, from the weights that the index holds.

    Args:
        terms: What was searched for: the query may have been pruned since it was explained, and
            terms may have been taken out or put in.
        query: The query's explanation.
        hit: A hit with its vector; with its document the words of the document are named too.
        encoder: The index's model.

    Returns:
        One entry a shared term, largest contribution first; they sum to the hit's score.

    Raises:
        EngineError: the hit was fetched without its vector.
    """
    if hit.vector is None:
        raise EngineError(f"hit {hit.doc_id!r} has no vector. Search with vectors=True.")
    words: Mapping[str, str] = {}
    if hit.document is not None:
        words = _words(encoder.explain(hit.document.content))
    return _shared(reweighed(query, terms), hit.vector, words)


def _shared(
    query: Explanation, document: SparseVector, words: Mapping[str, str]
) -> tuple[SharedTerm, ...]:
    shared = [
        SharedTerm(t.term, t.weight, document[t.term], t.word, words.get(t.term, ""))
        for t in query.terms
        if t.term in document
    ]
    return tuple(sorted(shared, key=lambda term: (-term.contribution, term.term)))


def _words(explanation: Explanation) -> dict[str, str]:
    return {t.term: t.word for t in explanation.terms}


def _length(explanation: Explanation) -> float:
    return math.sqrt(sum(t.weight * t.weight for t in explanation.terms))
