"""The texts of a table, a portion at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.data.examples_table import TextTable

PORTION = 4096
"""Texts in memory at a time."""


def portions(count: int) -> Iterator[range]:
    """The rows of each portion of a table with so many."""
    for start in range(0, count, PORTION):
        yield range(start, min(start + PORTION, count))


def all_texts(table: TextTable) -> Iterator[str]:
    """Every text, in the order of the rows."""
    for rows in portions(len(table)):
        yield from table.texts(rows)
