"""Batches of sparse vectors: validation, terms, dot products, exact top k."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sparse_ir.types import SparseVector


@dataclass(frozen=True, eq=False)
class SparseBatch:
    """n sparse vectors over one vocabulary of size V.

    Attributes:
        ids: One id a row, n of them.
        weights: CSR float32, (n, V), every stored weight finite and above 0, the columns of a row
            distinct and ascending.
    """

    ids: tuple[str, ...]
    weights: sparse.csr_array

    def row(self, i: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return columns and weights of row i as views."""
        start, stop = self.weights.indptr[i], self.weights.indptr[i + 1]
        return self.weights.indices[start:stop], self.weights.data[start:stop]

    def __len__(self) -> int:
        return len(self.ids)


def make_batch(ids: Sequence[str], weights: object) -> SparseBatch:
    """Build a valid batch from anything scipy can turn into CSR; zeros are dropped.

    Args:
        ids: One id a row.
        weights: Sparse or dense matrix of shape (n, V).

    Raises:
        ValueError: the number of ids is not n, or a weight is negative, NaN or infinite.
    """
    csr = sparse.csr_array(weights, dtype=np.float32)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    csr.sort_indices()
    batch = SparseBatch(tuple(ids), csr)
    validate(batch)
    return batch


def validate(batch: SparseBatch) -> None:
    """Check what SparseBatch promises.

    Raises:
        ValueError: the number of ids is not n, or a weight is not finite and above 0.
    """
    if len(batch.ids) != batch.weights.shape[0]:
        raise ValueError(f"{len(batch.ids)} ids for {batch.weights.shape[0]} vectors")
    data = batch.weights.data
    bad = ~(np.isfinite(data) & (data > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        row = int(np.searchsorted(batch.weights.indptr, first, side="right")) - 1
        raise ValueError(
            f"vector {batch.ids[row]!r} holds the weight {data[first]}; weights must be finite "
            "and above 0"
        )


def concatenate(batches: Sequence[SparseBatch]) -> SparseBatch:
    """Stack batches over the same vocabulary, in order."""
    ids = tuple(doc_id for batch in batches for doc_id in batch.ids)
    stacked = sparse.vstack([b.weights for b in batches], format="csr", dtype=np.float32)
    return SparseBatch(ids, sparse.csr_array(stacked))


def select(batch: SparseBatch, rows: Sequence[int] | NDArray[Any]) -> SparseBatch:
    """Take the given rows, in the given order."""
    return SparseBatch(tuple(batch.ids[i] for i in rows), batch.weights[np.asarray(rows, int)])


def to_terms(batch: SparseBatch, vocabulary: Sequence[str]) -> Iterator[SparseVector]:
    """Yield each row as term -> weight, in column order."""
    for i in range(len(batch)):
        columns, weights = batch.row(i)
        yield {vocabulary[c]: w for c, w in zip(columns.tolist(), weights.tolist(), strict=True)}


def from_terms(
    vectors: Sequence[SparseVector],
    columns: Mapping[str, int],
    *,
    ids: Sequence[str] | None = None,
) -> SparseBatch:
    """Build a batch from term -> weight dicts; terms outside the vocabulary are left out.

    Args:
        vectors: One dict a row.
        columns: Term -> column, for every term of the vocabulary.
        ids: One id a row; "0", "1", … by default.
    """
    rows: list[int] = []
    cols: list[int] = []
    data: list[float] = []
    for i, vector in enumerate(vectors):
        for term, weight in vector.items():
            column = columns.get(term)
            if column is not None:
                rows.append(i)
                cols.append(column)
                data.append(weight)
    matrix = sparse.coo_array(
        (np.asarray(data, np.float32), (rows, cols)), shape=(len(vectors), len(columns))
    )
    return make_batch(ids if ids is not None else [str(i) for i in range(len(vectors))], matrix)


def scores(queries: SparseBatch, documents: SparseBatch) -> NDArray[Any]:
    """Dot product of every query with every document, float32, (queries, documents)."""
    return np.asarray((queries.weights @ documents.weights.T).todense(), dtype=np.float32)


def top_k(queries: SparseBatch, documents: SparseBatch, k: int) -> list[list[tuple[str, float]]]:
    """The k documents of highest dot product for every query, exactly.

    Documents that share no term with the query are left out. Order: score, then doc_id.

    Args:
        queries: n query vectors.
        documents: m document vectors over the same vocabulary.
        k: At most this many per query, at least 1.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    found: list[list[tuple[str, float]]] = []
    columns = documents.weights.T.tocsr()  # one row a term: only the query's postings are read
    for i in range(len(queries)):
        row = sparse.csr_array(queries.weights[[i]])
        product = sparse.csr_array(row @ columns)
        found.append(_best(product, documents.ids, k))
    return found


def _best(product: sparse.csr_array, ids: Sequence[str], k: int) -> list[tuple[str, float]]:
    matched, values = product.indices, product.data
    if len(values) > k:
        cut = np.partition(values, len(values) - k)[len(values) - k]
        kept = values >= cut  # ties at the cut stay in until the ids decide
        matched, values = matched[kept], values[kept]
    hits = [(ids[d], float(s)) for d, s in zip(matched.tolist(), values.tolist(), strict=True)]
    hits.sort(key=lambda hit: (-hit[1], hit[0]))
    return hits[:k]


def vocabulary_hash(vocabulary: Sequence[str]) -> str:
    """SHA-256 of the terms in column order, hex."""
    digest = hashlib.sha256()
    for term in vocabulary:
        digest.update(term.encode("utf-8", "surrogatepass") + b"\x00")
    return digest.hexdigest()
