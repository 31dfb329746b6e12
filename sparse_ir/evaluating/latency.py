"""How long queries take, from text to hits, with one client and with several."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.evaluating.results import Latency, Quantiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.searching.search import Searcher
    from sparse_ir.types import Query


class Timed(NamedTuple):
    """Seconds of one query."""

    encode: float
    search: float


def measure_latency(
    searcher: Searcher, queries: Sequence[Query], *, clients: int, count: int, warm_up: int, k: int
) -> Latency:
    """Ask queries one by one, each client waiting for its answer before it asks again.

    Args:
        searcher: An open index; all clients share it, as the threads of a server would.
        queries: Asked in turn, from the first again after the last.
        clients: How many ask at once.
        count: How many answers are timed, over all clients.
        warm_up: How many are asked first and not timed.
        k: Hits a query; they come without their documents.
    """
    asked = list(islice(cycle(queries), count))
    for query in islice(cycle(queries), warm_up):
        _ask(searcher, query, k)
    with ThreadPoolExecutor(max_workers=clients) as pool:
        began = time.perf_counter()
        shares = [asked[i::clients] for i in range(clients)]
        parts = pool.map(lambda share: [_ask(searcher, query, k) for query in share], shares)
        timed = [one for part in parts for one in part]
        seconds = time.perf_counter() - began
    return Latency(
        clients=clients,
        queries=len(timed),
        encode=quantiles([one.encode for one in timed]),
        search=quantiles([one.search for one in timed]),
        total=quantiles([one.encode + one.search for one in timed]),
        per_second=len(timed) / seconds,
    )


def quantiles(seconds: Sequence[float]) -> Quantiles:
    """Mean, median, 95th and 99th percentile in milliseconds, between the nearest two."""
    values = 1000.0 * np.asarray(seconds, dtype=float)
    p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
    return Quantiles(float(values.mean()), p50, p95, p99)


def _ask(searcher: Searcher, query: Query, k: int) -> Timed:
    began = time.perf_counter()
    weighed = searcher.weigh([query])
    between = time.perf_counter()
    searcher.answer([query], weighed, k=k, documents=False)
    return Timed(between - began, time.perf_counter() - between)
