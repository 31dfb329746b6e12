"""Evaluate an index: search it for every judged query and score the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.trec import read_qrels, write_run
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, Evaluation, score_run
from sparse_ir.models.loading import MODEL
from sparse_ir.searching.search import Searcher, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.types import Qrels, Query

_LEAST_HITS = 10


@dataclass(frozen=True)
class EvaluateSettings:
    """What is evaluated, and how.

    Attributes:
        index: The index to search.
        queries: As ``read_queries`` takes it.
        qrels: As ``read_qrels`` takes it.
        dataset: A benchmark's name or a BEIR folder, in the place of queries and qrels.
        split: The dataset's judgements to use.
        metrics: As ``score_run`` takes them.
        min_grade: The lowest grade that is relevant to all metrics but ndcg; None for what the
            dataset says, else 1.
        engine: As ``open_engine`` takes it.
        model: As ``load_encoder`` takes it; None for the model that made the index.
        query_encoder: Which of its query sides: "model" or "inference-free".
        k: Hits per query; None for as many as the metrics look at, at most 1000.
        query_pruning: With two_step, hybrid, server_pruning and group, as in ``SearchSettings``.
        save_run: Write the run to this file.
    """

    index: str
    queries: str | None = None
    qrels: str | None = None
    dataset: str | None = None
    split: str = "test"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    min_grade: int | None = None
    engine: str = "embedded"
    model: str | None = None
    query_encoder: str = MODEL
    k: int | None = None
    query_pruning: str = ""
    two_step: str = ""
    hybrid: str = ""
    server_pruning: bool = False
    group: str = "best"
    save_run: str | None = None


def evaluate_index(
    settings: EvaluateSettings, *, advance: Callable[[int], None] = lambda n: None
) -> Evaluation:
    """Search an index for every judged query and score the run.

    Args:
        settings: Index, queries, judgements, metrics.
        advance: Called with the number of queries answered.

    Raises:
        ConfigError: neither dataset nor queries and qrels are given; an unknown metric.
        InputError: a file cannot be read, or the qrels match no query.
        IndexNotFoundError: there is no such index.
    """
    queries, qrels, min_grade = _judged(settings)
    search = SearchSettings(
        index=settings.index,
        engine=settings.engine,
        model=settings.model,
        query_encoder=settings.query_encoder,
        query_pruning=settings.query_pruning,
        two_step=settings.two_step,
        hybrid=settings.hybrid,
        server_pruning=settings.server_pruning,
        group=settings.group,
    )
    with Searcher(search) as searcher:
        run = searcher.run(queries, k=settings.k or _deepest(settings.metrics), advance=advance)
    if settings.save_run is not None:
        write_run(settings.save_run, run, tag=settings.index)
    if not any(run.values()):
        raise InputError(f"index {settings.index!r} has no hit for any of the queries.")
    return score_run(run, qrels, settings.metrics, min_grade=min_grade)


def _judged(settings: EvaluateSettings) -> tuple[list[Query], Qrels, int]:
    queries_source, qrels_source, min_grade = settings.queries, settings.qrels, 1
    if settings.dataset is not None:
        dataset = open_dataset(settings.dataset, split=settings.split)
        queries_source, qrels_source = dataset.queries, dataset.qrels
        min_grade = dataset.min_grade
    if queries_source is None or qrels_source is None:
        raise ConfigError("evaluate needs queries and qrels, or a dataset.")
    qrels = read_qrels(qrels_source)
    queries = list(read_queries(queries_source))
    judged = [query for query in queries if query.query_id in qrels]
    if not judged:
        raise InputError(
            f"the qrels match no query: {queries_source} has e.g. {queries[0].query_id!r}, "
            f"{qrels_source} has e.g. {next(iter(qrels))!r}."
        )
    return judged, qrels, min_grade if settings.min_grade is None else settings.min_grade


def _deepest(metrics: tuple[str, ...]) -> int:
    """How many hits the metrics look at; 1000 where one has no cutoff."""
    cutoffs = [re.search(r"@(\d+)", metric) for metric in metrics]
    if None in cutoffs:
        return 1000
    return max((int(c[1]) for c in cutoffs if c is not None), default=_LEAST_HITS)
