"""An open build of the embedded engine.

A vector that breaks the store's rules is written to its log before it fails, and no later opening
gets past it; so nothing goes in that ``records.columns_and_weights`` has not let through.
"""

from __future__ import annotations

import os
import shutil
import uuid
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import qdrant_edge as qdrant

from sparse_ir.engines import embedded_filters as filters
from sparse_ir.engines import embedded_store as stores
from sparse_ir.engines.embedded_settings import store_settings
from sparse_ir.engines.records import columns_and_weights, pack, unpack
from sparse_ir.engines.scoring import dot
from sparse_ir.errors import StorageError
from sparse_ir.types import Entry, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.builds import Build
    from sparse_ir.engines.filters import Filter
    from sparse_ir.types import SparseVector

ID = "i"
RECORD = "d"
VECTOR = stores.VECTOR
SCAN_DOCUMENTS = 512
_NAMESPACE = uuid.UUID("5f2f1fd0-6c39-5b0e-9a55-0d7e3b9f7c11")


class _Hit(NamedTuple):
    doc_id: str
    score: float
    record: str | None


class Point(NamedTuple):
    """A document ready to be written.

    Attributes:
        stored: The store's own object.
        postings: How many terms its vector holds.
        bytes: The most that its texts take up.
        numbers: Paths of its payload that should have an index.
    """

    stored: Any
    postings: int
    bytes: int
    numbers: tuple[str, ...]


def point_id(doc_id: str) -> str:
    """The id by which the store knows a document: a UUID made from the document's own."""
    return str(uuid.uuid5(_NAMESPACE, doc_id))


