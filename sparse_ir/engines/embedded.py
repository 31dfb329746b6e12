"""The engine inside this process: one qdrant-edge shard for every build of an index."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as qdrant

from sparse_ir.engines import embedded_filters as stored_filters
from sparse_ir.engines.base import Failure, IndexStats, require_request
from sparse_ir.engines.builds import Build, Builds, folder_bytes, remove_folder, storage_error
from sparse_ir.engines.records import columns_and_weights, pack, unpack
from sparse_ir.errors import EngineError, IndexLockedError, StorageError
from sparse_ir.resources import home
from sparse_ir.types import Entry, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import SparseVector

KIND = "embedded"
SHARD = "shard"
OWNER = "owner.pid"
VECTOR = "terms"
ID = "i"
RECORD = "d"
BATCH_DOCUMENTS = 256
SCAN_DOCUMENTS = 512
RESERVE_BYTES = 128 << 20
_IDS = uuid.UUID("5f2f1fd0-6c39-5b0e-9a55-0d7e3b9f7c11")


def point_id(doc_id: str) -> str:
    """The id by which the store knows a document: a UUID made from the document's own."""
    return str(uuid.uuid5(_IDS, doc_id))


class Shard:
    """An open build.

    All engines of one process share it, since the store lets one handle in at a time.
    """

    def __init__(self, build: Build, terms: Sequence[str]) -> None:
        """Open the store of a build, or create it where there is none yet.

        Raises:
            IndexLockedError: another process holds it.
            EngineError: it was written by another version of qdrant-edge, or is damaged.
        """
        self.build = build
        self.users = 0
        self.pid = os.getpid()
        self.terms = tuple(terms)
        self.columns = {term: column for column, term in enumerate(self.terms)}
        self._shard = _open(build)
        (build.folder / OWNER).write_text(str(self.pid))

    def upsert(self, points: list[Any]) -> None:
        """Write points; a point that is there is replaced."""
        self._require_room()
        self._update(qdrant.UpdateOperation.upsert_points(points))

    def delete(self, doc_ids: Sequence[str]) -> int:
        """Delete documents by id."""
        points: list[Any] = list({point_id(doc_id): None for doc_id in doc_ids})
        there: list[Any] = [r.id for r in self._shard.retrieve(points, False, False)]
        if there:
            self._update(qdrant.UpdateOperation.delete_points(there))
        return len(there)

    def delete_matching(self, conditions: Filter) -> int:
        """Delete what satisfies every condition."""
        translated = stored_filters.translate(conditions)
        if translated is None:
            return 0
        condition = _filter(translated)
        count = self.count(condition)
        if count:
            self._update(qdrant.UpdateOperation.delete_points_by_filter(condition))
        return count

    def count(self, condition: Any = None) -> int:
        """How many documents are in, or satisfy a condition."""
        return int(self._shard.count(qdrant.CountRequest(exact=True, filter=condition)))

    def retrieve(self, doc_ids: Sequence[str], *, vectors: bool) -> dict[str, Entry]:
        """Read documents by id."""
        points = [point_id(doc_id) for doc_id in doc_ids]
        records = self._shard.retrieve(points, [ID, RECORD], vectors)
        return {record.payload[ID]: self._entry(record) for record in records}

    def scan(self) -> Iterator[Entry]:
        """Read everything, in the order of the store's own ids."""
        offset = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=SCAN_DOCUMENTS, with_payload=[ID, RECORD], with_vector=True
            )
            records, offset = self._shard.scroll(request)
            yield from (self._entry(record) for record in records)
            if offset is None:
                return

    def search(self, request: SearchRequest) -> list[ScoredDoc]:
        """Answer one request."""
        terms = _known_terms(request.terms, self.columns)
        condition = stored_filters.translate(request.filter)
        if not terms or condition is None:
            return []
        wanted = request.offset + request.k
        found = self._best(terms, _filter(condition) if request.filter else None, wanted)
        hits = found[request.offset : wanted]
        if not (request.documents or request.vectors):
            return [ScoredDoc(doc_id, score) for doc_id, score in hits]
        entries = self.retrieve([doc_id for doc_id, _ in hits], vectors=request.vectors)
        return [
            ScoredDoc(
                doc_id,
                score,
                entries[doc_id].document if request.documents else None,
                entries[doc_id].vector if request.vectors else None,
            )
            for doc_id, score in hits
        ]

    def _best(
        self, terms: list[tuple[int, float]], condition: Any, wanted: int
    ) -> list[tuple[str, float]]:
        """The first ``wanted`` hits by score, then doc_id.

        The store cuts equal scores as it likes. One hit more than wanted shows whether the cut
        goes through equal scores; if so, everything from that score upwards is asked for.
        """
        found = self._query(terms, condition, limit=wanted + 1)
        if len(found) > wanted and found[wanted - 1][1] == found[wanted][1]:
            cut = np.float32(found[wanted - 1][1])
            # the store's threshold lets through what is above it
            threshold = float(np.nextafter(cut, np.float32(-np.inf)))
            found = self._query(terms, condition, limit=self.count(), threshold=threshold)
        found.sort(key=lambda hit: (-hit[1], hit[0]))
        return found[:wanted]

    def _query(
        self,
        terms: list[tuple[int, float]],
        condition: Any,
        *,
        limit: int,
        threshold: float | None = None,
    ) -> list[tuple[str, float]]:
        vector = qdrant.SparseVector([c for c, _ in terms], [w for _, w in terms])
        request = qdrant.QueryRequest(
            limit=limit,
            query=qdrant.Query.Nearest(vector, using=VECTOR),
            with_payload=[ID],
            filter=condition,
            score_threshold=threshold,
        )
        points = self._shard.query(request)
        return [(point.payload[ID], point.score) for point in points]

    def point(self, entry: Entry) -> Any:
        """Build the point of an entry.

        Raises:
            ValueError: the entry is not one the store can keep.
        """
        document = entry.document
        packed = pack(document)
        columns, weights = columns_and_weights(entry.vector, self.columns)
        payload = {
            ID: document.doc_id,
            RECORD: packed,
            **stored_filters.payload(document.metadata),
        }
        vector: Any = {VECTOR: qdrant.SparseVector(columns, weights)} if columns else {}
        return qdrant.Point(point_id(document.doc_id), vector, payload)

    def flush(self) -> None:
        """Bring everything written so far to disk."""
        self._require_room()
        self._shard.flush()

    def optimize(self) -> None:
        """Bring the store into the form that is searched fastest."""
        self.flush()
        self._shard.optimize()
        self._shard.flush()

    def close(self) -> None:
        """Flush and let go of the files."""
        try:
            self._shard.flush()
        finally:
            self._shard.close()
            with contextlib.suppress(OSError):
                (self.build.folder / OWNER).unlink()

    def discard(self) -> None:
        """Let go of the files without writing, since they are about to be removed."""
        self._shard.close()

    def _entry(self, record: Any) -> Entry:
        vector: SparseVector = {}
        if record.vector and VECTOR in record.vector:
            sparse = record.vector[VECTOR]
            vector = {self.terms[c]: w for c, w in zip(sparse.indices, sparse.values, strict=True)}
        return Entry(unpack(record.payload[ID], record.payload[RECORD]), vector)

    def _update(self, operation: Any) -> None:
        self._shard.update(operation)

    def _require_room(self) -> None:
        # the store writes through memory maps, where a full disk kills the process
        free = shutil.disk_usage(self.build.folder).free
        if free < RESERVE_BYTES:
            raise StorageError(
                f"{self.build.folder}: {free >> 20} MiB are free, the embedded engine needs "
                f"{RESERVE_BYTES >> 20} MiB to write safely. Make room and try again."
            )


