"""How little an index and a search may read: pruning and two-step search, swept and chosen."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset, System
from sparse_ir.evaluating.evaluate_index import deepest
from sparse_ir.evaluating.judged import read_judged
from sparse_ir.evaluating.measure import Vectors, build, drop_index
from sparse_ir.evaluating.metrics import check_metrics, score_run
from sparse_ir.models.loading import MODEL, load_encoder
from sparse_ir.pruning import parse_pruning, prune
from sparse_ir.searching.query import build_request, parse_two_step
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sparse_ir.data.datasets import Dataset
    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.evaluating.judged import Judged
    from sparse_ir.models.base import SparseEncoder

_BATCH = 64  # queries sent together when only the answers count


@dataclass(frozen=True)
class TuneSettings:
    """What is tried, and what decides.

    Attributes:
        dataset: Judged queries and documents to tune on; not those that will be reported.
        out: Folder for the settings found, the table, the picture, and the vectors.
        confirm: Another dataset, on which the setting found is compared with no pruning at all.
        model: As ``load_encoder`` takes it; None for the bundled model.
        query_encoder: Which of its query sides.
        precision: Of the documents' encoding.
        devices: Where documents are encoded.
        engine: As ``open_engine`` takes it.
        field: The engine's field type.
        metric: Quality, as ``score_run`` takes it.
        within: Share of the best quality that may be given up for speed.
        document_pruning: With query_pruning and two_step, the choices; all combinations are tried.
            Each should hold "", which is none.
        latency_queries: Queries timed in each round.
        rounds: Rounds of timing; a setting's time is the median of its rounds' medians.
        k: Hits a query when it is timed.
    """

    dataset: BenchmarkDataset
    out: str
    confirm: BenchmarkDataset | None = None
    model: str | None = None
    query_encoder: str = MODEL
    precision: str = "fp32"
    devices: str = "auto"
    engine: str = "embedded"
    field: str = ""
    metric: str = "ndcg@10"
    within: float = 0.01
    document_pruning: tuple[str, ...] = ("", "top_k=128", "top_k=96", "top_k=64", "top_k=48")
    query_pruning: tuple[str, ...] = ("", "top_k=20", "top_k=12", "top_k=8")
    two_step: tuple[str, ...] = ("", "window=50", "window=200", "ratio=0.2,window=100")
    latency_queries: int = 100
    rounds: int = 3
    k: int = 10

    def __post_init__(self) -> None:
        check_metrics((self.metric,))
        if not 0 <= self.within < 1:
            raise ConfigError(f"within is {self.within}. It lies between 0 and 1.")
        for text in (*self.document_pruning, *self.query_pruning):
            parse_pruning(text)
        for text in self.two_step:
            parse_two_step(text)
        if min(self.latency_queries, self.rounds, self.k) < 1:
            raise ConfigError("latency_queries, rounds and k must be at least 1.")


class Choice(NamedTuple):
    """One combination; "" is none."""

    document_pruning: str
    query_pruning: str
    two_step: str


UNPRUNED = Choice("", "", "")


class Point(NamedTuple):
    """A combination, measured.

    Attributes:
        choice: What was tried.
        value: The metric's mean over the judged queries.
        milliseconds: Of a search in the engine, the encoding aside; median.
        query_terms: Clauses of a query, mean.
        index_bytes: Of its index.
    """

    choice: Choice
    value: float
    milliseconds: float
    query_terms: float
    index_bytes: int


class Tuned(NamedTuple):
    """What was found.

    Attributes:
        points: Everything that was tried, fastest first.
        front: Those that nothing tried beats in both quality and time, fastest first.
        chosen: The fastest within reach of the best.
        unpruned: No pruning at all.
        confirmed: On the other dataset, the chosen and no pruning; None where there is none.
    """

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    chosen: Point
    unpruned: Point
    confirmed: tuple[Point, Point] | None


def tune(settings: TuneSettings, *, tell: Callable[[str], None] = lambda line: None) -> Tuned:
    """Try every combination on a dataset and choose the fastest that keeps the quality.

    The documents are encoded once. Times are taken in rounds, each round in another order, so that
    what else the machine does meanwhile falls on all alike.

    Args:
        settings: What is tried.
        tell: Called with a line before each piece of work.

    Raises:
        ConfigError: the dataset is unknown.
        InputError: a file cannot be read.
    """
    choices = [
        Choice(*parts)
        for parts in product(settings.document_pruning, settings.query_pruning, settings.two_step)
    ]
    points = _measure(settings, settings.dataset, [UNPRUNED, *choices], tell)
    unpruned = points[0]
    distinct = tuple(sorted(dict.fromkeys(points), key=lambda p: (p.milliseconds, -p.value)))
    chosen = choose(distinct, within=settings.within)
    confirmed = None
    if settings.confirm is not None:
        first, second = _measure(settings, settings.confirm, [chosen.choice, UNPRUNED], tell)
        confirmed = (first, second)
    return Tuned(distinct, front(distinct), chosen, unpruned, confirmed)


def front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats in one of quality and time without losing in the other."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.value)):
        if not kept or point.value > kept[-1].value:
            kept.append(point)
    return tuple(kept)


def choose(points: Sequence[Point], *, within: float) -> Point:
    """The fastest point whose quality is at most that share below the best."""
    floor = (1 - within) * max(point.value for point in points)
    return min(
        (point for point in points if point.value >= floor),
        key=lambda p: (p.milliseconds, -p.value),
    )


def _measure(
    settings: TuneSettings,
    chosen: BenchmarkDataset,
    choices: Sequence[Choice],
    tell: Callable[[str], None],
) -> list[Point]:
    dataset = chosen.open()
    judged = read_judged(dataset.queries, dataset.qrels)
    vectors = _encode(settings, chosen, dataset, tell)
    wanted = list(dict.fromkeys(choices))
    systems = {
        pruning: System(
            name=pruning,
            model=settings.model,
            precision=settings.precision,
            engine=settings.engine,
            field=settings.field,
            document_pruning=pruning,
        )
        for pruning in dict.fromkeys(choice.document_pruning for choice in wanted)
    }
    names = {p: f"tune-{s.index_key()}-{chosen.file_name}" for p, s in systems.items()}
    try:
        for pruning, system in systems.items():
            tell(f"{dataset.name}: index with {pruning or 'all terms'}")
            build(system, names[pruning], dataset.corpus, vectors)
        tell(f"{dataset.name}: search in {len(wanted)} ways")
        engine = open_engine(settings.engine)
        try:
            points = _search(settings, engine, dataset, judged, wanted, names)
        finally:
            engine.close()
    finally:
        for pruning, system in systems.items():
            drop_index(system, names[pruning])
    return [points[choice] for choice in choices]


def _search(
    settings: TuneSettings,
    engine: Engine,
    dataset: Dataset,
    judged: Judged,
    choices: Sequence[Choice],
    names: dict[str, str],
) -> dict[Choice, Point]:
    stamp = engine.describe(names[choices[0].document_pruning])
    encoder = load_encoder(stamp.model, queries=settings.query_encoder)
    requests = {
        choice: _requests(encoder, judged, choice, deepest((settings.metric,)))
        for choice in choices
    }
    values = {}
    for choice, asked in requests.items():
        found = []
        for start in range(0, len(asked), _BATCH):
            found += engine.search(names[choice.document_pruning], asked[start : start + _BATCH])
        run = {
            query.query_id: {hit.doc_id: hit.score for hit in hits}
            for query, hits in zip(judged.queries, found, strict=True)
        }
        scored = score_run(run, judged.qrels, (settings.metric,), min_grade=dataset.min_grade)
        values[choice] = scored.mean[settings.metric]
    times = _time(settings, engine, requests, names)
    return {
        choice: Point(
            choice=choice,
            value=values[choice],
            milliseconds=1000.0 * times[choice],
            query_terms=statistics.fmean(len(r.terms) for r in requests[choice]),
            index_bytes=engine.stats(names[choice.document_pruning]).bytes,
        )
        for choice in choices
    }


def _time(
    settings: TuneSettings,
    engine: Engine,
    requests: dict[Choice, list[SearchRequest]],
    names: dict[str, str],
) -> dict[Choice, float]:
    """Median seconds a search, the median of rounds that each begin with another choice."""
    medians: dict[Choice, list[float]] = {choice: [] for choice in requests}
    for turn in range(settings.rounds + 1):  # the first one warms up
        order = list(requests)
        Random(turn).shuffle(order)  # noqa: S311 - an order, no secret
        for choice in order:
            taken = []
            asked = requests[choice]
            for i in range(settings.latency_queries):
                request = asked[i % len(asked)]._replace(k=settings.k)
                began = time.perf_counter()
                engine.search(names[choice.document_pruning], [request])
                taken.append(time.perf_counter() - began)
            if turn:
                medians[choice].append(statistics.median(taken))
    return {choice: statistics.median(rounds) for choice, rounds in medians.items()}


def _requests(
    encoder: SparseEncoder, judged: Judged, choice: Choice, depth: int
) -> list[SearchRequest]:
    batch = encoder.encode_queries(
        [query.text for query in judged.queries], ids=[query.query_id for query in judged.queries]
    )
    weighed = to_terms(prune(batch, parse_pruning(choice.query_pruning)), encoder.vocabulary)
    two_step = parse_two_step(choice.two_step)
    return [build_request(t, k=depth, documents=False, two_step=two_step) for t in weighed]


def _encode(
    settings: TuneSettings,
    chosen: BenchmarkDataset,
    dataset: Dataset,
    tell: Callable[[str], None],
) -> Vectors:
    system = System(name="", model=settings.model, precision=settings.precision)
    folder = Path(settings.out, "work", f"{chosen.file_name}-{system.vectors_key()}")
    tell(f"{dataset.name}: encode with {settings.model or 'the bundled model'}")
    report = encode(
        EncodeSettings(
            corpus=dataset.corpus,
            out=str(folder),
            model=settings.model,
            precision=settings.precision,
            devices=settings.devices,
            skip_bad=True,
            resume=True,
        )
    )
    return Vectors(folder, report.seconds)
