"""The embedded engine's scores against the exact dot product of the memory engine.

    python evaluation/parity.py --index NAME --queries FILE [-k 1000] [--out evaluation/results]

Copies an index of the embedded engine into the memory engine, answers every query with both, and
compares hits, order and scores; then deletes every tenth document from both and compares again.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path

from sparse_ir import Searcher, SearchRequest, SearchSettings, __version__
from sparse_ir.data.corpora import read_queries
from sparse_ir.engines.opening import open_engine
from sparse_ir.searching.query import weigh_queries


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("-k", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    queries = list(read_queries(options.queries))
    with Searcher(SearchSettings(index=options.index)) as searcher:
        weighed = weigh_queries(queries, searcher.encoder)
        stamp, vocabulary = (
            searcher.engine.describe(options.index),
            searcher.engine.vocabulary(options.index),
        )
        entries = list(searcher.engine.scan(options.index))
    requests = [SearchRequest(terms, options.k, documents=False) for terms in weighed]
    copies = [copy(address, stamp, vocabulary, entries) for address in ("embedded", "memory::")]
    rows = [("all documents", *compare(copies, requests))]
    gone = sorted(entry.document.doc_id for entry in entries)[::10]
    deleted = [engine.delete("parity", gone) for engine in copies]
    if deleted != [len(gone)] * 2:
        raise SystemExit(f"deleted {deleted} of {len(gone)}")
    rows.append((f"without {len(gone):,} deleted", *compare(copies, requests)))
    for engine in copies:
        engine.drop("parity")
        engine.close()
    text = page(options, len(entries), len(queries), rows)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "parity.md").write_text(text, encoding="utf-8")
    print(text)


def copy(address, stamp, vocabulary, entries):
    engine = open_engine(address)
    if engine.exists("parity"):
        engine.drop("parity")
    build = engine.create("parity", stamp, vocabulary)
    failures = list(engine.add(build, entries))
    if failures:
        raise SystemExit(f"{address} refused {failures[0]}")
    engine.publish("parity", build)
    return engine


def compare(engines, requests):
    found = [engine.search("parity", requests) for engine in engines]
    hits = differing = 0
    largest = 0.0
    for ours, exact in zip(*found, strict=True):
        hits += len(exact)
        differing += [h.doc_id for h in ours] != [h.doc_id for h in exact]
        scores = {h.doc_id: h.score for h in exact}
        for hit in ours:
            if hit.doc_id in scores:
                reference = scores[hit.doc_id]
                largest = max(largest, abs(hit.score - reference) / reference)
    return hits, differing, largest


def page(options, documents, queries, rows):
    lines = [
        "# The embedded engine against the exact dot product",
        "",
        f"`python evaluation/parity.py --index {options.index} --queries FILE -k {options.k}`",
        "",
        f"{datetime.now(timezone.utc).date().isoformat()}, sparse-ir {__version__}: index "
        f"{options.index}, {documents:,} documents, {queries:,} queries.",
        "",
        "| | hits compared | queries with another list or order | largest relative difference |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {what} | {hits:,} | {diff} | {error:.1e} |" for what, hits, diff, error in rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
