"""qdrant-edge as the embedded engine uses it: opening, errors, filters, queries."""

from __future__ import annotations

import contextlib
import os
import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import qdrant_edge as qdrant

from sparse_ir.engines.builds import storage_error
from sparse_ir.engines.embedded_filters import TOKENS
from sparse_ir.engines.embedded_settings import store_settings
from sparse_ir.errors import EngineError, IndexLockedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparse_ir.engines.builds import Build
    from sparse_ir.engines.stamp import DenseSpace

FOLDER = "shard"
OWNER = "owner.pid"
VECTOR = "terms"
DENSE = "dense"
ID = "i"
RECORD = "d"
_ALL = 2**32 - 1
_NAMESPACE = uuid.UUID("5f2f1fd0-6c39-5b0e-9a55-0d7e3b9f7c11")


def installed() -> str:
    """The version of qdrant-edge."""
    return version("qdrant-edge-py")


def point_id(doc_id: str) -> str:
    """The id by which the store knows a document: a UUID made from the document's own."""
    return str(uuid.uuid5(_NAMESPACE, doc_id))


def create_store(build: Build, space: DenseSpace | None) -> Any:
    """Make the store of a new build, with room for dense vectors where there is a space of them.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with errors_of(build):
        store = qdrant.EdgeShard.create(str(build.folder / FOLDER), _config(space))
        store.update(_index_tokens())
        store.flush()
    _say_who_holds(build)
    return store


def open_store(build: Build, space: DenseSpace | None) -> Any:
    """Open the store of a build.

    Raises:
        IndexLockedError: another process holds it.
        EngineError: it is damaged.
    """
    with errors_of(build):
        if not any((build.folder / FOLDER).glob("segments/*/segment.json")):
            # the store would take this for a new one, and an index would seem empty
            raise ValueError("the segments are missing")
        store = qdrant.EdgeShard.load(str(build.folder / FOLDER), _config(space))
    _say_who_holds(build)
    return store


def index_numbers(path: str) -> Any:
    """Build the operation that makes a range of integers quick."""
    params = qdrant.IntegerIndexParams(lookup=False, range=True, memory=qdrant.Memory.Cold)
    return qdrant.UpdateOperation.create_field_index(path, params)


def close_store(store: Any, build: Build) -> None:
    """Let go of the files as they are."""
    store.close()
    with contextlib.suppress(OSError):
        (build.folder / OWNER).unlink()


@contextlib.contextmanager
def errors_of(build: Build) -> Iterator[None]:
    """Turn what the store raises into errors that name the index and say what to do."""
    try:
        yield
    except OSError as error:
        raise storage_error(build.folder, error) from error
    except Exception as error:
        raise _error(build, str(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the store's, when it finds itself damaged
            raise
        raise _error(build, str(error)) from error


def condition(clause: dict[str, Any]) -> Any:
    """Build a filter from its JSON form."""
    return qdrant.Filter(
        must=[_condition(c) for c in clause["must"]] if "must" in clause else None,
        should=[_condition(c) for c in clause["should"]] if "should" in clause else None,
    )


def query(
    terms: Sequence[tuple[int, float]],
    *,
    limit: int,
    only: Any,
    keys: list[str],
    require: Sequence[int] = (),
) -> Any:
    """Build a search.

    Args:
        terms: Columns and weights.
        limit: Hits wanted.
        only: A filter, or None.
        keys: Which payload hits shall bring.
        require: Columns that a hit must hold, each of them.
    """
    return qdrant.QueryRequest(
        limit=limit,
        query=_nearest(terms),
        prefetches=_holding(require, only),
        with_payload=keys,
        filter=only,
    )


def _nearest(terms: Sequence[tuple[int, float]]) -> Any:
    columns, weights = [column for column, _ in terms], [weight for _, weight in terms]
    return qdrant.Query.Nearest(qdrant.SparseVector(columns, weights), using=VECTOR)


MOST_REQUIRED = 64
"""Terms that hits can be asked to hold: the store takes no more stages."""


def _holding(columns: Sequence[int], only: Any) -> Any:
    """Stages that each leave the documents with one more of the columns; None where none must.

    The payload knows no terms, but a search by a single one finds all documents that hold it, and
    the stage after it searches among what it found.
    """
    stages = None
    for column in columns:
        found = qdrant.Prefetch(
            _ALL, query=_nearest([(column, 1.0)]), prefetches=stages, filter=only
        )
        stages = [found]
    return stages


def dense_query(
    vector: Sequence[float],
    *,
    limit: int,
    only: Any,
    keys: list[str],
    require: Sequence[int] = (),
) -> Any:
    """Build an exact search by dense vector, whose hits bring their own.

    Args:
        vector: Of the query.
        limit: Hits wanted.
        only: A filter, or None.
        keys: Which payload hits shall bring.
        require: Columns that a hit must hold, each of them.
    """
    return qdrant.QueryRequest(
        limit=limit,
        query=qdrant.Query.Nearest(list(vector), using=DENSE),
        prefetches=_holding(require, only),
        with_payload=keys,
        with_vector=[DENSE],
        filter=only,
        params=qdrant.SearchParams(exact=True),
    )


def _config(space: DenseSpace | None) -> Any:
    settings = store_settings()
    vectors = None
    if space is not None:
        # searched exactly, row by row: no graph is built. Vectors that need length 1 have it.
        graph = qdrant.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=10)
        vectors = {
            DENSE: qdrant.EdgeVectorParams(space.dimension, qdrant.Distance.Dot, hnsw_config=graph)
        }
    return qdrant.EdgeConfig(
        vectors=vectors,
        sparse_vectors={VECTOR: qdrant.EdgeSparseVectorParams()},
        optimizers=qdrant.EdgeOptimizersConfig(
            default_segment_number=settings.most_segments,
            indexing_threshold=settings.smallest_indexed_kb,
        ),
    )


def _index_tokens() -> Any:
    """Build the operation that makes equality with a value quick."""
    params = qdrant.KeywordIndexParams(memory=qdrant.Memory.Cold)
    return qdrant.UpdateOperation.create_field_index(TOKENS, params)


def _say_who_holds(build: Build) -> None:
    with contextlib.suppress(OSError):  # it only makes a message clearer
        (build.folder / OWNER).write_text(str(os.getpid()))


def _condition(clause: dict[str, Any]) -> Any:
    if "nested" in clause:
        nested = clause["nested"]
        return qdrant.NestedCondition(nested["key"], condition(nested["filter"]))
    if "match" in clause:
        return qdrant.FieldCondition(clause["key"], match=qdrant.MatchAny(clause["match"]["any"]))
    if "range" in clause:
        return qdrant.FieldCondition(clause["key"], range=qdrant.RangeFloat(**clause["range"]))
    return condition(clause)


def _error(build: Build, words: str) -> Exception:
    if "WouldBlock" in words:
        holder = "another process"
        with contextlib.suppress(OSError):
            holder = f"process {(build.folder / OWNER).read_text().strip()}"
        return IndexLockedError(
            f"index {build.name!r} is open in {holder}. Wait until it ends, or stop it."
        )
    if "os error 28" in words or "No space left" in words:
        return StorageError(f"{build.folder}: the disk is full. Make room and try again.")
    return EngineError(
        f"index {build.name!r} in {build.folder}: {' '.join(words.split())}. If it is damaged, "
        "index again with --replace."
    )
