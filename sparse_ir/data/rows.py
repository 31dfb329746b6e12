"""What a row of a source is, before it becomes a document or a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

DOC_ID_FIELDS = ("_id", "id", "doc_id", "docid")
QUERY_ID_FIELDS = ("_id", "id", "query_id", "qid")
DOC_TEXT_FIELDS = ("text", "contents", "body")
QUERY_TEXT_FIELDS = ("text", "query")

ID_FIELDS = frozenset(DOC_ID_FIELDS + QUERY_ID_FIELDS)
TEXT_FIELDS = frozenset(DOC_TEXT_FIELDS + QUERY_TEXT_FIELDS)

NOT_UTF8 = "is not UTF-8 text"
_BOM = b"\xef\xbb\xbf"
_LINE_BYTES = 1 << 28  # what goes on for 256 MiB without a line break is no file of rows


class BadRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
        path: The file or dataset.
        line: Line (or row) number, counted from 1.
        reason: What is wrong with it, to be read after "line 7: ".
    """

    path: str
    line: int
    reason: str


Row: TypeAlias = tuple[int, dict[str, Any] | BadRow]
"""A row with its line (or row) number, counted from 1."""

Line: TypeAlias = tuple[int, bytes]
"""A line with its number; the bytes end with the line break."""


def numbered_lines(stream: BinaryIO, label: str) -> Iterator[Line]:
    """Number the lines of a stream from 1; a byte order mark is taken off.

    Raises:
        InputError: a line is longer than 256 MiB, or compressed data is damaged there.
    """
    number = 0
    while line := _next_line(stream, label, number + 1):
        number += 1
        if number == 1 and line.startswith(_BOM):
            line = line[len(_BOM) :]
        if len(line) == _LINE_BYTES:
            raise InputError("goes on for 256 MiB without a line break.", path=label, line=number)
        yield number, line


def _next_line(stream: BinaryIO, label: str, number: int) -> bytes:
    try:
        return stream.readline(_LINE_BYTES)
    except InputError as error:  # of a compressed stream, which knows of no lines
        said = str(error).removeprefix(f"{error.path}: ")
        raise InputError(said, path=label, line=number) from None
