"""Combinations of pruning and two-step search on one dataset, each scored and timed."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from sparse_ir.engines.opening import open_engine
from sparse_ir.evaluating.benchmark_settings import System, dataset_key, key_of
from sparse_ir.evaluating.encoded import encode_once
from sparse_ir.evaluating.evaluate_index import deepest
from sparse_ir.evaluating.judged import read_judged
from sparse_ir.evaluating.measure import build, drop_index
from sparse_ir.evaluating.metrics import score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.evaluating.tune_settings import Choice, Point
from sparse_ir.models.loading import load_encoder
from sparse_ir.pruning import parse_pruning
from sparse_ir.searching.query import build_request, parse_two_step
from sparse_ir.searching.ready import weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.data.datasets import Dataset
    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset
    from sparse_ir.evaluating.judged import Judged
    from sparse_ir.evaluating.tune_settings import TuneSettings
    from sparse_ir.types import Run, SparseVector

_BATCH = 64  # queries sent together when only the answers count


def sweep(
    settings: TuneSettings,
    chosen: BenchmarkDataset,
    choices: Sequence[Choice],
    tell: Callable[[str], None],
) -> list[Point]:
    """Measure choices on a dataset; the documents are encoded once, and indexed by pruning.

    Returns:
        A point for each choice, in order; equal choices give the same one.
    """
    dataset = chosen.open()
    judged = read_judged(dataset.queries, dataset.qrels)
    wanted = list(dict.fromkeys(choices))
    prunings = list(dict.fromkeys(choice.document_pruning for choice in wanted))
    systems = {pruning: _system(settings, pruning) for pruning in prunings}
    tell(f"{dataset.name}: encode with {settings.model or 'the bundled model'}")
    folder = Path(settings.out, "work", f"{chosen.file_name}-{dataset_key(dataset)}")
    vectors = encode_once(systems[prunings[0]], dataset.corpus, folder, devices=settings.devices)
    place = key_of(str(Path(settings.out).absolute()), dataset_key(dataset))[:6]
    names = {
        pruning: f"tune-{chosen.file_name}-{system.index_key()}-{place}"
        for pruning, system in systems.items()
    }
    try:
        for pruning, system in systems.items():
            tell(f"{dataset.name}: index with {pruning or 'all terms'}")
            build(system, names[pruning], dataset.corpus, vectors)
        tell(f"{dataset.name}: search in {len(wanted)} ways")
        with closing(open_engine(settings.engine)) as engine:
            points = _Searches(settings, engine, dataset, judged, names).measure(wanted)
    finally:
        for pruning, system in systems.items():
            drop_index(system, names[pruning])
    return [points[choice] for choice in choices]


def _system(settings: TuneSettings, pruning: str) -> System:
    return System(
        name=pruning or "unpruned",
        model=settings.model,
        precision=settings.precision,
        engine=settings.engine,
        field=settings.field,
        document_pruning=pruning,
    )


class _Searches:
    """The judged queries against the indexes of a dataset."""

    def __init__(
        self,
        settings: TuneSettings,
        engine: Engine,
        dataset: Dataset,
        judged: Judged,
        names: dict[str, str],
    ) -> None:
        self._settings, self._engine = settings, engine
        self._dataset, self._judged, self._names = dataset, judged, names
        # What is judged is what is timed: two-step search looks further for more hits.
        self._k = max(settings.k, deepest((settings.metric,)))
        stamp = engine.describe(next(iter(names.values())))
        self._encoder = cache(lambda: load_encoder(stamp.model, queries=settings.query_encoder))
        self._weighed = cache(self._weigh)

    def measure(self, choices: Sequence[Choice]) -> dict[Choice, Point]:
        """Score every choice, then time all in turn."""
        values = {choice: self._score(choice) for choice in choices}
        times = self._time(choices)
        return {
            choice: Point(
                choice=choice,
                value=values[choice],
                milliseconds=1000.0 * times[choice],
                query_terms=statistics.fmean(map(len, self._weighed(choice.query_pruning))),
                index_bytes=self._engine.stats(self._names[choice.document_pruning]).bytes,
            )
            for choice in choices
        }

    def _weigh(self, pruning: str) -> list[SparseVector]:
        return weigh(self._judged.queries, self._encoder, pruning=parse_pruning(pruning))

    def _requests(self, choice: Choice) -> list[SearchRequest]:
        step = parse_two_step(choice.two_step)
        return [
            build_request(terms, k=self._k, documents=False, two_step=step)
            for terms in self._weighed(choice.query_pruning)
        ]

    def _score(self, choice: Choice) -> float:
        asked, name = self._requests(choice), self._names[choice.document_pruning]
        run: Run = {}
        for start in range(0, len(asked), _BATCH):
            found = self._engine.search(name, asked[start : start + _BATCH])
            for query, hits in zip(self._judged.queries[start:], found, strict=False):
                run[query.query_id] = {hit.doc_id: hit.score for hit in hits}
        qrels, metric = self._judged.qrels, self._settings.metric
        require_overlap(run, qrels, names=(self._dataset.name, self._dataset.qrels))
        return score_run(run, qrels, (metric,), min_grade=self._dataset.min_grade).mean[metric]

    def _time(self, choices: Sequence[Choice]) -> dict[Choice, float]:
        """Median seconds a search, the median of rounds, each in another order."""
        medians: dict[Choice, list[float]] = {choice: [] for choice in choices}
        for turn in range(self._settings.rounds + 1):  # the first one warms up
            order = list(choices)
            Random(turn).shuffle(order)  # noqa: S311 - an order, no secret
            for choice in order:
                seconds = self._ask(choice)
                if turn:
                    medians[choice].append(seconds)
        return {choice: statistics.median(rounds) for choice, rounds in medians.items()}

    def _ask(self, choice: Choice) -> float:
        asked, name = self._requests(choice), self._names[choice.document_pruning]
        taken = []
        for i in range(self._settings.latency_queries):
            began = time.perf_counter()
            self._engine.search(name, [asked[i % len(asked)]])
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)
