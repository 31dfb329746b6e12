"""How the time of a query grows with the documents of a shard.

    python evaluation/speed/search_scale.py --url URL --vectors INDEX --queries QUERIES

INDEX is an embedded index of the bundled model whose vectors are real ones, repeated with jitter as
in ``cluster_bulk.py``; QUERIES a file of query texts. One shard grows step by step; at each size
the same queries are asked one by one, without documents, and the server's own time is noted. The
line through the sizes gives ``--fixed-ms`` and ``--ms-per-million`` of ``evaluation/scaling.py``.
"""

from __future__ import annotations

import argparse
import itertools
import statistics

import numpy as np
from cluster_bulk import create, entries, pool_of
from cluster_search import Clock

from sparse_ir import load_encoder
from sparse_ir.data.corpora import read_queries
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine
from sparse_ir.vectors import to_terms

BATCH = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--documents", type=int, nargs="+", default=[30_000, 100_000, 300_000])
    parser.add_argument("-k", type=int, default=10)
    args = parser.parse_args()
    encoder = load_encoder()
    texts = [query.text for query in itertools.islice(read_queries(args.queries), args.limit)]
    queries = to_terms(encoder.encode_queries(texts), encoder.vocabulary)
    pool = pool_of(args.vectors, 20_000)
    engine = open_engine(args.url)
    name = "bench-scale"
    physical = create(engine, name, encoder.vocabulary)
    print(f"{np.mean([len(v) for _, v in pool]):.0f} terms a document, "
          f"{np.mean([len(q) for q in queries]):.0f} a query, k {args.k}", end="\n\n")  # fmt: skip
    print("| documents | median ms | p95 ms |\n|---:|---:|---:|")
    done, medians = 0, []
    try:
        for size in args.documents:
            for start in range(done, size, BATCH):
                failures = engine.add(physical, entries(pool, start, min(BATCH, size - start)))
                if list(failures):
                    raise SystemExit("the server refused documents")
            done = size
            engine.flush(physical)
            engine.publish(name, physical, drop_previous=False)
            took = ask(engine, name, queries, args.k)
            medians.append(statistics.median(took))
            print(f"| {size:,} | {medians[-1]:.1f} | {np.percentile(took, 95):.1f} |", flush=True)
    finally:
        engine.drop(physical)
        engine.close()
    slope, fixed = np.polyfit(args.documents, medians, 1)
    print(f"\nfixed {fixed:.2f} ms, {slope * 1e6:.2f} ms a million documents")


def ask(engine, name, queries, k):
    """Milliseconds on the server of each query, the second time it is asked."""
    clock = engine.connection.transport = Clock(engine.connection.transport)
    took = []
    for again in (False, True):
        for query in queries:
            engine.search(name, [SearchRequest(query, k=k, documents=False)])
            if again:
                took.append(clock.took)
    engine.connection.transport = clock.transport
    return took


if __name__ == "__main__":
    main()
