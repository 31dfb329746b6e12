"""The files and datasets of a source of examples, as rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.examples_tsv import tsv_lines
from sparse_ir.data.files import STANDARD_INPUT, missing, open_binary
from sparse_ir.data.formats import SUFFIXES, format_of, read_rows
from sparse_ir.data.rows import BadRow, numbered_lines
from sparse_ir.data.tables import csv_rows
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.data.formats import Format
    from sparse_ir.data.rows import Row

_QRELS_HEADER = ["query-id", "corpus-id", "score"]
_COLUMNS = frozenset({"anchor", "query", "question", "query_id", "qid", "sentence1", "query-id"})


class Table(NamedTuple):
    """One file or dataset with rows.

    Attributes:
        label: What messages name; the path where it is a file.
        rows: Reads it from the start.
        headerless: It is tab-separated and names no columns.
    """

    label: str
    rows: Callable[[], Iterator[Row]]
    headerless: bool = False

    def first(self) -> dict[str, Any] | list[str]:
        """The first row: named columns, or the values of a headerless one.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        if self.headerless:
            for _, values in tsv_lines(self.label):
                return values
        for line, row in self.rows():
            if isinstance(row, BadRow):
                raise InputError(f"{row.reason}.", path=self.label, line=line)
            return row
        raise InputError("holds no examples.", path=self.label)


def is_beir(source: str) -> bool:
    """Whether a source is a BEIR folder, or a file of judgements in BEIR's form."""
    path = Path(source)
    if path.is_dir():
        return (path / "qrels").is_dir()
    if path.is_file() and format_of(path) == "tsv":
        return _header(source) == _QRELS_HEADER
    return False


def find_tables(source: str, split: str) -> list[Table]:
    """Find the files of a source.

    Args:
        source: A file, a folder of files, a folder that ``datasets`` saved, or a dataset id.
        split: Which part, where there are several.

    Raises:
        InputError: there is no such source, or it holds nothing that can be read.
    """
    if source == STANDARD_INPUT:
        raise InputError("examples are read more than once. Give a file.", path="standard input")
    path = Path(source)
    if path.is_dir():
        return _of_folder(path, split)
    if path.is_file():
        return [_table(path)]
    if source.startswith("hf:") or ("/" in source and not path.parent.is_dir()):
        from sparse_ir.data.hub import hub_rows

        name = source.removeprefix("hf:")
        return [Table(f"hf:{name}", partial(hub_rows, name, split))]
    raise missing(path)


def _of_folder(folder: Path, split: str) -> list[Table]:
    from sparse_ir.data.saved import saved_rows

    saved = folder / split if (folder / "dataset_dict.json").is_file() else folder
    if (saved / "state.json").is_file():
        return [Table(str(saved), partial(saved_rows, saved))]
    files = sorted(p for p in folder.iterdir() if format_of(p) and p.name[0] != "." and p.is_file())
    files = [p for p in files if p.name.startswith(split)] or files
    if not files:
        raise InputError(
            f"the folder holds no examples. Expected files that end with {', '.join(SUFFIXES)}, a "
            "saved dataset, or corpus, queries and qrels.",
            path=folder,
        )
    return [_table(file) for file in files]


def _table(path: Path) -> Table:
    label = str(path)
    kind = format_of(path) or _by_first_line(label)
    if kind == "csv":
        return Table(label, partial(_csv, label))
    if kind != "tsv":
        return Table(label, partial(read_rows, path, format=kind))
    header = _header(label)
    if not _COLUMNS.isdisjoint(header):
        return Table(label, partial(_tsv, label, header))
    return Table(label, partial(_tsv, label, []), headerless=True)


def _by_first_line(path: str) -> Format | None:
    with open_binary(path) as stream:
        for _, line in numbered_lines(stream, path):
            if not line.isspace():
                if line.lstrip().startswith(b"{"):
                    return "jsonl"
                return "tsv" if b"\t" in line else None
    return None


def _header(path: str) -> list[str]:
    for _, values in tsv_lines(path):
        return [value.strip().lower() for value in values]
    return []


def _tsv(path: str, names: list[str]) -> Iterator[Row]:
    lines = tsv_lines(path)
    next(lines, None)
    for number, values in lines:
        if len(values) != len(names):
            yield number, BadRow(path, number, f"has {len(values)} columns instead of {len(names)}")
        else:
            yield number, dict(zip(names, values, strict=True))


def _csv(path: str) -> Iterator[Row]:
    with open_binary(path) as stream:
        yield from csv_rows(numbered_lines(stream, path), path, any_header=True)
