"""Any source of texts becomes a stream of documents or queries."""

from __future__ import annotations

import platform
from bisect import bisect_left
from itertools import islice
from pathlib import Path
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

    from sparse_ir.data.sources import Kind, Part

__all__ = [
    "PYTHON_DOCS",
    "BadRow",
    "corpus_bytes",
    "files_stamp",
    "read_documents",
    "read_queries",
]

PYTHON_DOCS = "python-docs"
"""The source that every machine has: the documentation of Python's standard library."""

Record = TypeVar("Record", Document, Query)


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
        from sparse_ir.data.python_docs import python_docs

        return islice(python_docs(), limit)
    return islice(_records(source, "corpus", to_document, on_bad), limit)


def read_queries(source: str, *, limit: int | None = None) -> Iterator[Query]:
    """Stream the queries of a source; ids are unique.

    A file with one query a line gives the line numbers as ids.

    Args:
        source: What ``find_parts`` takes.
        limit: Read at most so many queries.

    Raises:
        InputError: there is no such source, it holds no queries, or a row is bad.
    """
    return islice(_records(source, "queries", to_query, None), limit)


def _records(
    source: str,
    kind: Kind,
    convert: Callable[[Mapping[str, Any]], Record],
    on_bad: Callable[[BadRow], None] | None,
) -> Iterator[Record]:
    """Find the parts at once, so that a wrong name is noticed before anything else is done."""
    return _read(find_parts(source, kind), source, kind, convert, on_bad)


def _read(
    parts: Sequence[Part],
    source: str,
    kind: Kind,
    convert: Callable[[Mapping[str, Any]], Record],
    on_bad: Callable[[BadRow], None] | None,
) -> Iterator[Record]:
    seen = SeenIds()
    bases: list[int] = []  # how many lines lie before each part
    bad_rows = line = 0
    for part in parts:
        bases.append(bases[-1] + line if bases else 0)
        for line, row in part.rows():
            try:
                if isinstance(row, BadRow):
                    raise RowError(row.reason)
                record = convert(row)
                before = seen.add(record[0], bases[-1] + line)
                if before is not None:
                    raise RowError(_duplicate(record[0], before, bases, parts))
            except RowError as error:
                bad = BadRow(part.label, line, str(error))
                if on_bad is None:
                    raise _refusal(bad, kind) from None
                on_bad(bad)
                bad_rows += 1
            else:
                yield record
    if not seen:
        what = "documents" if kind == "corpus" else "queries"
        unfit = f"; {bad_rows} rows could not be used" if bad_rows else ""
        raise InputError(f"holds no {what}{unfit}.", path=source)


def _duplicate(record_id: str, before: int, bases: Sequence[int], parts: Sequence[Part]) -> str:
    first = bisect_left(bases, before) - 1  # lines count from 1
    where = f"line {before - bases[first]}"
    if first != len(bases) - 1:
        where = f"{parts[first].label}, {where}"
    return f"has the duplicate id {record_id!r} (first: {where})"


def _refusal(row: BadRow, kind: Kind) -> InputError:
    remedy = ". Correct it, or pass over such rows with --skip-bad." if kind == "corpus" else "."
    return InputError(row.reason + remedy, path=row.path, line=row.line)


def corpus_bytes(source: str) -> int | None:
    """The size of a source's files, by which a run that goes on knows them; None without files."""
    path = Path(source)
    if source == PYTHON_DOCS or not path.exists():
        return None
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def files_stamp(source: str) -> Any:
    """What changes when a source does, as JSON values: its files' names, sizes and times.

    Of what is no file or folder it is the name.
    """
    if source == PYTHON_DOCS:
        return platform.python_version()
    path = Path(source)
    if not path.exists():
        return source
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
