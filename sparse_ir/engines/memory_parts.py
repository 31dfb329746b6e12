"""Where the memory engine keeps an index between runs: numbered Parquet files.

A later file supersedes an earlier one, document by document; a row without a record deletes. Part
of a file's SHA-256 stands in its name, so that one whose bytes were changed is noticed.
"""

from __future__ import annotations

import hashlib
import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sparse_ir.engines.builds import storage_error
from sparse_ir.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

GROUP_ROWS = 8192
_NAME = re.compile(r"part-(\d+)(?:-([0-9a-f]{16}))?\.parquet")  # earlier files have no checksum
SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("record", pa.string()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float32())),
    ]
)
DENSE = pa.field("dense", pa.list_(pa.float32()))
"""One column more, where the index holds dense vectors."""


class Row(NamedTuple):
    """A stored document.

    Attributes:
        record: Title, text and metadata as ``records.pack`` writes them.
        columns: Ascending, int32.
        weights: One a column, float32, above 0.
        dense: The dense vector, float32; None for none.
    """

    record: str
    columns: NDArray[Any]
    weights: NDArray[Any]
    dense: NDArray[Any] | None = None


def parts(folder: Path) -> list[Path]:
    """The files of a build, earliest first."""
    return sorted(path for path in folder.glob("part-*.parquet") if _NAME.fullmatch(path.name))


def number_of(path: Path) -> int:
    """The number of a file of a build."""
    return _parsed(path)[0]


def read_part(path: Path) -> Iterator[tuple[str, Row | None]]:
    """Yield each document of a file; None for one that it deletes.

    Raises:
        EngineError: the file is damaged.
    """
    try:
        content = path.read_bytes()
        wanted = _parsed(path)[1]
        if wanted and _digest(content) != wanted:
            raise pa.ArrowInvalid("its checksum is another")
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            for batch in file.iter_batches(batch_size=GROUP_ROWS):
                yield from _rows(batch)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise EngineError(f"{path} is damaged ({error}). Index again with --replace.") from None


def write_part(
    folder: Path, rows: Iterable[tuple[str, Row | None]], *, dense: bool = False
) -> Path:
    """Write rows as the next file; it is there whole, on disk, or not at all.

    Args:
        folder: Of the build.
        rows: Documents, None for those that are deleted.
        dense: Whether the index holds dense vectors.

    Raises:
        StorageError: the disk is full or not writable.
    """
    before = parts(folder)
    number = _parsed(before[-1])[0] + 1 if before else 0
    name = f"part-{number:08d}"
    aside = folder / f".{name}.{os.getpid()}.tmp"
    try:
        with aside.open("wb") as stream:
            schema = SCHEMA.append(DENSE) if dense else SCHEMA
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                reader = iter(rows)
                while group := list(islice(reader, GROUP_ROWS)):
                    writer.write_batch(_batch(group, schema))
            stream.flush()
            os.fsync(stream.fileno())
        path = folder / f"{name}-{_digest(aside.read_bytes())}.parquet"
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(folder / name, error) from None
    return path


def _parsed(path: Path) -> tuple[int, str | None]:
    """Number and checksum of a file, from its name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is no part of an index")
    return int(match[1]), match[2]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[str, Row | None]]:
    ids, records = batch.column(0).to_pylist(), batch.column(1).to_pylist()
    dense = batch.column(4) if batch.num_columns > 4 else pa.nulls(len(batch))
    for i, (doc_id, record) in enumerate(zip(ids, records, strict=True)):
        if record is None:
            yield doc_id, None
        else:
            columns = batch.column(2)[i].values.to_numpy(zero_copy_only=False)
            weights = batch.column(3)[i].values.to_numpy(zero_copy_only=False)
            own = dense[i].values.to_numpy(zero_copy_only=False) if dense[i].is_valid else None
            yield doc_id, Row(record, columns, weights, own)


def _batch(group: list[tuple[str, Row | None]], schema: pa.Schema) -> pa.RecordBatch:
    kept = [row for _, row in group]
    starts = np.cumsum([0, *(0 if row is None else len(row.columns) for row in kept)])
    there = [row for row in kept if row is not None]
    columns = np.concatenate([np.empty(0, np.int32), *(row.columns for row in there)])
    weights = np.concatenate([np.empty(0, np.float32), *(row.weights for row in there)])
    offsets = pa.array(starts, pa.int32())
    return pa.record_batch(
        [
            pa.array([doc_id for doc_id, _ in group], pa.string()),
            pa.array([None if row is None else row.record for row in kept], pa.string()),
            pa.ListArray.from_arrays(offsets, pa.array(columns, pa.int32())),
            pa.ListArray.from_arrays(offsets, pa.array(weights, pa.float32())),
            *([_dense_column(kept)] if DENSE.name in schema.names else ()),
        ],
        schema=schema,
    )


def _dense_column(kept: list[Row | None]) -> pa.ListArray:
    own = [None if row is None else row.dense for row in kept]
    starts = np.cumsum([0, *(0 if vector is None else len(vector) for vector in own)])
    flat = np.concatenate([np.empty(0, np.float32), *(v for v in own if v is not None)])
    missing = pa.array([vector is None for vector in own], pa.bool_())
    return pa.ListArray.from_arrays(
        pa.array(starts, pa.int32()), pa.array(flat, pa.float32()), mask=missing
    )
