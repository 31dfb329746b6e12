"""Two indexes asked the same queries: how different are their answers, and where most."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.trec import read_qrels
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.models.loading import MODEL
from sparse_ir.searching.search import Searcher, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.searching.search import SearchResult
    from sparse_ir.types import ScoredDoc


@dataclass(frozen=True)
class CompareSettings:
    """What is compared.

    Attributes:
        index: The index in use.
        candidate: The index, or build (NAME@STAMP), that may take its place.
        queries: As ``read_queries`` takes it: a log of real queries.
        engine: As ``open_engine`` takes it.
        candidate_engine: Where the candidate is; None for the same.
        query_encoder: The query side of both models, as ``load_encoder`` takes ``queries``.
        candidate_query_encoder: That of the candidate, if another.
        k: Hits compared.
        qrels: As ``read_qrels`` takes it: then both are scored too.
        limit: Ask at most so many queries.
        worst: How many of the most different queries are listed.
    """

    index: str
    candidate: str
    queries: str
    engine: str = "embedded"
    candidate_engine: str | None = None
    query_encoder: str = MODEL
    candidate_query_encoder: str | None = None
    k: int = 10
    qrels: str | None = None
    limit: int | None = None
    worst: int = 10


class QueryChange(NamedTuple):
    """How one query's answer changes.

    Attributes:
        query_id: Its id.
        text: The query.
        overlap: Share of the first k hits that both have; 1 where both have none.
        rank_shift: Mean of the absolute differences of rank of the hits that both have.
        score_ratio: The candidate's best score over the index's; 0 where one has no hit.
        left: Hits that the candidate no longer has, best first.
        entered: Hits that only the candidate has, best first.
    """

    query_id: str
    text: str
    overlap: float
    rank_shift: float
    score_ratio: float
    left: tuple[str, ...]
    entered: tuple[str, ...]


class Comparison(NamedTuple):
    """Two indexes over all queries.

    Attributes:
        queries: How many were asked.
        k: Hits compared.
        models: Of the index and of the candidate.
        overlap: Mean over queries.
        same: Queries whose first k hits are the same in the same order.
        rank_shift: Mean over queries that share a hit.
        score_ratio: Median over queries where both have a hit.
        unanswered: Queries without a hit: of the index, of the candidate.
        worst: The most different queries, least overlap first.
        metrics: Metric -> value of the index, value of the candidate; empty without qrels.
    """

    queries: int
    k: int
    models: tuple[str, str]
    overlap: float
    same: int
    rank_shift: float
    score_ratio: float
    unanswered: tuple[int, int]
    worst: tuple[QueryChange, ...]
    metrics: dict[str, tuple[float, float]]


def compare_indexes(
    settings: CompareSettings, *, advance: Callable[[int], None] = lambda n: None
) -> Comparison:
    """Ask both indexes every query, each with its own model, and compare the answers.

    Raises:
        IndexNotFoundError: one of them is not there.
        InputError: the queries cannot be read.
    """
    if settings.k < 1:
        raise ConfigError(f"k is {settings.k}. It must be at least 1.")
    queries = list(read_queries(settings.queries, vectors=True))[: settings.limit]
    qrels = read_qrels(settings.qrels) if settings.qrels is not None else {}
    depth = max(settings.k, 100) if qrels else settings.k
    places = (
        (settings.index, settings.engine, settings.query_encoder),
        (
            settings.candidate,
            settings.candidate_engine or settings.engine,
            settings.candidate_query_encoder or settings.query_encoder,
        ),
    )
    answers: list[list[SearchResult]] = []
    models: list[str] = []
    for index, engine, query_encoder in places:
        search = SearchSettings(index=index, engine=engine, query_encoder=query_encoder)
        with Searcher(search) as searcher:
            models.append(searcher.stamp.model)
            answers.append(list(searcher.stream(queries, k=depth, advance=advance)))
    changes = [_change(old, new, settings.k) for old, new in zip(*answers, strict=True)]
    return Comparison(
        queries=len(queries),
        k=settings.k,
        models=(models[0], models[1]),
        overlap=statistics.fmean(c.overlap for c in changes),
        same=sum(c.overlap == 1 and not c.rank_shift for c in changes),
        rank_shift=_mean(
            [
                c.rank_shift
                for c, old in zip(changes, answers[0], strict=True)
                if c.overlap and old.hits
            ]
        ),
        score_ratio=_median([c.score_ratio for c in changes if c.score_ratio]),
        unanswered=(_unanswered(answers[0]), _unanswered(answers[1])),
        worst=tuple(sorted(changes, key=lambda c: (c.overlap, -c.rank_shift))[: settings.worst]),
        metrics=_metrics(answers, qrels) if qrels else {},
    )


def _change(old: SearchResult, new: SearchResult, k: int) -> QueryChange:
    before, after = _ids(old.hits[:k]), _ids(new.hits[:k])
    shared = [doc_id for doc_id in before if doc_id in after]
    longest = max(len(before), len(after))
    shifts = [abs(before[doc_id] - after[doc_id]) for doc_id in shared]
    ratio = new.hits[0].score / old.hits[0].score if old.hits and new.hits else 0.0
    return QueryChange(
        old.query.query_id,
        old.query.text,
        len(shared) / longest if longest else 1.0,
        _mean(shifts),
        ratio,
        tuple(doc_id for doc_id in before if doc_id not in after),
        tuple(doc_id for doc_id in after if doc_id not in before),
    )


def _ids(hits: Sequence[ScoredDoc]) -> dict[str, int]:
    return {hit.doc_id: rank for rank, hit in enumerate(hits, start=1)}


def _unanswered(answers: Sequence[SearchResult]) -> int:
    return sum(not result.hits for result in answers)


def _metrics(
    answers: Sequence[Sequence[SearchResult]], qrels: dict[str, dict[str, int]]
) -> dict[str, tuple[float, float]]:
    scored = []
    for results in answers:
        run = {r.query.query_id: {hit.doc_id: hit.score for hit in r.hits} for r in results}
        judged = {query_id: grades for query_id, grades in qrels.items() if query_id in run}
        require_overlap(run, judged or qrels, names=("the queries' answers", "the qrels"))
        scored.append(score_run(run, judged, DEFAULT_METRICS).mean)
    return {name: (scored[0][name], scored[1][name]) for name in scored[0]}


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
