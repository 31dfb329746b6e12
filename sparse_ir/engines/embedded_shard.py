"""An open build of the embedded engine.

A vector that breaks the store's rules is written to its log before it fails, and no later opening
gets past it; so nothing goes in that ``records.columns_and_weights`` has not let through.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import qdrant_edge as qdrant

from sparse_ir.engines import dense
from sparse_ir.engines import embedded_filters as filters
from sparse_ir.engines import embedded_store as stores
from sparse_ir.engines.embedded_search import best_hits, nearest_hits
from sparse_ir.engines.embedded_settings import store_settings
from sparse_ir.engines.embedded_store import DENSE, ID, RECORD, VECTOR, point_id
from sparse_ir.engines.records import columns_and_weights, pack, unpack
from sparse_ir.errors import ConfigError, StorageError
from sparse_ir.types import Entry, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.builds import Build
    from sparse_ir.engines.embedded_search import Hit
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import DenseSpace
    from sparse_ir.types import SparseVector

SCAN_DOCUMENTS = 512


class Point(NamedTuple):
    """A document ready to be written.

    Attributes:
        stored: The store's own object.
        postings: How many terms its vector holds.
        bytes: What title, text, metadata and a dense vector take up.
        numbers: Paths of its payload that should have an index.
    """

    stored: Any
    postings: int
    bytes: int
    numbers: tuple[str, ...]


class Shard:
    """The documents of a build, open in this process.

    Attributes:
        build: Where they lie.
        users: How many engines of this process use it.
        pid: The process that opened it.
    """

    def __init__(
        self,
        build: Build,
        terms: Sequence[str],
        space: DenseSpace | None = None,
        *,
        new: bool = False,
    ) -> None:
        """Open a build, or make a new one; errors as in ``embedded_store``."""
        self.build = build
        self.users = 0
        self.pid = os.getpid()
        self._settings = store_settings()
        self._terms = tuple(terms)
        self._columns = {term: column for column, term in enumerate(self._terms)}
        self._space = space
        opened = stores.create_store if new else stores.open_store
        self._store = opened(build, space)
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
        own = dense.checked(entry.dense, self._space)
        if own is not None:
            vector[DENSE] = own.tolist()
        stored = qdrant.Point(point_id(document.doc_id), vector, payload)
        numbers = tuple(filters.indexed_numbers(payload))
        size = len(packed.encode()) + (0 if own is None else own.nbytes)
        return Point(stored, len(columns), size, numbers)

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
        if len(set(request.require)) > stores.MOST_REQUIRED:
            raise ConfigError(
                f"{len(set(request.require))} terms are required of a hit; the embedded engine "
                f"looks for at most {stores.MOST_REQUIRED}. Require fewer."
            )
        clause = filters.translate(request.filter)
        if clause is None or not all(term in self._columns for term in request.require):
            return []
        # whatever else a hit must be is said here, for terms and dense vectors alike
        condition = stores.condition(clause) if request.filter else None
        hits = self._best(request, condition)[request.offset :]
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

    def _best(self, request: SearchRequest, condition: Any) -> list[Hit]:
        """The hits from the first on, by terms or by dense vector."""
        known = self._columns
        options: dict[str, Any] = {
            "condition": condition,
            "records": request.documents,
            "require": [known[term] for term in dict.fromkeys(request.require)],
        }
        wanted = request.offset + request.k
        if request.dense is not None:
            query = dense.require_query(request.dense, self._space)
            with stores.errors_of(self.build):
                return nearest_hits(self._store, query, wanted, **options)
        terms = sorted((known[term], w) for term, w in request.terms.items() if term in known)
        if not terms:
            return []
        with stores.errors_of(self.build):
            return best_hits(self._store, terms, wanted, **options)

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
        """Flush and let go of the files, unless another process has removed them."""
        try:
            if self.build.folder.is_dir():
                with stores.errors_of(self.build):
                    self._store.flush()
        finally:
            self.discard()

    def discard(self) -> None:
        """Let go of the files as they are."""
        stores.close_store(self._store, self.build)

    def _entry(self, record: Any) -> Entry:
        vector: SparseVector = {}
        if record.vector and VECTOR in record.vector:
            kept = record.vector[VECTOR]
            vector = {self._terms[c]: w for c, w in zip(kept.indices, kept.values, strict=True)}
        own = record.vector.get(DENSE) if record.vector else None
        document = unpack(record.payload[ID], record.payload[RECORD])
        return Entry(document, vector, dense.to_tuple(own))

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
