"""Milliseconds to encode one query: by the model, and by a table of token weights.

    python evaluation/speed/query_latency.py QUERIES [--model FOLDER] [--count 500]
        [--sides model,inference-free] [--at-most MILLISECONDS]

QUERIES is any file of queries that sparse-ir reads. Each query is encoded alone, after 20 to warm
up, with one thread and with two, in a fresh process each; also the time and memory of loading. With
--at-most it exits with 1 if a side's median, of any number of threads, takes longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import islice

import numpy as np

WARM_UP = 20


def measure(arguments):
    import psutil

    from sparse_ir.data.corpora import read_queries
    from sparse_ir.models.loading import load_encoder

    queries = [q.text for q in islice(read_queries(arguments.queries), arguments.count)]
    began = time.perf_counter()
    encoder = load_encoder(arguments.model, device="cpu", queries=arguments.measure)
    encoder.encode_queries(queries[:1])
    loading = time.perf_counter() - began
    for text in queries[:WARM_UP]:
        encoder.encode_queries([text])
    taken = []
    for text in queries:
        began = time.perf_counter()
        encoder.encode_queries([text])
        taken.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(taken, [50, 99])
    memory = psutil.Process().memory_info().rss / 2**20
    print(json.dumps({"p50": p50, "p99": p99, "loading": loading, "memory": memory,
                      "torch": "torch" in sys.modules}))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("queries")
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="model,inference-free", help="comma-separated")
    parser.add_argument("--at-most", type=float, metavar="MS", help="the longest median allowed")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments)
        return
    print("| query side | threads | p50 ms | p99 ms | loading s | memory MB | torch |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    cases = [(side, threads) for side in arguments.sides.split(",") for threads in (1, 2)]
    found = {case: [] for case in cases}
    for _ in range(arguments.rounds):
        for side, threads in cases:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", side]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            found[side, threads].append(json.loads(done.stdout.splitlines()[-1]))
    slow = []
    for (side, threads), rounds in found.items():
        middle = {name: np.median([one[name] for one in rounds]) for name in rounds[0]}
        print(
            f"| {side} | {threads} | {middle['p50']:.2f} | {middle['p99']:.2f} | "
            f"{middle['loading']:.1f} | {middle['memory']:.0f} | "
            f"{'yes' if middle['torch'] else 'no'} |"
        )
        if arguments.at_most is not None and middle["p50"] > arguments.at_most:
            slow.append(f"{side} with {threads} threads takes {middle['p50']:.2f} ms")
    if slow:
        raise SystemExit(f"over {arguments.at_most:g} ms: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
