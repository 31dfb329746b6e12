"""Search in a cluster: what the client adds to the server's time, and what two steps bring.

    python evaluation/speed/cluster_search.py --url URL --queries VECTORS.jsonl.gz

The index is that of ``cluster_bulk.py``. Queries are {term: weight} objects, one a line.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time

from sparse_ir.engines.base import SearchRequest, TwoStep
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.transport import JSON

SWEEP = [(ratio, expansion) for ratio in (0.2, 0.3, 0.4, 0.5) for expansion in (2.0, 5.0, 20.0)]


def read_queries(path, limit):
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream][:limit]


class Clock:
    """Sees every answer's ``took`` as it passes through the transport."""

    def __init__(self, transport):
        self.transport = transport
        self.took = 0.0

    def send(self, method, path, *, params=None, body=None, content_type=JSON, timeout=None):
        answer = self.transport.send(
            method, path, params=params, body=body, content_type=content_type, timeout=timeout
        )
        self.took = answer.body.get("took", 0.0) if isinstance(answer.body, dict) else 0.0
        return answer

    def close(self):
        self.transport.close()


def as_good(full, own):
    """The share of hits that score as well as the last one of full search: ties count as one."""
    if not full:
        return 1.0
    return sum(score >= full[-1] * (1 - 1e-5) for score in own) / len(full)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--index", default="bench-memory")
    parser.add_argument("--queries", required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    args = parser.parse_args()
    queries = read_queries(args.queries, args.limit)
    engine = open_engine(args.url)
    clock = Clock(engine.connection.transport)
    engine.connection.transport = clock
    engine.search(args.index, [SearchRequest(q, k=args.k, documents=False) for q in queries])

    ways = {"full": None}
    ways |= {f"ratio {r}, expansion {e:g}": TwoStep(r, e) for r, e in SWEEP}
    wall = {name: [] for name in ways}
    took = {name: [] for name in ways}
    best = {name: [] for name in ways}
    for number, query in enumerate(queries):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            request = SearchRequest(query, k=args.k, documents=False, two_step=ways[name])
            began = time.perf_counter()
            hits = engine.search(args.index, [request])[0]
            wall[name].append((time.perf_counter() - began) * 1000)
            took[name].append(clock.took)
            best[name].append([hit.score for hit in hits])
    stats = engine.stats(args.index)
    terms = statistics.fmean(map(len, queries))
    print(
        f"{engine.server.flavour} {engine.server.version_text}, {stats.documents:,} documents, "
        f"{stats.bytes / 1e6:,.0f} MB, {len(queries)} queries of {terms:.0f} terms, k {args.k}.\n"
    )
    over = statistics.median(w - t for w, t in zip(wall["full"], took["full"], strict=True))
    print(f"Client over the server's took, full search: median {over:.1f} ms.\n")
    print(f"| search | median ms | p95 ms | speed-up | recall@{args.k} of full |")
    print("|---|---:|---:|---:|---:|")
    for name in ways:
        speed = statistics.median(a / b for a, b in zip(wall["full"], wall[name], strict=True))
        shared = statistics.fmean(
            as_good(full, own) for full, own in zip(best["full"], best[name], strict=True)
        )
        p95 = sorted(wall[name])[int(0.95 * len(queries))]
        print(
            f"| {name} | {statistics.median(wall[name]):.1f} | {p95:.1f} | {speed:.2f} "
            f"| {shared:.3f} |"
        )
    engine.close()


if __name__ == "__main__":
    main()
