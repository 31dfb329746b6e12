"""Triplets in tab-separated lines without a header: texts, or ids as MS MARCO publishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.data.examples_raw import RawExample, by_id, by_text, make_example, refusal
from sparse_ir.data.files import open_binary
from sparse_ir.data.records import RowError
from sparse_ir.data.rows import NOT_UTF8, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator


def tsv_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """Read lines that are not blank, split at tabs.

    Raises:
        InputError: the file cannot be read, or a line is not UTF-8.
    """
    with open_binary(path) as stream:
        for number, line in numbered_lines(stream, path):
            if line.isspace():
                continue
            try:
                yield number, line.decode().rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                raise refusal(RowError(NOT_UTF8), path, number) from None


def tsv_examples(path: str, *, ids: bool) -> Iterator[RawExample]:
    """Read query, positive and one or more negatives a line.

    Args:
        path: The file.
        ids: Whether the columns are ids; else they are texts.

    Raises:
        InputError: the file cannot be read, or a line is malformed.
    """
    make = by_id if ids else by_text
    width = 0
    for number, columns in tsv_lines(path):
        width = width or min(len(columns), 3)
        try:
            if len(columns) < max(width, 2):
                raise RowError(
                    f"has {len(columns)} columns (first: {columns[0]!r:.60}); write query, positive"
                    " and negatives, with tabs between them"
                )
            query, positive, *negatives = columns
            yield make_example(
                (path, number),
                make(query, "query"),
                [make(positive, "positive")],
                [make(negative, "negative") for negative in negatives],
            )
        except RowError as error:
            raise refusal(error, path, number) from None