class Shard:
    """The documents of a build, open in this process.

    Attributes:
        build: Where they lie.
        users: How many engines of this process use it.
        pid: The process that opened it.
    """

    def __init__(self, build: Build, terms: Sequence[str], *, new: bool = False) -> None:
        """Open a build, or make a new one; errors as in ``embedded_store``."""
        self.build = build
        self.users = 0
        self.pid = os.getpid()
        self._settings = store_settings()
        self._terms = tuple(terms)
        self._columns = {term: column for column, term in enumerate(self._terms)}
        self._store = stores.create_store(build) if new else stores.open_store(build)
        info = self._store.info()
        # of an earlier run only the number of documents is known
        self._loose_postings = 128 * max(0, info.points_count - info.indexed_vectors_count)
        self._loose_bytes = 0
        self._indexed = set(info.payload_schema)

    def point(self, entry: Entry) -> Point:
        """Make a document ready to be written.

        Raises:
            ValueError: it is not one the store can keep.
        """
        document = entry.document
        packed = pack(document)
        columns, weights = columns_and_weights(entry.vector, self._columns)
        payload = {ID: document.doc_id, RECORD: packed, **filters.payload(document.metadata)}
        vector: Any = {VECTOR: qdrant.SparseVector(columns, weights)} if columns else {}
        stored = qdrant.Point(point_id(document.doc_id), vector, payload)
        numbers = tuple(filters.indexed_numbers(payload))
        return Point(stored, len(columns), 2 * len(packed), numbers)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write documents; one that is there is replaced whole.

        Raises:
            StorageError: there is too little room on the disk to write safely.
        """
        for path in {path: None for point in points for path in point.numbers}:
            self._index_numbers(path)
        self._loose_postings += sum(point.postings for point in points)
        written = sum(point.bytes for point in points)
        self._loose_bytes += written
        self._require_room(8 * self._loose_postings + 3 * written)
        self._update(qdrant.UpdateOperation.upsert_points([point.stored for point in points]))
        if (
            self._loose_postings > self._settings.segment_postings
            or self._loose_bytes > self._settings.segment_bytes
        ):
            self.optimize()

    def delete(self, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        points: list[Any] = list({point_id(doc_id): None for doc_id in doc_ids})
        with stores.errors_of(self.build):
            there: list[Any] = [r.id for r in self._store.retrieve(points, False, False)]
        if there:
            self._update(qdrant.UpdateOperation.delete_points(there))
        return len(there)

    def delete_matching(self, conditions: Filter) -> int:
        """Delete what satisfies every condition; returns how many."""
        clause = filters.translate(conditions)
        if clause is None:
            return 0
        condition = stores.condition(clause)
        count = self.count(condition)
        if count:
            self._update(qdrant.UpdateOperation.delete_points_by_filter(condition))
        return count

    def count(self, condition: Any = None) -> int:
        """How many documents are in, or satisfy a condition."""
        with stores.errors_of(self.build):
            return int(self._store.count(qdrant.CountRequest(exact=True, filter=condition)))

    def retrieve(self, doc_ids: Iterable[str], *, vectors: bool) -> dict[str, Entry]:
        """Read documents by id."""
        points: list[Any] = [point_id(doc_id) for doc_id in doc_ids]
        with stores.errors_of(self.build):
            records = self._store.retrieve(points, [ID, RECORD], vectors)
        return {record.payload[ID]: self._entry(record) for record in records}

    def scan(self) -> Iterator[Entry]:
        """Read everything, in the order of the store's own ids."""
        offset = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=SCAN_DOCUMENTS, with_payload=[ID, RECORD], with_vector=True
            )
            with stores.errors_of(self.build):
                records, offset = self._store.scroll(request)
            yield from (self._entry(record) for record in records)
            if offset is None:
                return

    def search(self, request: SearchRequest) -> list[ScoredDoc]:
        """Answer one request."""
        known = self._columns
        terms = sorted((known[term], w) for term, w in request.terms.items() if term in known)
        clause = filters.translate(request.filter)
        if not terms or clause is None:
            return []
        condition = stores.condition(clause) if request.filter else None
        wanted = request.offset + request.k
        hits = self._best(terms, condition, wanted, records=request.documents)[request.offset :]
        vectors: dict[str, Entry] = {}
        if request.vectors:
            vectors = self.retrieve((hit.doc_id for hit in hits), vectors=True)
        return [
            ScoredDoc(
                hit.doc_id,
                hit.score,
                unpack(hit.doc_id, hit.record) if hit.record is not None else None,
                vectors[hit.doc_id].vector if request.vectors else None,
            )
            for hit in hits
        ]

    def flush(self) -> None:
        """Bring everything written so far to disk."""
        self._require_room()
        with stores.errors_of(self.build):
            self._store.flush()

    def optimize(self) -> None:
        """Turn what came in since the last call into a segment that is small and quick to search.

        A bulk load calls it in steps, since the memory it takes grows with what came in.
        """
        self._require_room(2 * (8 * self._loose_postings + self._loose_bytes))
        with stores.errors_of(self.build):
            self._store.flush()
            self._store.optimize()
            self._store.flush()
        self._loose_postings = self._loose_bytes = 0

    def close(self) -> None:
        """Flush and let go of the files."""
        try:
            with stores.errors_of(self.build):
                self._store.flush()
        finally:
            self.discard()

    def discard(self) -> None:
        """Let go of the files as they are."""
        stores.close_store(self._store, self.build)

    def _best(
        self, terms: list[tuple[int, float]], condition: Any, wanted: int, *, records: bool
    ) -> list[_Hit]:
        """The first ``wanted`` hits by score, then doc_id.

        The store adds up a score in an order of its own and cuts equal scores as it likes. So
        scores that lie closer together than rounding can part them are computed again, in one
        order of additions; and where the cut goes through such scores, everything from them
        upwards is asked for.
        """

        def ask(limit: int, above: float | None = None) -> list[_Hit]:
            keys = [ID, RECORD] if records else [ID]
            request = stores.query(terms, limit=limit, above=above, only=condition, keys=keys)
            with stores.errors_of(self.build):
                points = self._store.query(request)
            return [_Hit(p.payload[ID], p.score, p.payload.get(RECORD)) for p in points]

        most = int(self._store.info().points_count)
        closeness = len(terms) * 2.0**-22
        hits = ask(min(wanted, most) + 1)
        if len(hits) > wanted and _are_close(hits[wanted - 1], hits[wanted], closeness):
            lowest = np.float32(hits[wanted].score * (1 - closeness))
            hits = ask(most, above=float(lowest))
        hits = self._compute_close_scores_again(terms, hits, closeness)
        hits.sort(key=lambda hit: (-hit.score, hit.doc_id))
        return hits[:wanted]

    def _compute_close_scores_again(
        self, terms: list[tuple[int, float]], hits: list[_Hit], closeness: float
    ) -> list[_Hit]:
        close: dict[str, None] = {}
        for hit, following in pairwise(hits):
            if _are_close(hit, following, closeness):
                close[hit.doc_id] = close[following.doc_id] = None
        if not close:
            return hits
        points: list[Any] = [point_id(doc_id) for doc_id in close]
        with stores.errors_of(self.build):
            records: list[Any] = self._store.retrieve(points, [ID], [VECTOR])
        again = {
            r.payload[ID]: dot(terms, r.vector[VECTOR].indices, r.vector[VECTOR].values)
            for r in records
        }
        return [hit._replace(score=again.get(hit.doc_id, hit.score)) for hit in hits]

    def _entry(self, record: Any) -> Entry:
        vector: SparseVector = {}
        if record.vector and VECTOR in record.vector:
            kept = record.vector[VECTOR]
            vector = {self._terms[c]: w for c, w in zip(kept.indices, kept.values, strict=True)}
        return Entry(unpack(record.payload[ID], record.payload[RECORD]), vector)

    def _index_numbers(self, path: str) -> None:
        if path not in self._indexed and len(self._indexed) <= self._settings.most_number_fields:
            self._update(stores.index_numbers(path))
            self._indexed.add(path)

    def _update(self, operation: Any) -> None:
        self._require_room()
        with stores.errors_of(self.build):
            self._store.update(operation)

    def _require_room(self, room: int = 0) -> None:
        # the store writes through memory maps, where a full disk kills the process
        needed = self._settings.reserve_bytes + room
        free = shutil.disk_usage(self.build.folder).free
        if free < needed:
            raise StorageError(
                f"{self.build.folder}: {free >> 20} MiB are free where the embedded engine needs "
                f"{needed >> 20} MiB to write safely. Make room and try again."
            )


def _are_close(hit: _Hit, following: _Hit, closeness: float) -> bool:
    return following.score >= hit.score * (1 - closeness)
