"""Scores and order: whether the engine adds up the weights that it holds, and leaves nobody out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import nnls

from sparse_ir.engines.base import SearchRequest
from sparse_ir.inspecting.findings import INCOMPLETE, OTHER_SCORES, PRUNING, Finding, examples
from sparse_ir.inspecting.verify_weights import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.types import ScoredDoc, SparseVector

_DEPTH = 10
_TOGETHER = 16


class WeighedQuery(NamedTuple):
    """A query by its terms."""

    query_id: str
    terms: SparseVector


class ScoreReport(NamedTuple):
    """What came of comparing scores.

    Attributes:
        compared: How many scores of sampled documents.
        exact: How many equal the expected ones to 1e-5.
        largest_error: The largest relative difference from the expected score.
        findings: What is wrong between the weights in the index and the scores.
    """

    compared: int
    exact: int
    largest_error: float
    findings: list[Finding]


def check_scores(
    engine: Engine,
    index: str,
    queries: Sequence[WeighedQuery],
    *,
    expected: Mapping[str, SparseVector],
    observed: Mapping[str, SparseVector],
    advance: Callable[[int], None] = lambda n: None,
) -> ScoreReport:
    """Score the sampled documents for every query and look at the rankings.

    Args:
        engine: Where.
        index: The index.
        queries: What is asked.
        expected: Document -> the weights that the index should hold.
        observed: Document -> the weights that it holds.
        advance: Called with the number of queries done.
    """
    compared = exact = 0
    largest = 0.0
    odd: list[_Odd] = []
    findings: list[Finding] = []
    doc_ids = list(expected)
    for start in range(0, len(queries), _TOGETHER):
        part = queries[start : start + _TOGETHER]
        scores = engine.scores_of(index, doc_ids, [query.terms for query in part])
        requests = [SearchRequest(q.terms, _DEPTH, documents=False, vectors=True) for q in part]
        rankings = engine.search(index, requests)
        for query, found, hits in zip(part, scores, rankings, strict=True):
            for doc_id in doc_ids:
                got = found.get(doc_id, 0.0)
                error = _error(dot(query.terms, expected[doc_id]), got)
                compared += error is not None
                exact += error is not None and error <= EXACT
                largest = max(largest, error or 0.0)
            odd += _odd(query, found, observed)
            findings += _ranking(engine, query, hits, found)
        advance(len(part))
    # rankings of scores that do not add up say nothing more
    wrong = _explain(odd, observed) or _first(findings)
    return ScoreReport(compared, exact, largest, wrong)


def dot(query: Mapping[str, float], document: Mapping[str, float]) -> float:
    """The dot product of float32 weights, in float64."""
    shared = query.keys() & document.keys()
    return float(sum(float(np.float32(query[t])) * document[t] for t in shared))


def _error(expected: float, got: float) -> float | None:
    """Relative; None where both are nothing."""
    if expected == got:
        return 0.0 if expected else None
    return abs(got - expected) / max(expected, got)


class _Odd(NamedTuple):
    """A query whose scores are not the sums of the weights in the index."""

    query: WeighedQuery
    sums: dict[str, float]
    scores: dict[str, float]


def _odd(
    query: WeighedQuery, found: Mapping[str, float], observed: Mapping[str, SparseVector]
) -> list[_Odd]:
    sums = {doc_id: dot(query.terms, vector) for doc_id, vector in observed.items()}
    scores = {doc_id: found.get(doc_id, 0.0) for doc_id in sums}
    wrong = any((_error(sums[d], scores[d]) or 0.0) > EXACT for d in sums)
    return [_Odd(query, sums, scores)] if wrong else []


def _explain(odd: Sequence[_Odd], observed: Mapping[str, SparseVector]) -> list[Finding]:
    """Terms that a query loses on the way, or sums that no such loss explains."""
    if not odd:
        return []
    lost = [(one, _left_out(one, observed)) for one in odd]
    pruned = [(one, terms) for one, terms in lost if terms]
    one, terms = pruned[0] if pruned else (odd[0], [])
    doc_id = max(one.sums, key=lambda d: abs(one.sums[d] - one.scores[d]))
    evidence = (doc_id, one.query.query_id, one.sums[doc_id], one.scores[doc_id])
    if pruned:
        return [
            Finding(
                PRUNING,
                f"{len(pruned)} queries are searched without some of their terms (of "
                f"{len(one.query.terms)} terms: {examples(terms)}).",
                "Send prune: false with every sparse_vector query and set index_options.prune to "
                "false (index again), or leave the server's pruning on knowingly.",
                *evidence,
            )
        ]
    return [
        Finding(
            OTHER_SCORES,
            f"the scores of {len(odd)} queries are not the sums of the weights in the index.",
            "Look at what stands between here and the index: a search pipeline, a script, a proxy.",
            *evidence,
        )
    ]


def _left_out(one: _Odd, observed: Mapping[str, SparseVector]) -> list[str]:
    """The query terms whose absence explains all the scores; empty where none does."""
    terms = list(one.query.terms)
    doc_ids = [doc_id for doc_id in one.sums if one.sums[doc_id] > 0]
    parts = np.array(
        [[one.query.terms[t] * observed[d].get(t, 0.0) for t in terms] for d in doc_ids]
    )
    gaps = np.array([one.sums[d] - one.scores[d] for d in doc_ids])
    if not len(doc_ids) or gaps.min() < -EXACT * max(one.sums.values()):
        return []
    share, _ = nnls(parts, gaps)
    dropped = share > 0.5
    sums = np.array([one.sums[d] for d in doc_ids])
    if np.all(np.abs(parts @ dropped - gaps) <= 10 * EXACT * sums):
        return [term for term, gone in zip(terms, dropped.tolist(), strict=True) if gone]
    return []


def _ranking(
    engine: Engine, query: WeighedQuery, hits: Sequence[ScoredDoc], found: Mapping[str, float]
) -> list[Finding]:
    """Whether the first hits have the scores of their weights, and nobody better is left out."""
    again = "Search again; if it stays so, look at the cluster's health and index again."
    ids = {hit.doc_id for hit in hits}
    last = hits[-1].score if len(hits) == _DEPTH else 0.0
    for doc_id, score in found.items():
        if doc_id not in ids and score > last * (1 + EXACT):
            what = f"a document is not among the first {_DEPTH} hits, where it belongs."
            return [Finding(INCOMPLETE, what, again, doc_id, query.query_id, score, 0.0)]
    for hit in hits:
        sum_of_weights = dot(query.terms, engine.kept(hit.vector or {}))
        own = found.get(hit.doc_id, hit.score)
        if max(_error(sum_of_weights, hit.score) or 0, _error(own, hit.score) or 0) > EXACT:
            what = "a hit's score is not the sum of its weights."
            return [
                Finding(
                    OTHER_SCORES,
                    what,
                    again,
                    hit.doc_id,
                    query.query_id,
                    sum_of_weights,
                    hit.score,
                )
            ]
    return []


def _first(findings: Sequence[Finding]) -> list[Finding]:
    """One of each cause, with how many queries show it."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.cause] = counts.get(finding.cause, 0) + 1
    first = {finding.cause: finding for finding in reversed(findings)}
    return [
        first[cause]._replace(what=f"{first[cause].what[:-1]} ({counts[cause]} queries).")
        for cause in counts
    ]
