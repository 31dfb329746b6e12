"""Rows of TSV and CSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from sparse_ir.data.rows import ID_FIELDS, NOT_UTF8, TEXT_FIELDS, BadRow
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.data.rows import Line, Row

_KNOWN = ID_FIELDS | TEXT_FIELDS | {"title"}
_SHOWN = 200
_FIELD_CHARACTERS = 1 << 26  # a quote that is never closed must not swallow the whole file

HEADERLESS = {2: ("id", "text"), 4: ("id", "url", "title", "text")}
"""Columns of TSV without a header, as MS MARCO publishes passages, queries and documents."""


def tsv_rows(lines: Iterable[Line], label: str) -> Iterator[Row]:
    """Read tab-separated lines; nothing is quoted.

    A first line that names an id and a text column is a header. Otherwise there are two columns
    (id, text) or four (id, url, title, text).
    """
    names: Sequence[str] = ()
    for number, line in lines:
        if line.isspace():
            continue
        try:
            values = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            yield number, BadRow(label, number, NOT_UTF8)
            continue
        if not names:
            header = _names(values)
            if _names_a_text(header):
                names = header
                continue
            names = HEADERLESS.get(len(values), HEADERLESS[2])
        yield number, _named(names, values, label, number)


def csv_rows(lines: Iterable[Line], label: str, *, any_header: bool = False) -> Iterator[Row]:
    """Read comma-separated records below a header; quoted fields may hold line breaks.

    Args:
        lines: The file.
        label: What messages name.
        any_header: Take any header; by default it must name an id and a text column.

    Raises:
        InputError: the header does not name an id and a text column.
    """
    # The limit belongs to the process; its default of 128 KiB is less than some texts need.
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
    source = _DecodedLines(lines)
    records = csv.reader(source, strict=True)
    names: Sequence[str] = ()
    while True:
        number = source.number + 1
        source.undecodable = False
        bad: str | None = None
        values: list[str] = []
        try:
            values = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            bad = f"is not CSV ({error})"
        if source.undecodable:
            bad = NOT_UTF8
        if bad is not None:
            yield number, BadRow(label, number, bad)
        elif not values:
            continue
        elif names:
            yield number, _named(names, values, label, number)
        else:
            names = _names(values) if any_header else _header(values, label, number)


def _header(values: Sequence[str], label: str, number: int) -> Sequence[str]:
    names = _names(values)
    if _names_a_text(names):
        return names
    found = ", ".join(names)
    separator = next((mark for mark in ";|\t" if len(names) == 1 and mark in found), None)
    if separator is not None:
        found = f"columns that {separator!r} separates, where a comma must: {found}"
    raise InputError(
        f"a CSV file begins with a header that names an id column ({_or(ID_FIELDS)}) and a "
        f"text column ({_or(TEXT_FIELDS)}). Found: {found[:_SHOWN]}",
        path=label,
        line=number,
    )


class _DecodedLines:
    """Lines as text, noting those that are not UTF-8 instead of failing."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self.number = 0
        self.undecodable = False

    def __iter__(self) -> _DecodedLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.undecodable = True
            return line.decode(errors="replace")


def _names(values: Sequence[str]) -> Sequence[str]:
    """Column names; those we know in lower case."""
    stripped = (value.strip() for value in values)
    return tuple(name.lower() if name.lower() in _KNOWN else name for name in stripped)


def _names_a_text(names: Sequence[str]) -> bool:
    return not ID_FIELDS.isdisjoint(names) and not TEXT_FIELDS.isdisjoint(names)


def _named(
    names: Sequence[str], values: Sequence[str], label: str, number: int
) -> dict[str, Any] | BadRow:
    if len(values) != len(names):
        found = "1 column" if len(values) == 1 else f"{len(values)} columns"
        wanted = f"{len(names)} ({', '.join(names)})"
        return BadRow(label, number, f"has {found} instead of {wanted}")
    row = dict(zip(names, values, strict=True))
    row.pop("", None)  # a column without a name, such as the row numbers of pandas
    return row


def _or(names: Iterable[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} or {last}"
