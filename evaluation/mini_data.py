"""Lay out the training text of the default model, from freely licensed collections alone.

    python evaluation/mini_data.py --data COLLECTIONS --out mini

COLLECTIONS holds squad_sent, medquad, acl_titles, tldr_cmds and msdocs_scale, each in BEIR layout
with ``triplets.bm25.jsonl.gz`` (query, positive, mined negative) where it has training queries.
What is written is what ``pipelines/sparse-ir-mini.yaml`` reads. Only training queries are taken;
of acl_titles only papers of 2016 and later, as earlier ones are not free for commercial use.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
from pathlib import Path

from sparse_ir.data.examples import ScoredExample, write_examples
from sparse_ir.data.spans import sentences
from sparse_ir.data.trec import read_qrels
from sparse_ir.training.pseudo_queries import PseudoQuerySettings, pseudo_queries

FIRST_YEAR = 2016
PASSAGES_EVERY = 8  # of the technical documentation, every eighth passage
MIN_SENTENCES = 3  # an abstract with fewer gives no wordy query
TITLE_ALONE = 0.5  # share of the papers that are found by their title
MADE_UP_EVERY = 3  # of the queries made up, every third where there are real ones too


def rows(path: Path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def write(path: Path, items) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=5) as stream:
        for item in items:
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
            count += 1
    return count


def corpus_of(folder: Path) -> Path:
    return next(p for p in (folder / "corpus.jsonl", folder / "corpus.jsonl.gz") if p.exists())


def query_texts(source: Path) -> dict[str, str]:
    return {row["_id"]: row["text"] for row in rows(source / "queries.jsonl")}


def acl_year(doc_id: str) -> int:
    """The year of an ACL Anthology id: 2020.acl-main.1, or P19-1001."""
    if doc_id[:4].isdigit():
        return int(doc_id[:4])
    short = int(doc_id[1:3])
    return short + (2000 if short < 50 else 1900)


def asked(source: Path, keep) -> list[ScoredExample]:
    """Training queries with their positives and mined negatives; the recipe's teachers score."""
    texts = query_texts(source)
    negatives: dict[tuple[str, str], list[str]] = {}
    for row in rows(source / "triplets.bm25.jsonl.gz"):
        if keep(row["pos"]):
            found = negatives.setdefault((row["qid"], row["pos"]), [])
            found += [row["neg"]] * keep(row["neg"])
    return [
        ScoredExample(query_id, (positive, *found), query=texts[query_id])
        for (query_id, positive), found in negatives.items()
    ]


def made_up(corpus: Path) -> list[ScoredExample]:
    """Titles, sentences and crops of the documents as queries; the documents stay whole."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pseudo.jsonl"
        pseudo_queries(
            PseudoQuerySettings(
                corpus=str(corpus), out=str(out), kinds=("title", "sentence", "crop"), keep_span=1.0
            )
        )
        return [ScoredExample(r["query_id"], (r["documents"][0],), r["query"]) for r in rows(out)]


def lay_out(source: Path, out: Path, *, keep=lambda doc_id: True, every=1, pseudo=True) -> None:
    kept = (r for r in rows(corpus_of(source)) if keep(r["_id"]))
    documents = write(
        out / "corpus.jsonl.gz", (row for i, row in enumerate(kept) if i % every == 0)
    )
    real = asked(source, keep) if (source / "triplets.bm25.jsonl.gz").exists() else []
    made = made_up(out / "corpus.jsonl.gz") if pseudo else []
    made = made[:: MADE_UP_EVERY if real else 1]
    write_examples(out / "examples.jsonl.gz", [*real, *made])
    print(f"{out.name}: {documents:,} documents, {len(real):,} queries, {len(made):,} made up")


def papers(source: Path, out: Path) -> None:
    """Wordy queries over documents that are often a title alone: a sentence asks for its paper.

    Half of the papers are found by title, the others by title and the start of the abstract. Of a
    paper with its abstract the sentence is left out there, or words would match by themselves.
    """
    judged = read_qrels(source / "qrels" / "train.tsv")
    of_training = {doc_id for grades in judged.values() for doc_id in grades}
    queries = query_texts(source)
    rng = random.Random(0)
    documents, examples = [], []
    for row in rows(corpus_of(source)):
        doc_id = row["_id"]
        title = queries.get(f"q-{doc_id}")
        if doc_id not in of_training or title is None or acl_year(doc_id) < FIRST_YEAR:
            continue
        parts = [row["text"][slice(*span)] for span in sentences(row["text"])]
        if len(parts) < MIN_SENTENCES:
            continue
        at = rng.randrange(len(parts))
        asked = " ".join(parts[at : at + rng.choice((1, 1, 2))])
        rest = " ".join(part for part in parts if part not in asked)
        text = title if rng.random() < TITLE_ALONE else f"{title} {rest}"
        documents.append({"_id": doc_id, "title": "", "text": text})
        examples.append(ScoredExample(f"s-{doc_id}", (doc_id,), asked))
    write(out / "corpus.jsonl.gz", documents)
    write_examples(out / "examples.jsonl.gz", examples)
    print(f"{out.name}: {len(documents):,} documents and queries")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for name in ("squad_sent", "tldr_cmds"):
        lay_out(arguments.data / name, arguments.out / name, pseudo=False)
    lay_out(arguments.data / "medquad", arguments.out / "medquad")
    lay_out(
        arguments.data / "acl_titles",
        arguments.out / "acl_titles",
        keep=lambda doc_id: acl_year(doc_id) >= FIRST_YEAR,
    )
    papers(arguments.data / "acl_titles", arguments.out / "papers")
    lay_out(arguments.data / "msdocs_scale", arguments.out / "msdocs", every=PASSAGES_EVERY)


if __name__ == "__main__":
    main()
