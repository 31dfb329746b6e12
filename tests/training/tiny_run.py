"""Settings of a run that takes seconds: a tiny BERT, twelve pairs of words."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

from tiny_bert import make_bert

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("the", "cat", "sat", "on", "mat", "run", "dog", "a", "b", "c", "d", "e")
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"),
    *string.ascii_lowercase,
    *(f"##{letter}" for letter in string.ascii_lowercase),
    *(word for word in WORDS if len(word) > 1),
)


def make_backbone(folder: Path, *, seed: int = 0, width: int = 32, head: bool = True) -> Path:
    """Save a random BERT of two layers, with or without a masked-LM head, and its tokenizer."""
    kind = "BertForMaskedLM" if head else "BertModel"
    make_bert(folder, VOCABULARY, kind, seed=seed, length=32, width=width)
    return folder


def write_collection(folder: Path) -> Path:
    """A BEIR folder: query "x" is answered by document "x x y", y being the next word."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [f"{w} {w} {WORDS[(i + 1) % len(WORDS)]}" for i, w in enumerate(WORDS)]
    corpus = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts)]
    queries = [{"_id": f"q{i}", "text": word} for i, word in enumerate(WORDS)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels").mkdir(exist_ok=True)
    judged = "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(len(WORDS)))
    for split in ("train", "dev"):
        (folder / "qrels" / f"{split}.tsv").write_text(judged, encoding="utf-8")
    return folder


def settings(backbone: Path, collection: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A run of 20 steps without dropout, as YAML would give it."""
    values: dict[str, Any] = {
        "model": {
            "backbone": str(backbone),
            "query_tokens": 16,
            "document_tokens": 16,
            "dropout": 0.0,
        },
        "out": str(out),
        "examples": [{"source": str(collection), "layout": "beir"}],
        "losses": {"in_batch": 1.0},
        "sparsity": {"lambda_query": 0.01, "lambda_document": 0.01},
        "batch": {"queries": 6, "negatives": 0},
        "optimizer": {"steps": 20, "learning_rate": 1e-3, "warm_up_steps": 2},
        "device": "cpu",
        "save_every": 5,
        "log_every": 5,
    }
    for path, value in changes.items():
        inner, _, name = path.partition("__")
        if name:
            values.setdefault(inner, {})[name] = value
        else:
            values[inner] = value
    return values
