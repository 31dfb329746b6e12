"""What a server tells Prometheus about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.serving.batching import Batcher

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_QUERIES = (1, 2, 4, 8, 16, 32, 64)

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Everything begins at zero."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sparse_ir_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "sparse_ir_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "sparse_ir_batch_queries",
            "Queries done together.",
            ["stage"],
            buckets=_QUERIES,
            registry=self.registry,
        )
        self._stages = Histogram(
            "sparse_ir_stage_seconds",
            "Time of a batch in a stage, without waiting.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._waiting = Gauge(
            "sparse_ir_queue_length", "Jobs that wait.", ["stage"], registry=self.registry
        )
        self._in_flight = Gauge(
            "sparse_ir_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self._cut = Counter(
            "sparse_ir_connections_cut",
            "Connections cut off: too slow to send or to read, or one too many.",
            ["reason"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, stage: str) -> Callable[[int, float], None]:
        """What a stage calls after each batch."""

        def observe(jobs: int, seconds: float) -> None:
            self._batches.labels(stage).observe(jobs)
            self._stages.labels(stage).observe(seconds)

        return observe

    def watch(self, stage: str, batchers: Sequence[Batcher]) -> None:
        """Tell of the jobs that wait for a stage, whichever of its threads they wait for."""
        waiting = self._waiting.labels(stage)
        waiting.set_function(lambda: sum(batcher.waiting for batcher in batchers))

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """Tell of the requests being answered."""
        self._in_flight.set_function(count)

    def cut(self, reason: str) -> None:
        """Count a connection that was cut off."""
        self._cut.labels(reason).inc()

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)
