"""1,000 real SPLADE++ and ELSER queries through an engine, against the truncated dot product.

    python evaluation/verify_rally.py --queries queries.json.gz --url http://localhost:9200

The file is queries.json.gz of the track msmarco-passage-ranking of elastic/rally-tracks: 1,000 MS
MARCO queries with the term weights of both models, keyed by BERT token id. A document is made of
four of them: of each term the largest weight, times a jitter. Every document is scored for every
query, and the first 10 hits of every query are held against the order computed here.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from sparse_ir.engines.addresses import merge
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import Stamp
from sparse_ir.inspecting.verify import verify_vectors
from sparse_ir.inspecting.verify_scores import WeighedQuery, dot
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine
    from sparse_ir.types import SparseVector

MODELS = {"SPLADE++ ED": "text_expansion_splade", "ELSER": "text_expansion_elser"}
INDEX = "verify-rally"
PARTS = 4
DEPTH = 10
TIES = 1e-5
HEAD = (
    "| model | queries (terms) | documents (terms) | weights | scores | equal to 1e-5 "
    "| largest relative error | same first 10 | findings | seconds |\n" + "|---" * 10 + "|"
)


def make_documents(vectors: list[SparseVector], count: int) -> dict[str, SparseVector]:
    rng = random.Random(0)
    documents = {}
    for number in range(count):
        vector: dict[str, float] = {}
        for part in rng.sample(vectors, PARTS):
            for term, weight in part.items():
                vector[term] = max(vector.get(term, 0.0), weight)
        documents[f"d{number}"] = {t: w * rng.uniform(0.8, 1.25) for t, w in vector.items()}
    return documents


def build(engine: Engine, documents: dict[str, SparseVector]) -> None:
    vocabulary = sorted({term for vector in documents.values() for term in vector}, key=int)
    hashed = vocabulary_hash(vocabulary)
    stamp = Stamp("rally", "rally", ("rally",), hashed, len(vocabulary), "", "", "", "")
    physical = engine.create(INDEX, stamp, vocabulary)
    entries = (Entry(Document(doc_id, ""), vector) for doc_id, vector in documents.items())
    failures = list(engine.add(physical, entries))
    if failures:
        sys.exit(f"{len(failures)} documents were refused: {failures[0].reason}")
    engine.publish(INDEX, physical)


def same_order(
    engine: Engine, documents: dict[str, SparseVector], queries: list[WeighedQuery]
) -> int:
    """How many queries have the first 10 hits computed here, up to equal scores."""
    kept = {doc_id: engine.kept(vector) for doc_id, vector in documents.items()}
    requests = [SearchRequest(query.terms, DEPTH, documents=False) for query in queries]
    same = 0
    for query, hits in zip(queries, engine.search(INDEX, requests), strict=True):
        scores = {doc_id: dot(query.terms, vector) for doc_id, vector in kept.items()}
        best = sorted((s for s in scores.values() if s > 0), reverse=True)[:DEPTH]
        same += len(hits) == len(best) and all(
            abs(scores[hit.doc_id] - score) <= TIES * score
            for hit, score in zip(hits, best, strict=True)
        )
    return same


def measure(engine: Engine, rows: list[dict[str, Any]], name: str, count: int) -> str:
    vectors = [row[MODELS[name]] for row in rows]
    queries = [WeighedQuery(row["id"], v) for row, v in zip(rows, vectors, strict=True)]
    documents = make_documents(vectors, count)
    build(engine, documents)
    start = time.perf_counter()
    report, causes, (weights, _) = verify_vectors(engine, INDEX, documents, queries)
    same = same_order(engine, documents, queries)
    seconds = time.perf_counter() - start
    for finding in [*causes, *report.findings]:
        print(finding, file=sys.stderr)
    terms = sum(map(len, vectors)) / len(vectors)
    engine.drop(INDEX)
    return (
        f"| {name} | {len(queries):,} ({terms:.0f}) | {count:,} ({weights / count:.0f}) | "
        f"{weights:,} | {report.compared:,} | {report.exact:,} | {report.largest_error:.1e} | "
        f"{same:,} | {len(causes) + len(report.findings)} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", required=True, help="queries.json.gz of the track")
    parser.add_argument("--engine")
    parser.add_argument("--url")
    parser.add_argument("--documents", type=int, default=300)
    arguments = parser.parse_args()
    with gzip.open(arguments.queries) as stream:
        rows = json.load(stream)
    address = merge(arguments.engine, arguments.url)
    engine = open_engine(address, options=ClusterOptions(replicas=0))
    try:
        print(f"{engine.address}\n")
        print(HEAD)
        for name in MODELS:
            print(measure(engine, rows, name, arguments.documents), flush=True)
    finally:
        engine.close()


if __name__ == "__main__":
    main()
