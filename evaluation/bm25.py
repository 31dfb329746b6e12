"""BM25 as an encoder against the BM25 figures that came with the collections.

    python evaluation/bm25.py --data FOLDER [NAME ...]

FOLDER holds one folder in BEIR layout for each collection. Scoring is exact: CSR product, top 100.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.trec import read_qrels
from sparse_ir.evaluating.metrics import score_run
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.vectors import SparseBatch, concatenate, top_k

# nDCG@10 and R@100 (grade 1 or more) on test, as published with the collections.
REFERENCE = {
    "acl_titles": (0.8437, 0.9720),
    "cacm": (0.4682, 0.6362),
    "cisi": (0.3611, 0.4310),
    "cranfield": (0.4895, 0.7355),
    "jaquad": (0.8747, 0.9960),
    "medquad": (0.5510, 0.9004),
    "msdocs_scale": (0.4599, 0.9010),
    "msmarco_v1": None,  # the published figure is of another query set
    "msmarco_v2_dl21": (0.4140, 0.5471),
    "nfcorpus_filtered": (0.3295, 0.2548),
    "nq_gold": (0.8740, 0.9860),
    "qed_nq": (0.9134, 0.9889),
    "squad_sent": (0.6960, 0.9080),
    "stackfaq": (0.6940, 0.9595),
    "tldr_cmds": (0.3660, 0.6770),
}
LANGUAGES = {"jaquad": "japanese"}
FIRST_QUERIES = {"jaquad": 2000}  # the published figure is of the first 2,000 test queries
DEPTH = 100
METRICS = ("ndcg@10", "recall@100", "recall@100-l2", "mrr@10")


class Row(NamedTuple):
    """One collection, measured."""

    name: str
    documents: int
    queries: int
    terms: float  # per document vector
    fit_seconds: float
    encode_seconds: float
    search_seconds: float
    mean: dict[str, float]


def measure(data: Path, name: str, *, first_queries: int | None = None) -> Row:
    dataset = open_dataset(str(data / name))
    qrels = dict(islice(read_qrels(dataset.qrels).items(), first_queries))
    start = time.perf_counter()
    encoder = Bm25Encoder.fit(
        (document.content for document in read_documents(dataset.corpus)),
        language=LANGUAGES.get(name, "english"),
    )
    fitted = time.perf_counter()
    documents = encode(encoder, dataset.corpus)
    encoded = time.perf_counter()
    queries = [query for query in read_queries(dataset.queries) if query.query_id in qrels]
    batch = encoder.encode_queries([q.text for q in queries], ids=[q.query_id for q in queries])
    hits = top_k(batch, documents, DEPTH)
    searched = time.perf_counter()
    run = {query_id: dict(found) for query_id, found in zip(batch.ids, hits, strict=True)}
    return Row(
        name,
        len(documents),
        len(qrels),
        documents.weights.nnz / len(documents),
        fitted - start,
        encoded - fitted,
        searched - encoded,
        score_run(run, qrels, METRICS).mean,
    )


def encode(encoder: Bm25Encoder, corpus: str) -> SparseBatch:
    documents = read_documents(corpus)
    batches = []
    while part := list(islice(documents, 512)):
        texts = [document.content for document in part]
        batches.append(encoder.encode_documents(texts, ids=[d.doc_id for d in part]))
    return concatenate(batches)


def table(rows: list[tuple[Row, tuple[float, float] | None]]) -> list[str]:
    lines = [
        "| collection | documents | queries | nDCG@10 given | ours | difference | R@100 given "
        "| ours | difference | MRR@10 | terms per document | fit s | encode s | search s |",
        "|---|" + "---:|" * 13,
    ]
    for row, given in rows:
        ndcg, recall = row.mean["ndcg@10"], row.mean["recall@100"]
        cells = [row.name, f"{row.documents:,}", f"{row.queries:,}"]
        for ours, figure in ((ndcg, given and given[0]), (recall, given and given[1])):
            cells.append(f"{figure:.4f}" if figure else "")
            cells.append(f"{ours:.4f}")
            cells.append(f"{round(ours - figure, 4) + 0.0:+.4f}" if figure else "")
        cells += [f"{row.mean['mrr@10']:.4f}", f"{row.terms:.0f}"]
        cells += [f"{s:.1f}" for s in (row.fit_seconds, row.encode_seconds, row.search_seconds)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(REFERENCE), metavar="NAME")
    parser.add_argument("--data", type=Path, required=True, help="Folder of the collections.")
    options = parser.parse_args()
    unknown = set(options.names) - set(REFERENCE)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(REFERENCE)}")
    rows: list[tuple[Row, tuple[float, float] | None]] = []
    for name in options.names:
        reference = REFERENCE[name]
        if name in FIRST_QUERIES:
            first = measure(options.data, name, first_queries=FIRST_QUERIES[name])
            rows.append((first._replace(name=f"{name} (first {first.queries:,})"), reference))
        rows.append((measure(options.data, name), reference))
        print(f"{name} done", file=sys.stderr)
    lines = table(rows)
    for row, _ in rows:
        if row.name == "msmarco_v1":
            lines += ["", f"msmarco_v1, grade 2 or more: R@100 {row.mean['recall@100-l2']:.4f}."]
    print("\n".join(lines))
    worst = max(
        abs(row.mean[metric] - figure)
        for row, given in rows
        if given
        for metric, figure in zip(("ndcg@10", "recall@100"), given, strict=True)
    )
    print(f"largest difference: {worst:.4f}")
    return int(worst > 0.01)


if __name__ == "__main__":
    sys.exit(main())
