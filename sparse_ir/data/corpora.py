"""Any source of texts becomes a stream of documents or queries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sparse_ir.data.records import RowError, to_document, to_query
from sparse_ir.data.rows import BadRow
from sparse_ir.data.seen import SeenIds
from sparse_ir.data.sources import find_parts
from sparse_ir.errors import InputError
from sparse_ir.types import Document, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from sparse_ir.data.sources import Part

__all__ = ["PYTHON_DOCS", "BadRow", "read_documents", "read_queries"]

PYTHON_DOCS = "python-docs"
"""The source that every machine has: the documentation of Python's standard library."""

Record = TypeVar("Record", Document, Query)

_LINE_BITS = 40


def read_documents(
    source: str, *, limit: int | None = None, on_bad: Callable[[BadRow], None] | None = None
) -> Iterator[Document]:
    """Stream the documents of a source; ids are unique.

    Args:
        source: What ``find_parts`` takes, or "python-docs".
        limit: Read at most so many documents.
        on_bad: Called with each row that is passed over: malformed, without id or text, or with an
            id that was there before. By default the first such row ends the reading.

    Raises:
        InputError: there is no such source, it holds no documents, or a row is bad.
    """
    if source == PYTHON_DOCS:
        from sparse_ir.data.python_docs import read_python_docs

        return islice(read_python_docs(), limit)
    records = _records(find_parts(source, "corpus"), to_document, on_bad or _refuse_document)
    return _some(records, source, "documents", limit)


def read_queries(source: str, *, limit: int | None = None) -> Iterator[Query]:
    """Stream the queries of a source; ids are unique.

    A file with one query a line gives the line numbers as ids.

    Args:
        source: What ``find_parts`` takes.
        limit: Read at most so many queries.

    Raises:
        InputError: there is no such source, it holds no queries, or a row is bad.
    """
    records = _records(find_parts(source, "queries"), to_query, _refuse_query)
    return _some(records, source, "queries", limit)


def _records(
    parts: Sequence[Part],
    convert: Callable[[Mapping[str, Any]], Record],
    on_bad: Callable[[BadRow], None],
) -> Iterator[Record]:
    seen = SeenIds()
    for number, part in enumerate(parts):
        for line, row in part.rows():
            if isinstance(row, BadRow):
                on_bad(row)
                continue
            try:
                record = convert(row)
            except RowError as error:
                on_bad(BadRow(part.label, line, str(error)))
                continue
            before = seen.add(record[0], number << _LINE_BITS | line)
            if before is None:
                yield record
            else:
                on_bad(BadRow(part.label, line, _duplicate(record[0], before, number, parts)))


def _duplicate(record_id: str, before: int, number: int, parts: Sequence[Part]) -> str:
    first, line = before >> _LINE_BITS, before & ((1 << _LINE_BITS) - 1)
    where = f"line {line}" if first == number else f"{parts[first].label}, line {line}"
    return f"has the id {record_id!r} again (first: {where})"


def _some(records: Iterator[Record], source: str, what: str, limit: int | None) -> Iterator[Record]:
    """Give at most ``limit`` records, and an error instead of none."""
    empty = True
    for record in islice(records, limit):
        empty = False
        yield record
    if empty and limit != 0:
        raise InputError(f"holds no {what}.", path=source)


def _refuse_document(row: BadRow) -> None:
    raise InputError(
        f"{row.reason}. Correct it, or pass over such rows with --skip-bad.",
        path=row.path,
        line=row.line,
    )


def _refuse_query(row: BadRow) -> None:
    raise InputError(f"{row.reason}.", path=row.path, line=row.line)
