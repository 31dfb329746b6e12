"""What all runs of a campaign start from: texts, judgements, a tiny model, its vectors."""

from __future__ import annotations

import json
import random
import string
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tiny_bert import make_bert

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = 400
CHUNK = 20
WORDS = tuple(
    a + b + c + d
    for a, b, c, d in zip(
        "bdfgklmnprstv" * 12, "aeiou" * 32, "lmnrst" * 26, "aeiou" * 32, strict=False
    )
)
SPARSE_IR = (sys.executable, "-m", "sparse_ir")


class World(NamedTuple):
    """Files that runs read and never change.

    Attributes:
        dataset: A BEIR folder of ``DOCUMENTS`` documents.
        changed: The same documents, some of them changed, removed and new.
        model: A random SPLADE model of two layers.
        training: Settings of a training run of seconds (YAML).
        seconds: Of each job without a fault.
        bytes: That each job writes.
        wanted: What each job makes without a fault.
    """

    folder: Path
    dataset: Path
    changed: Path
    model: Path
    training: Path
    seconds: dict[str, float]
    bytes: dict[str, int]
    wanted: dict[str, Any]

    @property
    def corpus(self) -> Path:
        """Its documents."""
        return self.dataset / "corpus.jsonl"

    @property
    def queries(self) -> Path:
        """Its queries."""
        return self.dataset / "queries.jsonl"


def make_world(folder: Path, seed: int) -> World:
    """Write everything."""
    dice = random.Random(seed)
    dataset = folder / "dataset"
    (dataset / "qrels").mkdir(parents=True)
    rows = [_document(f"d{i}", dice) for i in range(DOCUMENTS)]
    _write(dataset / "corpus.jsonl", rows)
    queries = [{"_id": f"q{i}", "text": " ".join(dice.choices(WORDS, k=3))} for i in range(20)]
    _write(dataset / "queries.jsonl", queries)
    judged = [f"{q['_id']}\td{dice.randrange(DOCUMENTS)}\t1\n" for q in queries for _ in range(3)]
    for split in ("train", "dev", "test"):
        path = dataset / "qrels" / f"{split}.tsv"
        path.write_text("query-id\tcorpus-id\tscore\n" + "".join(sorted(set(judged))))
    changed = folder / "changed.jsonl"
    kept = [row for row in rows if dice.random() < 0.9]
    again = [_document(str(row["_id"]), dice) if dice.random() < 0.4 else row for row in kept]
    _write(changed, [*again, *(_document(f"new{i}", dice) for i in range(60))])
    model = _make_model(folder / "model", seed)
    training = folder / "train.yaml"
    training.write_text(_TRAINING.format(model=model, dataset=dataset), encoding="utf-8")
    return World(folder, dataset, changed, model, training, {}, {}, {})


_TRAINING = """\
model: {{backbone: {model}, query_tokens: 12, document_tokens: 24, dropout: 0.1}}
examples: [{{source: {dataset}, layout: beir}}]
losses: {{in_batch: 1.0}}
sparsity: {{lambda_query: 0.01, lambda_document: 0.01}}
batch: {{queries: 8, negatives: 0}}
optimizer: {{steps: 60, learning_rate: 1.0e-3, warm_up_steps: 5}}
device: cpu
save_every: 10
keep: 2
log_every: 10
"""


def _document(doc_id: str, dice: random.Random) -> dict[str, object]:
    text = " ".join(dice.choices(WORDS, k=dice.randrange(5, 40)))
    return {"_id": doc_id, "title": dice.choice(WORDS), "text": text, "year": dice.randrange(99)}


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _make_model(folder: Path, seed: int) -> Path:
    import torch

    model = make_bert(folder, (*string.ascii_lowercase, *WORDS), seed=seed, length=48)
    with torch.no_grad():
        model.cls.predictions.bias -= 4.0  # sparse
    model.save_pretrained(folder)
    return folder
