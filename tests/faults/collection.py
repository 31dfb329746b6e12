"""A seeded collection on disk, and what every search of it must answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.data.shard_manifest import ShardManifest
from sparse_ir.data.shards import finish_shards, start_shards, write_shard
from sparse_ir.engines.fields import truncate_vector
from sparse_ir.vectors import from_terms, vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# below the 1,024 clauses that OpenSearch takes, so that one query can ask for every term
VOCABULARY = (*(f"term{i}" for i in range(797)), "a.b", "50%", "\N{DROMEDARY CAMEL}")
TERMS = 100
RELATIVE = 1e-5


class Collection(NamedTuple):
    """Documents with their vectors.

    Attributes:
        corpus: The documents as JSONL.
        shards: The folder of their vectors.
        kept: Id -> term -> weight, as an index keeps it.
    """

    corpus: Path
    shards: Path
    kept: Mapping[str, Mapping[str, float]]

    def scores(self, query: Mapping[str, float]) -> dict[str, float]:
        """Every document's score, computed here."""
        return {
            doc_id: sum(weight * vector[t] for t, weight in query.items() if t in vector)
            for doc_id, vector in self.kept.items()
        }

    def top(self, query: Mapping[str, float], k: int) -> list[tuple[str, float]]:
        """The best documents, by score."""
        return sorted(self.scores(query).items(), key=lambda hit: (-hit[1], hit[0]))[:k]


def make_collection(
    folder: Path,
    documents: int,
    *,
    seed: int,
    metadata: Mapping[str, Mapping[str, object]] | None = None,
    terms: Mapping[str, str] | None = None,
) -> Collection:
    """Write ``documents`` documents of about 100 terms.

    Args:
        folder: Is made.
        documents: Named d0, d1, …
        seed: Of the weights.
        metadata: Id -> what to add to its row.
        terms: Id -> one further term of its vector.
    """
    dice = np.random.default_rng(seed)
    extra = dict(terms or {})
    vocabulary = (*VOCABULARY, *extra.values())
    columns = {term: i for i, term in enumerate(vocabulary)}
    rows, vectors = [], []
    for i in range(documents):
        doc_id = f"d{i}"
        count = int(dice.integers(TERMS - 20, TERMS + 20))
        chosen = dice.choice(len(VOCABULARY), count, replace=False)
        weights = np.exp(dice.normal(-0.5, 0.8, count)).astype(np.float32)
        vector = {VOCABULARY[t]: float(w) for t, w in zip(chosen, weights, strict=True)}
        vectors.append(vector | ({extra[doc_id]: 1.0} if doc_id in extra else {}))
        rows.append({"_id": doc_id, "text": f"Document {i}.", **(metadata or {}).get(doc_id, {})})
    corpus, shards = folder / "corpus.jsonl", folder / "shards"
    shards.mkdir(parents=True)
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ids = [str(row["_id"]) for row in rows]
    manifest = ShardManifest("a-model", "f" * 64, ("q" * 64,), vocabulary_hash(vocabulary),
                             len(vocabulary))  # fmt: skip
    start_shards(shards, manifest, vocabulary)
    write_shard(shards, 0, from_terms(vectors, columns, ids=ids))
    finish_shards(shards)
    return Collection(corpus, shards, dict(zip(ids, map(truncate_vector, vectors), strict=True)))


def queries(seed: int, count: int, terms: int) -> list[dict[str, float]]:
    """Seeded queries; with ``len(VOCABULARY)`` terms one of them sees every stored weight."""
    dice = np.random.default_rng(seed)
    return [
        {
            VOCABULARY[t]: float(np.float32(dice.uniform(0.1, 2.0)))
            for t in dice.choice(len(VOCABULARY), terms, replace=False)
        }
        for _ in range(count)
    ]
