"""Rows with named columns become examples: triplets, FlagEmbedding, sentence-transformers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sparse_ir.data.examples_raw import RawExample, Text, by_id, by_text, make_example, to_score
from sparse_ir.data.examples_scored import scored_example, to_list
from sparse_ir.data.records import RowError, field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

QUERY_IDS = ("query_id", "qid")
_TRIPLET_POSITIVES = ("pos", "positive", "pos_id", "positive_id", "pos_doc_id")
_TRIPLET_NEGATIVES = ("neg", "negative", "neg_id", "negative_id", "neg_doc_id")
_ANCHORS = ("anchor", "query", "question", "sentence1")
_POSITIVES = ("positive", "pos", "answer", "sentence2")
_NEGATIVE = re.compile(r"(?:negative|neg)(?:_?[0-9]+)?")
_LABELS = ("scores", "score", "labels", "label")


def layout_of(columns: Collection[str]) -> str | None:
    """Name the layout of rows by their columns, or None."""
    names = {name.lower() for name in columns}
    if not names.isdisjoint(("documents", "texts")) and not names.isdisjoint(("query", *QUERY_IDS)):
        return "scored"
    if not names.isdisjoint(QUERY_IDS) and not names.isdisjoint(_TRIPLET_POSITIVES):
        return "triplets"
    if {"query", "pos"} <= names:
        return "flagembedding"
    if not names.isdisjoint(_ANCHORS) and not names.isdisjoint(_POSITIVES):
        return "columns"
    return None


def triplet_example(row: Mapping[str, Any], place: tuple[str, int]) -> RawExample:
    """Make an example of ``{"qid", "pos", "neg"}`` (ids) or ``{"query", "pos", "neg"}`` (texts).

    ``neg`` may be a list; ``pos_score`` and ``neg_score`` (a list likewise) are a teacher's, null
    where it gave none.

    Raises:
        RowError: the row is malformed.
    """
    name = next((name for name in QUERY_IDS if row.get(name) is not None), None)
    make = by_text if name is None else by_id
    query = by_text(row.get("query"), "query") if name is None else by_id(row[name], "query")
    if name is not None and row.get("query") is not None:
        query = Text(query.id, by_text(row["query"], "query").text)
    positive = make(_first(row, _TRIPLET_POSITIVES), "positive")
    negatives = _as_list(_first(row, _TRIPLET_NEGATIVES))
    scores = None
    if row.get("pos_score") is not None or row.get("neg_score") is not None:
        others = row.get("neg_score")
        given = [row.get("pos_score"), *(others if isinstance(others, list) else [others])]
        scores = [to_score(score, unknown=True) for score in given]
    return make_example(place, query, [positive], [make(n, "negative") for n in negatives], scores)


def flagembedding_example(row: Mapping[str, Any], place: tuple[str, int]) -> RawExample:
    """Make an example of ``{"query", "pos": [], "neg": [], "pos_scores"?, "neg_scores"?}``.

    Raises:
        RowError: the row is malformed.
    """
    query = by_text(row.get("query"), "query")
    positives = [by_text(text, "positive") for text in to_list(row.get("pos"), "pos")]
    negatives = [by_text(text, "negative") for text in to_list(row.get("neg") or [], "neg")]
    scores = _side_scores(row, "pos_scores", len(positives))
    others = _side_scores(row, "neg_scores", len(negatives))
    if (scores is None) != (others is None) and negatives:
        raise RowError("has only one of pos_scores and neg_scores")
    known = None if scores is None else [*scores, *(others or [])]
    return make_example(place, query, positives, negatives, known)


def _side_scores(row: Mapping[str, Any], name: str, n: int) -> list[float] | None:
    if row.get(name) is None:
        return None
    scores = [to_score(score) for score in to_list(row[name], name)]
    if len(scores) != n:
        raise RowError(f"has {len(scores)} {name} for {n} texts")
    return scores


def column_example(row: Mapping[str, Any], place: tuple[str, int]) -> RawExample:
    """Make an example of the columns that sentence-transformers trains on.

    An anchor (or query, question), a positive (or answer), negatives (negative, negative_1, ...),
    and at most one column of scores: a list as long as the documents holds their scores, one as
    long as the negatives, or a single number beside one negative, the margins of the positive.

    Raises:
        RowError: the row is malformed.
    """
    named = {name.lower(): value for name, value in row.items()}
    anchor = field_of(named, _ANCHORS, "query column")
    positive = field_of(named, _POSITIVES, "positive column")
    names = [name for name in named if _NEGATIVE.fullmatch(name)]
    query = by_text(named[anchor], anchor)
    positives = [by_text(text, positive) for text in _as_list(named[positive])]
    negatives = [by_text(t, n) for n in names for t in _as_list(named[n])]
    label = next((named[name] for name in _LABELS if named.get(name) is not None), None)
    scores = None if label is None else _column_scores(label, len(positives), len(negatives))
    return make_example(place, query, positives, negatives, scores)


def _column_scores(label: Any, positives: int, negatives: int) -> list[float] | None:
    values = [to_score(value) for value in _as_list(label)]
    if len(values) == positives + negatives:
        if not negatives and max(values, default=1.0) <= 0:
            raise RowError("has the label 0 and no positive; keep only rows with a positive")
        return values if negatives else None
    if len(values) == negatives and positives == 1:
        return [0.0, *(-margin for margin in values)]
    raise RowError(f"has {len(values)} scores for {positives + negatives} documents")


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _as_list(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


CONVERTERS: dict[str, Callable[[Mapping[str, Any], tuple[str, int]], RawExample]] = {
    "triplets": triplet_example,
    "scored": scored_example,
    "flagembedding": flagembedding_example,
    "columns": column_example,
}
