"""Searches an embedded index where torch is not installed: the same hits, and how long they take.

    python evaluation/without_torch.py CORPUS --queries QUERIES [--documents 500] [--count 200]
        [--model FOLDER] [--precision bf16] [--work FOLDER]

The documents are indexed here. Then uv makes an environment of docker/query-only.txt, what the
embedded engine needs and sparse-ir itself, without its dependencies, as docker/Dockerfile does. In
it `import torch` fails, and one process searches by the model's table of token weights: 20 queries
to warm up, then each alone. Its hits must be those that this environment finds with the same query
side. Prints milliseconds; ends with 1 where a hit differs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from sparse_ir.data.corpora import read_queries
from sparse_ir.searching.search import Searcher, SearchSettings

PROJECT = Path(__file__).resolve().parents[1]
ENGINE_NEEDS = ("filelock", "psutil", "qdrant-edge-py")
LEFT_OUT = ("torch", "transformers")
INDEX, HITS, WARM_UP = "without-torch", 10, 20


def make_environment(folder):
    """Install what a search needs, and no more; returns its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    constraints = ["--constraints", str(PROJECT / "constraints.txt")]
    wanted = ["--requirements", str(PROJECT / "docker" / "query-only.txt"), *ENGINE_NEEDS]
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    for command in (
        ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [*install, *constraints, *wanted],
        [*install, "--no-deps", "--reinstall-package", "sparse-ir", str(PROJECT)],
    ):
        subprocess.run(command, check=True)
    return python


def index(args, engine):
    from sparse_ir import IndexSettings, index_corpus

    settings = IndexSettings(
        corpus=args.corpus, index=INDEX, engine=engine, model=args.model, replace=True,
        precision=args.precision, limit=args.documents,
    )  # fmt: skip
    index_corpus(settings)


def find(args, engine):
    """Search by the table: each query's hits, and its milliseconds to encode and to search."""
    settings = SearchSettings(index=INDEX, engine=engine, query_encoder="inference-free", k=HITS)
    queries = list(islice(read_queries(args.queries), args.count))
    found, taken = {}, []
    with Searcher(settings) as searcher:
        for query in queries[:WARM_UP]:
            searcher.search([query])
        for query in queries:
            began = time.perf_counter()
            weighed = searcher.weigh([query])
            encoded = time.perf_counter()
            (hits,) = searcher.answer([query], weighed)
            taken.append((1000 * (encoded - began), 1000 * (time.perf_counter() - encoded)))
            found[query.query_id] = [(hit.doc_id, hit.score) for hit in hits]
    return found, taken


def measure(args, engine):
    """What the process without torch does."""
    for name in LEFT_OUT:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        raise SystemExit(f"{name} is installed where it should not be")
    found, taken = find(args, engine)
    print(json.dumps({"found": found, "taken": taken}))


def report(taken, documents):
    times = np.asarray(taken)
    print(f"{len(times):,} queries, {documents:,} documents, {HITS} hits, one process")
    print("| | median ms | p99 ms |\n| --- | ---: | ---: |")
    for name, part in (("encode", times[:, 0]), ("search", times[:, 1]), ("both", times.sum(1))):
        middle, late = np.percentile(part, [50, 99])
        print(f"| {name} | {middle:.2f} | {late:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--queries", required=True)
    parser.add_argument("--documents", type=int, help="all by default")
    parser.add_argument("--count", type=int, default=200, help="queries")
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--work", help="keep environment and index in this folder")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args, args.measure)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(args.work or temporary).absolute()
        engine = f"embedded:{work / 'indexes'}"
        index(args, engine)
        python = make_environment(work / "venv")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [str(python), __file__, *sys.argv[1:], "--measure", engine],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        alone = json.loads(done.stdout)
        wanted, _ = find(args, engine)
        with Searcher(SearchSettings(index=INDEX, engine=engine)) as searcher:
            documents = searcher.engine.stats(INDEX).documents
    report(alone["taken"], documents)
    found = {q: [(doc_id, score) for doc_id, score in hits] for q, hits in alone["found"].items()}
    other = sum(found[query_id] != hits for query_id, hits in wanted.items())
    print(f"torch and transformers: not installed; queries with other hits or scores: {other}")
    sys.exit(1 if other else 0)


if __name__ == "__main__":
    main()
