"""One shard of vectors as a Parquet table, and back with every promise checked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.data.files import unreadable
from sparse_ir.errors import InputError, brief
from sparse_ir.vectors import SparseBatch, validate

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_ROW_GROUP_DOCUMENTS = 16_384  # some 25 MB of vectors of 180 terms
_WIDTH = b"sparse_ir.vocabulary_size"


def table_bytes(batch: SparseBatch) -> bytes:
    """Give a batch the form of a Parquet file: zstd, with a checksum on every page.

    Raises:
        InputError: an id is no valid Unicode text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    w = batch.weights
    offsets = pa.array(w.indptr, pa.int32())
    try:
        ids = pa.array(batch.ids, pa.string())
    except UnicodeEncodeError as error:
        raise InputError(f"the document id {error.object!r} is no valid Unicode text.") from None
    table = pa.Table.from_arrays(
        [
            ids,
            pa.ListArray.from_arrays(offsets, pa.array(w.indices, pa.int32())),
            pa.ListArray.from_arrays(offsets, pa.array(w.data, pa.float32())),
        ],
        schema=_schema().with_metadata({_WIDTH: str(w.shape[1])}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=_ROW_GROUP_DOCUMENTS,
        compression="zstd",
        use_dictionary=False,  # ids are distinct, weights nearly so
        write_page_checksum=True,
    )
    return bytes(sink.getvalue().to_pybytes())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("indices", pa.list_(pa.int32())),
            pa.field("values", pa.list_(pa.float32())),
        ]
    )


def read_table(
    path: str | Path, *, width: int | None = None, sha256: str | None = None
) -> SparseBatch:
    """Read a shard.

    Args:
        path: The file.
        width: Size of the vocabulary; by default what the file itself says.
        sha256: What the file must have as checksum, if that is known.

    Raises:
        InputError: it is missing, damaged, of another width, or not made of vectors.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise _unusable(path, "its checksum is not the one in the manifest")
    try:
        source = pa.BufferReader(content)
        table = pq.ParquetFile(source, page_checksum_verification=True).read()
        columns = [_column(table, field) for field in _schema()]
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _unusable(path, brief(error)) from None
    said = (table.schema.metadata or {}).get(_WIDTH)
    try:
        return _batch(columns, _width(said, width))
    except ValueError as error:
        raise _unusable(path, str(error)) from None


def _column(table: pa.Table, field: pa.Field) -> pa.Array:
    """A column in one piece and of the wanted type, as other tools may have rewritten it."""
    import pyarrow as pa

    if field.name not in table.column_names:
        raise ValueError(f"there is no column {field.name!r}")
    column = table.column(field.name).cast(field.type)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], field.type)


def _width(said: bytes | None, wanted: int | None) -> int:
    if said is None and wanted is None:
        raise ValueError("it does not say how large its vocabulary is")
    width = int(said) if said is not None else int(wanted or 0)
    if wanted is not None and width != wanted:
        raise ValueError(f"its vocabulary has {width} terms, not {wanted}")
    return width


def _batch(columns: list[Any], width: int) -> SparseBatch:
    ids, indices, values = columns
    if any(column.null_count for column in (ids, indices, values, indices.values, values.values)):
        raise ValueError("an entry is null")
    indptr, ends = np.array(indices.offsets, np.int64), np.array(values.offsets, np.int64)
    indptr -= indptr[0]
    if not np.array_equal(indptr, ends - ends[0]):
        raise ValueError("a vector has more indices than values, or fewer")
    terms, weights = np.array(indices.flatten(), np.int32), np.array(values.flatten(), np.float32)
    _require_columns(ids, indptr, terms, width)
    shape = (len(ids), width)
    batch = SparseBatch(
        tuple(ids.to_pylist()), sparse.csr_array((weights, terms, indptr), shape=shape)
    )
    validate(batch)
    return batch


def _require_columns(ids: Any, indptr: NDArray[Any], terms: NDArray[Any], width: int) -> None:
    row = np.repeat(np.arange(len(ids)), np.diff(indptr))
    outside = (terms < 0) | (terms >= width)
    falling = np.zeros(len(terms), bool)
    falling[1:] = (np.diff(terms) <= 0) & (np.diff(row) == 0)
    for wrong, what in ((outside, "outside the vocabulary"), (falling, "not above the one before")):
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ValueError(f"vector {ids[row[i]].as_py()!r} has the index {terms[i]}, {what}")


def _unusable(path: str | Path, what: str) -> InputError:
    return InputError(f"is no usable shard: {what}. Encode again.", path=path)
