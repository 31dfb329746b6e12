"""Evaluate an index: search it for every judged query and score the run."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sparse_ir.data.datasets import open_dataset
from sparse_ir.errors import ConfigError, EngineError, InputError
from sparse_ir.evaluating.bounds import parse_bounds, with_bounds
from sparse_ir.evaluating.compiling import compiled
from sparse_ir.evaluating.judged import read_judged
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, Evaluation, check_metrics, score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.models.loading import MODEL
from sparse_ir.searching.runs import save_run
from sparse_ir.searching.search import Searcher, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.types import Qrels, Query

_LEAST_HITS = 10


@dataclass(frozen=True)
class EvaluateSettings:
    """What is evaluated, and how.

    Attributes:
        index: The index to search.
        queries: As ``read_queries`` takes it.
        qrels: As ``read_qrels`` takes it.
        dataset: A benchmark's name or a BEIR folder, in the place of queries or qrels or both.
        split: The dataset's judgements to use.
        metrics: As ``score_run`` takes them.
        min_grade: The lowest grade that is relevant to all metrics but ndcg; None for what the
            dataset says, else 1.
        engine: As ``open_engine`` takes it.
        model: As ``load_encoder`` takes it; None for the model that made the index.
        query_encoder: Which of its query sides: "model" or "inference-free"; "ready" takes the
            queries' own terms. A query row with a vector is always searched by that.
        k: Hits per query; None for as many as the metrics look at, at most 1000.
        query_pruning: With two_step, hybrid, words_index, dense_only, dense, server_pruning and
            group, as in ``SearchSettings``.
        ban: With boost, pin, require, lexical_only and mask, as in ``SearchSettings``.
        save_run: Write the run to this file, and its manifest beside it.
        fail_under: Bounds such as "ndcg@10=0.45", whose metrics are computed too; who shows the
            figures holds them against these, with ``require_bounds``.
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
    words_index: str | None = None
    dense_only: bool = False
    dense: str | None = None
    server_pruning: bool = False
    group: str = "best"
    ban: tuple[str, ...] = ()
    boost: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    lexical_only: bool = False
    mask: str = ""
    save_run: str | None = None
    fail_under: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise ConfigError(f"k is {self.k}. It must be at least 1.")


def evaluate_index(
    settings: EvaluateSettings, *, advance: Callable[[int], None] = lambda n: None
) -> Evaluation:
    """Search an index for every judged query and score the run.

    Args:
        settings: Index, queries, judgements, metrics.
        advance: Called with the number of queries answered.

    Raises:
        ConfigError: neither dataset nor queries and qrels are given; an unknown metric or a bad
            bound.
        InputError: a file cannot be read, the qrels match no query, or they know no document of
            the index that was found.
        IndexNotFoundError: there is no such index.
        EngineError: it is a build that is not finished.
    """
    metrics = with_bounds(settings.metrics, parse_bounds(settings.fail_under))
    check_metrics(metrics)
    started = datetime.now(timezone.utc)
    queries, qrels, min_grade, source = _judged(settings)
    shared = {f.name for f in fields(SearchSettings)} & vars(settings).keys() - {"k"}
    search = SearchSettings(**{name: getattr(settings, name) for name in shared})
    k = deepest(metrics) if settings.k is None else settings.k
    with compiled(metrics), Searcher(search) as searcher:
        _require_whole(searcher.engine, settings.index)
        run = searcher.run(queries, k=k, advance=advance)
        if settings.save_run is not None:
            where, tag = settings.save_run, settings.index
            save_run(where, run, searcher, queries=source, k=k, tag=tag, started=started)
    if not any(run.values()):
        raise InputError(f"index {settings.index!r} has no hit for any of the queries.")
    require_overlap(run, qrels, names=(f"index {settings.index!r}", "the qrels"))
    return score_run(run, qrels, metrics, min_grade=min_grade)


def _require_whole(engine: Engine, index: str) -> None:
    """A name stands for a finished build; a build that is named itself may be half of one."""
    if "@" in index and not engine.settled(index):
        raise EngineError(
            f"build {index!r} is not finished, so its figures would say little: it holds "
            f"{engine.stats(index).documents:,} documents so far. Go on with the command that "
            "began it and --resume."
        )


def _judged(settings: EvaluateSettings) -> tuple[list[Query], Qrels, int, str]:
    queries_source, qrels_source, min_grade = settings.queries, settings.qrels, 1
    if settings.dataset is not None:
        dataset = open_dataset(settings.dataset, split=settings.split)
        queries_source = queries_source or dataset.queries
        qrels_source, min_grade = qrels_source or dataset.qrels, dataset.min_grade
    if queries_source is None or qrels_source is None:
        raise ConfigError("evaluate needs queries and qrels, or a dataset.")
    judged, qrels = read_judged(queries_source, qrels_source)
    grade = min_grade if settings.min_grade is None else settings.min_grade
    return judged, qrels, grade, queries_source


def deepest(metrics: Sequence[str]) -> int:
    """How many hits the metrics look at; 1000 where one has no cutoff."""
    cutoffs = [re.search(r"@(\d+)", metric) for metric in metrics]
    if None in cutoffs:
        return 1000
    return max((int(c[1]) for c in cutoffs if c is not None), default=_LEAST_HITS)
