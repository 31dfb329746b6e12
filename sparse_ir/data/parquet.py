"""Rows of Parquet and Arrow files, a batch at a time."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import STANDARD_INPUT, unreadable
from sparse_ir.data.rows import BadRow
from sparse_ir.errors import InputError, brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from sparse_ir.data.rows import Row

_BATCH_ROWS = 256


def parquet_rows(path: str | Path) -> Iterator[Row]:
    """Read a Parquet file; at most a few hundred rows are held at once.

    Raises:
        InputError: the file cannot be read, or is no Parquet file.
    """
    import pyarrow.parquet as pq

    if str(path) == STANDARD_INPUT:
        raise InputError("Parquet cannot be read from standard input. Give a file.")
    try:
        stream = open(path, "rb")  # noqa: SIM115, PTH123  closed below
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    with stream:
        try:
            file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
            _ = file.schema_arrow.names  # fails here if they are not UTF-8, and not further down
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            yield from rows_of_batches(batches, str(path))
        except _failures() as error:
            raise InputError(f"cannot be read as Parquet ({brief(error)}).", path=path) from None


def parquet_count(path: str | Path) -> int:
    """How many rows a Parquet file says that it holds.

    Raises:
        InputError: the file cannot be read, or is no Parquet file.
    """
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except _failures() as error:
        raise InputError(f"cannot be read as Parquet ({brief(error)}).", path=path) from None


def arrow_rows(paths: Iterable[Path], label: str) -> Iterator[Row]:
    """Read Arrow stream files one after the other, as one numbered source.

    Raises:
        InputError: a file cannot be read.
    """
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        for path in paths:
            try:
                with pa.OSFile(str(path)) as stream, pa.ipc.open_stream(stream) as reader:
                    _ = reader.schema.names  # as above
                    yield from reader
            except _failures() as error:
                raise InputError(f"cannot be read as Arrow ({brief(error)}).", path=path) from None

    return rows_of_batches(batches(), label)


def rows_of_batches(batches: Iterable[pa.RecordBatch], label: str) -> Iterator[Row]:
    """Number the rows of batches from 1; values become what JSON can hold."""
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for row in _dicts(batch.slice(start, _BATCH_ROWS)):
                number += 1
                if row is None:
                    yield number, BadRow(label, number, "is damaged, or not UTF-8 text")
                else:
                    yield number, json_object(row)


def _dicts(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """Give rows as dicts; None for one that points outside its file or is not UTF-8."""
    import pyarrow as pa

    try:
        batch.validate(full=True)  # a damaged file must not lead to memory that is not its own
    except pa.ArrowInvalid:
        if batch.num_rows == 1:
            yield None
        else:
            for i in range(batch.num_rows):
                yield from _dicts(batch.slice(i, 1))
    else:
        yield from batch.to_pylist()


def json_object(row: dict[str, Any]) -> dict[str, Any]:
    """Give every value a form that JSON can hold; bytes (images, audio) are left out."""
    return {
        str(name): value if type(value) in (str, int, bool) else _json_value(value)
        for name, value in row.items()
        if not isinstance(value, bytes)
    }


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return json_object(value)
    if isinstance(value, list | tuple):
        return [_json_value(element) for element in value if not isinstance(element, bytes)]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return str(value)


def _failures() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError)
