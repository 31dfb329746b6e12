"""The documents of one index in memory, and the matrix that scores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from sparse_ir.engines import dense
from sparse_ir.engines import memory_parts as parts
from sparse_ir.engines.filters import matches
from sparse_ir.engines.records import columns_and_weights, pack, unpack
from sparse_ir.engines.scoring import score_all
from sparse_ir.types import Entry, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import DenseSpace


class _Matrix(NamedTuple):
    """Documents in the order of their ids, so that of equal scores the lower row comes first.

    Attributes:
        ids: n of them, ascending.
        weights: float32, (V, n): one row a term, so that a query reads its own postings only.
        dense_rows: The documents with a dense vector, ascending.
        dense: Their vectors, float32.
        satisfying: Filter -> which rows satisfy it, for the filter asked last.
    """

    ids: list[str]
    weights: sparse.csr_array
    dense_rows: NDArray[Any]
    dense: NDArray[Any]
    satisfying: dict[Filter, NDArray[Any]]


class Table:
    """All documents of a build.

    Args:
        vocabulary: Every term a vector may hold.
        folder: Where they are kept, read now if something is there; None keeps them here only.
        space: Of their dense vectors; None for none.
    """

    def __init__(
        self, vocabulary: Sequence[str], folder: Path | None, space: DenseSpace | None = None
    ) -> None:
        self.terms = tuple(vocabulary)
        self.columns = {term: column for column, term in enumerate(self.terms)}
        self._folder = folder
        self._space = space
        self._rows: dict[str, parts.Row] = {}
        self._changed: dict[str, None] = {}
        self._matrix: _Matrix | None = None
        self._read = [] if folder is None else parts.parts(folder)
        for path in self._read:
            for doc_id, row in parts.read_part(path):
                self._set(doc_id, row)

    def __len__(self) -> int:
        return len(self._rows)

    def is_stale(self) -> bool:
        """Whether another process has written since, and nothing here is pending."""
        if self._folder is None or self._changed:
            return False
        return parts.parts(self._folder) != self._read

    def put(self, entry: Entry) -> None:
        """Add a document, or replace it whole.

        Raises:
            ValueError: it cannot be stored.
        """
        packed = pack(entry.document)
        columns, weights = columns_and_weights(entry.vector, self.columns)
        doc_id = entry.document.doc_id
        own = dense.checked(entry.dense, self._space)
        row = parts.Row(packed, np.array(columns, np.int32), np.array(weights, np.float32), own)
        self._set(doc_id, row)
        self._changed[doc_id] = None

    def delete(self, doc_ids: Iterable[str]) -> int:
        """Delete documents by id, on disk too; returns how many were there."""
        there = [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id in self._rows]
        for doc_id in there:
            self._set(doc_id, None)
            self._changed[doc_id] = None
        self.flush()
        return len(there)

    def delete_matching(self, conditions: Filter) -> int:
        """Delete what satisfies every condition; returns how many."""
        return self.delete([doc_id for doc_id in self._rows if self._satisfies(doc_id, conditions)])

    def get(self, doc_id: str) -> Entry | None:
        """Read a document with its vector."""
        row = self._rows.get(doc_id)
        if row is None:
            return None
        vector = zip(row.columns.tolist(), row.weights.tolist(), strict=True)
        terms = {self.terms[c]: w for c, w in vector}
        return Entry(unpack(doc_id, row.record), terms, dense.to_tuple(row.dense))

    def scan(self) -> Iterator[Entry]:
        """Read everything there is when the reading begins."""
        for doc_id in list(self._rows):
            entry = self.get(doc_id)
            if entry is not None:
                yield entry

    def search(self, request: SearchRequest) -> list[ScoredDoc]:
        """Score every document that shares a term with the query, or has a dense vector."""
        matrix = self._scored()
        if request.dense is not None:
            query = dense.require_query(request.dense, self._space)
            rows, scores = matrix.dense_rows, dense.scores(query, matrix.dense)
        else:
            known = self.columns
            terms = sorted((known[term], w) for term, w in request.terms.items() if term in known)
            rows, scores = score_all(terms, matrix.weights)
        # whatever else a hit must be is asked here, for terms and dense vectors alike
        if request.filter:
            satisfy = self._satisfying(matrix, request.filter)[rows]
            rows, scores = rows[satisfy], scores[satisfy]
        for term in request.require:
            holds = np.isin(rows, self._holding(matrix, term), assume_unique=True)
            rows, scores = rows[holds], scores[holds]
        best = _best(rows, scores, request.offset + request.k)[request.offset :]
        return [self._hit(matrix.ids[rows[i]], float(scores[i]), request) for i in best]

    def flush(self) -> None:
        """Write what has changed since the last call."""
        if self._folder is None or not self._changed:
            return
        rows = ((doc_id, self._rows.get(doc_id)) for doc_id in self._changed)
        self._read.append(self._write(rows))
        self._changed.clear()

    def compact(self, settle: Callable[[Mapping[str, Any]], None]) -> None:
        """Rewrite everything as one file.

        Args:
            settle: Called with the number of documents and of that file, None for no file, before
                the earlier ones are removed.
        """
        self.flush()
        earlier: list[Path] = []
        if len(self._read) > 1:
            earlier = self._read
            self._read = [self._write(iter(self._rows.items()))]
        part = parts.number_of(self._read[0]) if self._read else None
        settle({"documents": len(self), "part": part})
        for path in earlier:  # from the earliest: no deletion goes before what it deletes
            path.unlink(missing_ok=True)

    def bytes(self) -> int:
        """What the documents take up in memory."""
        return sum(
            len(doc_id) + len(row.record) + sum(part.nbytes for part in row[1:] if part is not None)
            for doc_id, row in self._rows.items()
        )

    def _write(self, rows: Iterable[tuple[str, parts.Row | None]]) -> Path:
        if self._folder is None:
            raise ValueError("there is no folder to write to")
        return parts.write_part(self._folder, rows, dense=self._space is not None)

    def _set(self, doc_id: str, row: parts.Row | None) -> None:
        self._matrix = None
        if row is None:
            self._rows.pop(doc_id, None)
        else:
            self._rows[doc_id] = row

    def _satisfies(self, doc_id: str, conditions: Filter) -> bool:
        return matches(unpack(doc_id, self._rows[doc_id].record).metadata, conditions)

    def _satisfying(self, matrix: _Matrix, conditions: Filter) -> NDArray[Any]:
        """Which rows satisfy the conditions; bool, (n,)."""
        if conditions not in matrix.satisfying:
            mask = np.array([self._satisfies(doc_id, conditions) for doc_id in matrix.ids], bool)
            matrix.satisfying.clear()  # the last one is enough: many queries ask with one filter
            matrix.satisfying[conditions] = mask
        return matrix.satisfying[conditions]

    def _holding(self, matrix: _Matrix, term: str) -> NDArray[Any]:
        """Which rows hold a term."""
        column = self.columns.get(term)
        if column is None:
            return np.empty(0, matrix.weights.indices.dtype)
        start, end = matrix.weights.indptr[column : column + 2]
        return np.asarray(matrix.weights.indices[start:end])

    def _hit(self, doc_id: str, score: float, request: SearchRequest) -> ScoredDoc:
        entry = self.get(doc_id) if request.documents or request.vectors else None
        if entry is None:
            return ScoredDoc(doc_id, score)
        return ScoredDoc(
            doc_id,
            score,
            entry.document if request.documents else None,
            entry.vector if request.vectors else None,
        )

    def _scored(self) -> _Matrix:
        if self._matrix is None:
            ids = sorted(self._rows)
            rows = [self._rows[doc_id] for doc_id in ids]
            starts = np.cumsum([0, *(len(row.columns) for row in rows)])
            columns = np.concatenate([np.empty(0, np.int32), *(row.columns for row in rows)])
            weights = np.concatenate([np.empty(0, np.float32), *(row.weights for row in rows)])
            documents = sparse.csr_array(
                (weights, columns, starts), shape=(len(ids), len(self.terms))
            )
            there = [i for i, row in enumerate(rows) if row.dense is not None]
            width = 0 if self._space is None else self._space.dimension
            vectors = np.array([rows[i].dense for i in there], np.float32).reshape(
                len(there), width
            )
            self._matrix = _Matrix(
                ids, sparse.csr_array(documents.T), np.array(there, np.int64), vectors, {}
            )
        return self._matrix


def _best(rows: NDArray[Any], scores: NDArray[Any], wanted: int) -> list[int]:
    """Places of the first ``wanted`` by score, then row."""
    places: NDArray[Any] = np.arange(len(rows))
    if len(rows) > wanted:
        cut = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
        places = np.flatnonzero(scores >= cut)  # ties at the cut stay in until the rows decide
    order = np.lexsort((rows[places], -scores[places]))
    best: list[int] = places[order[:wanted]].tolist()
    return best