class EmbeddedEngine:
    """Indexes in a folder of this machine, searched exactly, safe against crashes.

    Args:
        path: The folder; by default ``indexes`` below ``resources.home()``.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._given = None if path is None else Path(path).expanduser()
        self.root = home() / "indexes" if self._given is None else self._given
        self._builds = Builds(self.root)
        self._held: dict[Path, Shard] = {}

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        return KIND if self._given is None else f"{KIND}:{self._given}"

    def indexes(self) -> list[str]:
        """Names of the published indexes, ascending."""
        return self._builds.names()

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        return self._builds.exists(index)

    def resolve(self, index: str) -> str:
        """The physical name that a published index's name stands for."""
        return self._builds.resolve(index).physical

    def create(self, index: str, stamp: Stamp, vocabulary: Sequence[str]) -> str:
        """Start a build; see ``Engine``."""
        facts = {"engine": KIND, "qdrant_edge": version("qdrant-edge-py")}
        return self._builds.create(index, stamp, vocabulary, facts=facts).physical

    def publish(self, index: str, physical: str) -> None:
        """Optimise the build, let the name stand for it, drop what it stood for before."""
        build = self._builds.resolve(physical)
        self._shard(physical).optimize()
        before = self._builds.publish(index, build)
        if before is not None:
            self._let_go(before)
            remove_folder(before.folder)

    def add(self, index: str, entries: Iterable[Entry]) -> Iterator[Failure]:
        """Stream entries in and yield each refused for good; see ``Engine``."""
        shard = self._shard(index)
        reader = iter(entries)
        while batch := list(islice(reader, BATCH_DOCUMENTS)):
            points = {}
            for entry in batch:
                try:
                    points[entry.document.doc_id] = shard.point(entry)
                except ValueError as error:
                    yield Failure(str(entry.document.doc_id), str(error))
            if points:
                shard.upsert(list(points.values()))

    def delete(self, index: str, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        return self._shard(index).delete(list(doc_ids))

    def delete_matching(self, index: str, conditions: Filter) -> int:
        """Delete the documents that satisfy every condition; returns how many."""
        return self._shard(index).delete_matching(conditions)

    def refresh(self, index: str) -> None:
        """Make everything added so far durable; it is searchable already."""
        self._shard(index).flush()

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer each request completely, or raise; see ``Engine``."""
        shard = self._shard(index)
        return [shard.search(require_request(request)) for request in requests]

    def get(self, index: str, doc_ids: Sequence[str]) -> list[Entry | None]:
        """Read stored documents with their vectors; None for an id that is not there."""
        found = self._shard(index).retrieve(doc_ids, vectors=True)
        return [found.get(doc_id) for doc_id in doc_ids]

    def scan(self, index: str) -> Iterator[Entry]:
        """Read everything, in no particular order."""
        return self._shard(index).scan()

    def stats(self, index: str) -> IndexStats:
        """Count documents and bytes on disk."""
        shard = self._shard(index)
        return IndexStats(shard.count(), folder_bytes(shard.build.folder))

    def describe(self, index: str) -> Stamp:
        """Read the stamp; the index may be held by another process."""
        return self._builds.describe(self._builds.resolve(index))

    def vocabulary(self, index: str) -> tuple[str, ...]:
        """Every term a vector may hold, in column order."""
        return self._builds.vocabulary(self._builds.resolve(index))

    def drop(self, index: str) -> None:
        """Remove an index with all its builds, or one build."""
        builds = [self._builds.resolve(index)] if "@" in index else self._builds.builds(index)
        for build in builds:
            self._let_go(build)
        self._builds.drop(index)

    def close(self) -> None:
        """Write what is pending and let go of the files."""
        held, self._held = self._held, {}
        for shard in held.values():
            _release(shard)

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shard(self, index: str) -> Shard:
        build = self._builds.resolve(index)
        shard = self._held.get(build.folder)
        if shard is None or shard.pid != os.getpid():
            shard = _acquire(self._builds, build)
            self._held[build.folder] = shard
        return shard

    def _let_go(self, build: Build) -> None:
        """Close a build that is about to be removed, whoever in this process uses it."""
        self._held.pop(build.folder, None)
        with _LOCK:
            shard = _OPEN.pop(build.folder.resolve(), None)
        if shard is not None and shard.pid == os.getpid():
            shard.discard()


_LOCK = threading.Lock()
_OPEN: dict[Path, Shard] = {}


def _acquire(builds: Builds, build: Build) -> Shard:
    key = build.folder.resolve()
    with _LOCK:
        shard = _OPEN.get(key)
        if shard is None or shard.pid != os.getpid():
            _require_version(builds, build)
            shard = Shard(build, builds.vocabulary(build))
            _OPEN[key] = shard
        shard.users += 1
        return shard


def _release(shard: Shard) -> None:
    with _LOCK:
        shard.users -= 1
        key = shard.build.folder.resolve()
        if shard.users > 0 or _OPEN.get(key) is not shard or shard.pid != os.getpid():
            return
        del _OPEN[key]
        shard.close()


def _require_version(builds: Builds, build: Build) -> None:
    wrote, have = builds.manifest(build).get("qdrant_edge", ""), version("qdrant-edge-py")
    if str(wrote).split(".")[:2] != have.split(".")[:2]:
        raise EngineError(
            f"index {build.name!r} was written by qdrant-edge {wrote}, this is {have}, and its "
            f"files are not promised to be readable. Install qdrant-edge-py=={wrote}, or index "
            "again with --replace."
        )


def _open(build: Build) -> Any:
    folder = build.folder / SHARD
    try:
        if folder.is_dir():
            return qdrant.EdgeShard.load(str(folder))
        folder.mkdir()
        return qdrant.EdgeShard.create(str(folder), _config())
    except OSError as error:
        raise storage_error(folder, error) from None
    except Exception as error:  # noqa: BLE001  # the store raises nothing more precise
        if "WouldBlock" in str(error):
            raise IndexLockedError(_locked(build)) from None
        raise EngineError(
            f"index {build.name!r} cannot be opened ({error}). If it is damaged, index again "
            "with --replace."
        ) from None


def _locked(build: Build) -> str:
    holder = "another process"
    with contextlib.suppress(OSError):
        holder = f"process {(build.folder / OWNER).read_text().strip()}"
    return f"index {build.name!r} is open in {holder}. Wait until it ends, or stop it."


def _config() -> Any:
    return qdrant.EdgeConfig(sparse_vectors={VECTOR: qdrant.EdgeSparseVectorParams()})


def _known_terms(terms: SparseVector, columns: dict[str, int]) -> list[tuple[int, float]]:
    return sorted((columns[term], weight) for term, weight in terms.items() if term in columns)


def _filter(clause: dict[str, Any]) -> Any:
    """Build the store's own filter from the JSON form."""
    return qdrant.Filter(
        must=[_condition(c) for c in clause["must"]] if "must" in clause else None,
        should=[_condition(c) for c in clause["should"]] if "should" in clause else None,
    )


def _condition(clause: dict[str, Any]) -> Any:
    if "nested" in clause:
        nested = clause["nested"]
        return qdrant.NestedCondition(nested["key"], _filter(nested["filter"]))
    if "match" in clause:
        return qdrant.FieldCondition(clause["key"], match=qdrant.MatchAny(clause["match"]["any"]))
    if "range" in clause:
        return qdrant.FieldCondition(clause["key"], range=qdrant.RangeFloat(**clause["range"]))
    return _filter(clause)
