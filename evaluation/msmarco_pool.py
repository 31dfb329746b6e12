"""Write a collection in BEIR layout as the raw files of MS MARCO: the same road, a small corpus.

The recipe ``msmarco-passage`` reads what Microsoft publishes. With this script it runs on a pool of
some thousand passages as well, through the same readers:

    python evaluation/msmarco_pool.py BEIR-FOLDER msmarco [--passages 300] [--queries 5]
    sparse-ir run msmarco-passage --set train.optimizer.steps=100 …

The folder needs qrels/{train,dev,test}.tsv and triplets.ids.tsv (query, positive, negative). Its
test split stands for TREC DL 2019. Numbers on a pool are no numbers of MS MARCO: there are fewer
passages to confuse the right one with.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.examples_tsv import tsv_lines
from sparse_ir.data.files import writing
from sparse_ir.data.trec import read_qrels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparse_ir.types import Qrels

# Where each split goes: its queries, its judgements.
PLACES = {
    "train": [("queries.train.tsv", "qrels.train.tsv")],
    "dev": [("queries.dev.tsv", "qrels.dev.tsv"), ("queries.dev.small.tsv", "qrels.dev.small.tsv")],
    "test": [("msmarco-test2019-queries.tsv", "2019qrels-pass.txt")],
}
TRIPLES = "qidpidtriples.train.full.2.tsv.gz"


def main() -> None:
    """Write the files and say what they hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="collection in BEIR layout, with triplets")
    parser.add_argument("out", type=Path, help="folder for the raw files")
    parser.add_argument("--passages", type=int, help="the first so many, and all that are named")
    parser.add_argument("--queries", type=int, help="the first so many judged queries of a split")
    asked = parser.parse_args()

    texts = {q.query_id: q.text for q in read_queries(str(asked.source / "queries.jsonl"))}
    named: set[str] = set()
    train: set[str] = set()
    for split, places in PLACES.items():
        qrels = _first(
            read_qrels(open_dataset(str(asked.source), split=split).qrels), asked.queries
        )
        named.update(doc_id for grades in qrels.values() for doc_id in grades)
        train = set(qrels) if split == "train" else train
        for queries_name, qrels_name in places:
            _write(asked.out / queries_name, ((q, texts[q]) for q in qrels))
            blank = " " if qrels_name.endswith(".txt") else "\t"  # as each is published
            _write(
                asked.out / qrels_name,
                ((q, "0", d, str(g)) for q, grades in qrels.items() for d, g in grades.items()),
                blank,
            )
    triples = [row for _, row in tsv_lines(str(asked.source / "triplets.ids.tsv"))]
    triples = [row for row in triples if row[0] in train]
    named.update(doc_id for row in triples for doc_id in row[1:])
    _write(asked.out / TRIPLES, triples)
    count = _write_collection(asked.source, asked.out, named, asked.passages)
    print(f"{asked.out}: {count:,} passages, {len(triples):,} triples")


def _first(qrels: Qrels, count: int | None) -> Qrels:
    return dict(list(qrels.items())[:count])


def _write(path: Path, rows: Iterable[Iterable[str]], separator: str = "\t") -> None:
    with writing(path) as stream:
        stream.writelines(separator.join(row) + "\n" for row in rows)


def _write_collection(source: Path, out: Path, named: set[str], passages: int | None) -> int:
    written = 0
    with writing(out / "collection.tsv") as stream:
        for place, document in enumerate(read_documents(str(source))):
            if passages is None or place < passages or document.doc_id in named:
                # one passage a line and a tab between the columns: neither may stand in a text
                stream.write(f"{document.doc_id}\t{' '.join(document.content.split())}\n")
                written += 1
    return written


if __name__ == "__main__":
    main()
