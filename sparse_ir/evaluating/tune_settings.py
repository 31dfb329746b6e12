"""What tuning tries, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset  # noqa: TC001 - pydantic reads it
from sparse_ir.evaluating.metrics import check_metrics
from sparse_ir.models.loading import MODEL
from sparse_ir.pruning import parse_pruning
from sparse_ir.searching.query import parse_two_step


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
            Each should hold "", which is none. Two-step search looks at a window of hits: a number
            (window), or a multiple of the hits asked for (expansion), which grows with them.
        latency_queries: Queries timed in each round.
        rounds: Rounds of timing; a setting's time is the median of its rounds' medians.
        k: Hits a query; more where the metric looks further.
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
    # Of ten hits windows of 20, 50, 100 and 200: each deeper than the last, none tried twice.
    two_step: tuple[str, ...] = (
        "",
        "expansion=2",
        "window=50",
        "ratio=0.2,expansion=10",
        "window=200",
    )
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
