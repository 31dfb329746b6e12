"""Rows with their line numbers from JSONL, TSV, CSV, plain lines and Parquet, one at a time.

A row that cannot be read comes out as a ``BadRow`` in its place, and reading goes on after it: the
caller decides whether that is the end.
"""

from __future__ import annotations

import json
import math
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sparse_ir.data.files import STANDARD_INPUT, open_binary
from sparse_ir.data.parquet import parquet_rows
from sparse_ir.data.rows import ID_FIELDS, NOT_UTF8, TEXT_FIELDS, BadRow, numbered_lines
from sparse_ir.data.tables import csv_rows, tsv_rows
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparse_ir.data.rows import Line, Row

Format: TypeAlias = Literal["jsonl", "tsv", "csv", "lines", "parquet"]

SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tsv": "tsv",
    ".csv": "csv",
    ".parquet": "parquet",
}
COMPRESSED = (".gz", ".zst")

_PARQUET = b"PAR1"
_ARRAY = (b"[{", b'["', b"[[", b"[\n", b"[\r", b"[]")


def read_rows(
    path: str | Path,
    *,
    format: Format | None = None,  # noqa: A002  the word that everyone looks for
    otherwise: Format | None = None,
) -> Iterator[Row]:
    """Read a file row by row; its size does not matter.

    Args:
        path: A file, or "-" for standard input.
        format: By default that of the file's name, and where the name does not tell, of its first
            line: an object is JSONL, a tab means TSV. "lines" gives each line as ``text``, its
            number as ``id``.
        otherwise: The format when neither tells.

    Yields:
        Line (or row) number and row. Columns of a TSV without header are named as in MS MARCO.

    Raises:
        InputError: the file cannot be read, or its format is not known.
    """
    label = "standard input" if str(path) == STANDARD_INPUT else str(path)
    chosen = format or format_of(path)
    if chosen == "parquet":
        yield from parquet_rows(path)
        return
    with open_binary(path) as stream:
        lines = numbered_lines(stream, label)
        if chosen is None:
            chosen, lines = _by_first_line(lines, label, otherwise)
        yield from _READERS[chosen](lines, label)


def format_of(path: str | Path) -> Format | None:
    """The format that a file's name tells, or None."""
    name = Path(path)
    if name.suffix.lower() in COMPRESSED:
        name = name.with_suffix("")
    return SUFFIXES.get(name.suffix.lower())


def _by_first_line(
    lines: Iterator[Line], label: str, otherwise: Format | None
) -> tuple[Format, Iterator[Line]]:
    """Tell the format by the first line that is not blank; give all lines from there on."""
    for number, line in lines:
        if line.isspace():
            continue
        chosen = _format_of_line(line) or otherwise
        if chosen is None or line.lstrip().startswith((_PARQUET, *_ARRAY)):
            raise InputError(_unknown(line), path=label, line=number)
        return chosen, chain([(number, line)], lines)
    return "jsonl", iter(())


def _format_of_line(line: bytes) -> Format | None:
    if line.lstrip().startswith(b"{"):
        return "jsonl"
    if b"\t" in line:
        return "tsv"
    columns = {name.strip().strip('"').lower() for name in line.decode(errors="replace").split(",")}
    return "csv" if columns & ID_FIELDS and columns & TEXT_FIELDS else None


def _unknown(line: bytes) -> str:
    if line.startswith(_PARQUET):
        return "is a Parquet file. Give it a name that ends with .parquet."
    if line.lstrip().startswith(_ARRAY):
        return "holds one JSON array. Write one object a line (jq -c '.[]')."
    return (
        "its format is not known by its first line. Use JSONL (one object a line), TSV, or a name "
        f"that ends with {', '.join(SUFFIXES)}."
    )


def _no_value(constant: str) -> None:
    """NaN and the infinities are no JSON; who writes them means that there is no value."""
    del constant


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number[:20]} is beyond the largest number of 64 bits")
    return value


_json = json.JSONDecoder(parse_constant=_no_value, parse_float=_finite)


def _parse(line: str) -> Any:
    """Do as ``json.loads``, in two thirds of the time where a line begins with its object."""
    try:
        row, end = _json.raw_decode(line)
    except json.JSONDecodeError:
        return _json.decode(line)
    return row if end == len(line) or line[end:].isspace() else _json.decode(line)


def _jsonl_rows(lines: Iterable[Line], label: str) -> Iterator[Row]:
    for number, line in lines:
        try:
            row = _parse(line.decode())
        except UnicodeDecodeError:
            yield number, BadRow(label, number, NOT_UTF8)
        except (ValueError, RecursionError) as error:
            if not line.isspace():
                yield number, BadRow(label, number, f"is not JSON ({_complaint(error)})")
        else:
            if not isinstance(row, dict):
                row = BadRow(label, number, "is not a JSON object")
            elif b"\\" in line and _is_half_a_character(row, line):
                row = BadRow(label, number, "holds half of a surrogate pair (\\ud800 to \\udfff)")
            yield number, row


def _is_half_a_character(row: dict[str, Any], line: bytes) -> bool:
    if b"\\ud" in line or b"\\uD" in line:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return True
    return False


def _complaint(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, character {error.pos + 1}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _plain_lines(lines: Iterable[Line], label: str) -> Iterator[Row]:
    for number, line in lines:
        if line.isspace():
            continue
        try:
            yield number, {"id": number, "text": line.decode().rstrip("\r\n")}
        except UnicodeDecodeError:
            yield number, BadRow(label, number, NOT_UTF8)


_READERS = {"jsonl": _jsonl_rows, "tsv": tsv_rows, "csv": csv_rows, "lines": _plain_lines}
