"""A corpus encoded once, for every system of a benchmark that searches these vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.data.shards import read_shards, read_vocabulary
from sparse_ir.pruning import prune
from sparse_ir.vectors import concatenate, select, to_terms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from sparse_ir.pruning import Pruning
    from sparse_ir.types import SparseVector
    from sparse_ir.vectors import SparseBatch


class TermCounts(NamedTuple):
    """Terms of a whole collection.

    Attributes:
        lengths: Terms of each document, in the order of the corpus.
        shares: Term -> share of the documents that have it.
    """

    lengths: list[int]
    shares: Mapping[str, float]


class PrunedVectors:
    """Vector shards read again, pruned as an index of them is."""

    def __init__(self, folder: Path, pruning: Pruning) -> None:
        """Name the shards; they are read when asked for, one at a time."""
        self._folder = folder
        self._pruning = pruning

    def count_terms(self) -> TermCounts:
        """Count in one pass."""
        vocabulary = read_vocabulary(self._folder)
        having = np.zeros(len(vocabulary), dtype=np.int64)
        lengths: list[int] = []
        for batch in self._read():
            having += np.bincount(batch.weights.indices, minlength=len(vocabulary))
            lengths += np.diff(batch.weights.indptr).tolist()
        shares = having / max(len(lengths), 1)
        found = np.flatnonzero(having).tolist()
        return TermCounts(lengths, {vocabulary[i]: float(shares[i]) for i in found})

    def gather(self, doc_ids: Collection[str]) -> dict[str, SparseVector]:
        """Read the vectors of some documents; those that are not there are left out."""
        wanted = set(doc_ids)
        parts: list[SparseBatch] = []
        for batch in self._read():
            rows = [i for i, doc_id in enumerate(batch.ids) if doc_id in wanted]
            if rows:
                parts.append(select(batch, rows))
        if not parts:
            return {}
        found = concatenate(parts)
        terms = to_terms(found, read_vocabulary(self._folder))
        return dict(zip(found.ids, terms, strict=True))

    def _read(self) -> Iterator[SparseBatch]:
        for batch in read_shards(self._folder):
            yield prune(batch, self._pruning)
