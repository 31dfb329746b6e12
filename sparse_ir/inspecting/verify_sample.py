"""What is looked at: some documents with the weights they should have, and some queries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.shards import read_shard_manifest, read_shards, read_vocabulary
from sparse_ir.encoding.chunks import encode_chunk
from sparse_ir.encoding.passages import EACH, parse_passages, split_documents
from sparse_ir.errors import NoVectorsError
from sparse_ir.inspecting.verify_scores import WeighedQuery
from sparse_ir.pruning import parse_pruning, prune, pruned_further
from sparse_ir.vectors import make_batch, to_terms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Document, Query, SparseVector

_T = TypeVar("_T")

SCANNED = 20_000
"""How far an index is read for a sample; a corpus is read whole."""

_QUERY_TERMS = 16
_MOST_TERMS = 1000
_ENCODED_TOGETHER = 32


class Drawn(NamedTuple):
    """Documents to look at.

    Attributes:
        documents: By id; without a text where they come from vector shards.
        vectors: Their vectors from the shards; empty where they come from elsewhere.
        total: How many there are where they come from; None where that is the index itself.
    """

    documents: dict[str, Document]
    vectors: dict[str, SparseVector]
    total: int | None


def draw_from_shards(folder: str, count: int, stamp_pruning: str, rng: random.Random) -> Drawn:
    """Draw from vector shards, with the index's pruning where the shards have none of it."""
    from sparse_ir.types import Document

    manifest, vocabulary = read_shard_manifest(folder), read_vocabulary(folder)
    pruning = pruned_further(parse_pruning(stamp_pruning), parse_pruning(manifest.document_pruning))
    total = 0
    kept: list[tuple[str, SparseVector]] = []
    for batch in read_shards(folder):
        for row in range(len(batch)):
            at = _place(total, count, rng)
            total += 1
            if at is None:
                continue
            one = make_batch([batch.ids[row]], batch.weights[[row]])
            _put(kept, at, (batch.ids[row], next(to_terms(prune(one, pruning), vocabulary))))
    documents = {doc_id: Document(doc_id, "") for doc_id, _ in kept}
    return Drawn(documents, dict(kept), total)


def corpus_documents(source: str, passages: str) -> Iterator[Document]:
    """What was indexed of a corpus; unusable rows are passed over, as when indexing."""
    documents = read_documents(source, on_bad=lambda row: None)
    read = parse_passages(passages)
    return split_documents(documents, read) if read.kind == EACH else iter(documents)


def draw_from_corpus(source: str, passages: str, count: int, rng: random.Random) -> Drawn:
    """Draw from the corpus that was indexed."""
    documents, total = sample(corpus_documents(source, passages), count, rng)
    return Drawn({d.doc_id: d for d in documents}, {}, total)


def draw_from_index(engine: Engine, index: str, count: int, rng: random.Random) -> Drawn:
    """Draw from the first documents that the index gives out."""
    entries, _ = sample(islice(engine.scan(index, vectors=False), SCANNED), count, rng)
    return Drawn({e.document.doc_id: e.document for e in entries}, {}, None)


def draw_queries(source: str, count: int, rng: random.Random) -> list[Query]:
    """Draw queries from a file."""
    return sample(read_queries(source), count, rng)[0]


def make_queries(
    vectors: Mapping[str, SparseVector], count: int, rng: random.Random
) -> list[WeighedQuery]:
    """Make queries of the sampled documents' own terms, light ones among them."""
    usable = [(doc_id, vector) for doc_id, vector in vectors.items() if vector]
    queries = []
    for number in range(count if usable else 0):
        doc_id, vector = usable[number % len(usable)]
        by_weight = sorted(vector, key=lambda t: (vector[t], t))
        terms = {by_weight[0], *rng.sample(by_weight, min(_QUERY_TERMS - 1, len(by_weight)))}
        weighed = {term: round(rng.uniform(0.1, 3.0), 4) for term in sorted(terms)}
        queries.append(WeighedQuery(f"terms of {doc_id}", weighed))
    return queries


def weigh(queries: Sequence[Query], encoder: SparseEncoder) -> list[WeighedQuery]:
    """Encode queries; of very long ones the heaviest terms, which every server takes."""
    batch = encoder.encode_queries([q.text for q in queries], ids=[q.query_id for q in queries])
    pruned = prune(batch, parse_pruning(f"top_k={_MOST_TERMS}"))
    vectors = to_terms(pruned, encoder.vocabulary)
    return [WeighedQuery(q.query_id, v) for q, v in zip(queries, vectors, strict=True)]


def encode_again(
    documents: Sequence[Document], encoder: SparseEncoder, stamp: Stamp
) -> dict[str, SparseVector]:
    """Encode stored texts as they were encoded for the index."""
    found: dict[str, SparseVector] = {}
    for start in range(0, len(documents), _ENCODED_TOGETHER):
        chunk = encode_chunk(
            tuple(documents[start : start + _ENCODED_TOGETHER]),
            encoder,
            number=0,
            pruning=parse_pruning(stamp.document_pruning),
            passages=parse_passages(stamp.passages),
        )
        vectors = to_terms(chunk.batch, encoder.vocabulary)
        found.update(zip(chunk.batch.ids, vectors, strict=True))
    return found


def own_vectors(engine: Engine, index: str, doc_ids: Sequence[str]) -> dict[str, SparseVector]:
    """The vectors that the index keeps of these documents; none where it keeps postings only."""
    try:
        entries = engine.get(index, doc_ids)
    except NoVectorsError:
        return {}
    return {entry.document.doc_id: entry.vector for entry in entries if entry is not None}


def sample(items: Iterable[_T], count: int, rng: random.Random) -> tuple[list[_T], int]:
    """Draw evenly from a stream of unknown length; returns the sample and the length."""
    kept: list[_T] = []
    total = 0
    for item in items:
        at = _place(total, count, rng)
        total += 1
        if at is not None:
            _put(kept, at, item)
    return kept, total


def _place(number: int, count: int, rng: random.Random) -> int | None:
    """Where the item of this number goes in a sample of ``count``; None for nowhere."""
    if number < count:
        return number
    at = rng.randrange(number + 1)
    return at if at < count else None


def _put(kept: list[_T], at: int, item: _T) -> None:
    kept[at : at + 1] = [item]
