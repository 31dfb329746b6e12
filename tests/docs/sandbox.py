"""What a reader has: articles, judged queries, triplets, small models, and a server."""

from __future__ import annotations

import gzip
import json
import shutil
import string
from typing import TYPE_CHECKING, Any, NamedTuple

from tiny_bert import make_bert

if TYPE_CHECKING:
    from pathlib import Path

ARTICLES = [
    (
        "bread",
        "Dense bread",
        "Why bread is dense: the dough was short of water or of time to rise.",
    ),
    ("starter", "Sourdough starter", "A sourdough starter is flour and water that ferment."),
    ("solar", "Solar power", "Solar panels turn light into power on the roof of a house."),
    ("brakes", "Vehicle brakes", "Brakes stop a car; a vehicle with worn brakes needs new ones."),
    ("shoes", "Running shoes", "Running shoes wear out after some hundred kilometres."),
    ("jaguar", "The jaguar", "The jaguar is a large cat, an animal of the forest, and no car."),
    ("wind", "Wind power", "Wind turbines make power where the wind is strong."),
    ("rye", "Rye bread", "Rye bread rises with a sourdough starter and keeps for a week."),
]
QUERIES = [
    ("q1", "why is my bread so dense", "bread"),
    ("q2", "sourdough starter", "starter"),
    ("q3", "solar power", "solar"),
    ("q4", "stop my car", "brakes"),
]


SETTINGS = """\
# What the pages leave to hours, in seconds.
train: {steps: 2}
adapt: {steps: 2, model: models/my-splade, set: [train.batch.queries=2]}
"""


class Models(NamedTuple):
    """Folders of tiny models: two SPLADE models, a backbone without a head, teachers."""

    splade: Path
    other: Path
    backbone: Path
    dense: Path
    cross_encoder: Path


def make_models(folder: Path) -> Models:
    """Make them, of random weights."""
    texts = " ".join(f"{title} {text}" for _, title, text in ARTICLES).lower()
    texts += " " + " ".join(text for _, text, _ in QUERIES)
    words = sorted({"".join(c for c in word if c.isalpha()) for word in texts.split()} - {""})
    letters = string.ascii_lowercase
    vocabulary = (*letters, *words, *(f"##{letter}" for letter in letters))

    def make(name: str, kind: str, seed: int, **more: Any) -> Path:
        make_bert(folder / name, vocabulary, kind, seed=seed, length=512, **more)
        return folder / name

    return Models(
        make("splade", "BertForMaskedLM", 1),
        make("other", "BertForMaskedLM", 2),
        make("backbone", "BertModel", 3),
        make("dense", "BertModel", 4),
        make("cross-encoder", "BertForSequenceClassification", 5, num_labels=1),
    )


def write_files(folder: Path, models: Models) -> None:
    """Write what the pages speak of."""
    folder.mkdir()
    rows = [
        {"id": i, "title": title, "text": text, "year": 2018 + n, "lang": "en"}
        for n, (i, title, text) in enumerate(ARTICLES)
    ]
    corpus = "".join(json.dumps(row) + "\n" for row in rows)
    queries = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text, _ in QUERIES)
    judged = "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t1\n" for q, _, d in QUERIES)
    triplets = "".join(
        f"{words}\t{text}\t{ARTICLES[(n + 1) % len(ARTICLES)][2]}\n"
        for n, (_, title, text) in enumerate(ARTICLES)
        for words in [title, *text.split()[:5]]
    )
    plain = {
        "articles.jsonl": corpus, "corpus.jsonl": corpus, "queries.jsonl": queries,
        "log.jsonl": queries, "qrels.tsv": judged, "qrels.txt": judged, "triplets.tsv": triplets,
        "queries.tsv": "".join(f"{i}\t{text}\n" for i, text, _ in QUERIES),
    }  # fmt: skip
    for name, text in plain.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus.encode()))
    for name in ("my-beir-folder", "data", "nfcorpus", "scifact", "msmarco", "folder"):
        (folder / name / "qrels").mkdir(parents=True)
        (folder / name / "corpus.jsonl").write_text(corpus, encoding="utf-8")
        (folder / name / "queries.jsonl").write_text(queries, encoding="utf-8")
        for split in ("train", "dev", "test"):
            (folder / name / "qrels" / f"{split}.tsv").write_text(judged, encoding="utf-8")
    (folder / "sparse-ir.yaml").write_text(SETTINGS, encoding="utf-8")
    shutil.copytree(models.splade, folder / "models" / "my-splade")
    table = {"bread": 1.5, "solar": 2.0, "power": 1.0, "car": 1.0}
    (folder / "models" / "my-splade" / "query_table.json").write_text(json.dumps(table))
    shutil.copytree(models.other, folder / "models" / "new")
