"""Where rows come from: what a word on the command line, or in a recipe, stands for."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sparse_ir.data.files import STANDARD_INPUT, missing, unreadable
from sparse_ir.data.formats import COMPRESSED, SUFFIXES, format_of, read_rows
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sparse_ir.data.rows import Row

Kind: TypeAlias = Literal["corpus", "queries"]
"""What is looked for; in a BEIR folder also the name of its file."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[^@]+)?(@.+)?")


class Part(NamedTuple):
    """One file or dataset of a source.

    Attributes:
        label: What messages name.
        rows: Opens it and reads it from the start.
    """

    label: str
    rows: Callable[[], Iterator[Row]]


def find_parts(source: str, kind: Kind) -> list[Part]:
    """Find what a source stands for; what it holds is read later.

    Args:
        source: A file; a folder in BEIR layout, of such files, or saved by ``datasets``; "-" for
            standard input; ``hf:owner/name[:config][@split]``, or only ``owner/name`` where no such
            path exists; ``irds:`` and an ir_datasets id.
        kind: Documents or queries.

    Raises:
        InputError: there is no such file (the nearest name is proposed), or a folder holds nothing
            that can be read.
        MissingExtraError: an ir_datasets id without that package.
    """
    if source.startswith("irds:"):
        from sparse_ir.data.irds import irds_rows

        return [Part(source, partial(irds_rows, source.removeprefix("irds:"), kind))]
    if source.startswith("hf:"):
        return [_hub(source.removeprefix("hf:"), kind)]
    if source == STANDARD_INPUT:
        return [Part("standard input", partial(_file_rows, source, kind))]
    path = Path(source)
    try:
        if path.exists():
            files = _files_of(path, kind) if path.is_dir() else [path]
            return [_part(file, kind) for file in files]
    except (OSError, ValueError) as error:  # no permission, or a name no file can have
        raise unreadable(path, error) from None
    if _HUB_ID.fullmatch(source) and not _meant_as_path(path):
        return [_hub(source, kind)]
    raise missing(path)


def _meant_as_path(path: Path) -> bool:
    """Whether owner/name is rather a path with a slip of the pen."""
    return format_of(path) is not None or path.suffix in COMPRESSED or path.parent.is_dir()


def _hub(name: str, kind: Kind) -> Part:
    from sparse_ir.data.hub import hub_rows

    return Part(f"hf:{name}", partial(hub_rows, name, kind))


def _part(path: Path, kind: Kind) -> Part:
    if path.is_dir():
        from sparse_ir.data.saved import saved_rows

        return Part(str(path), partial(saved_rows, path))
    return Part(str(path), partial(_file_rows, str(path), kind))


def _file_rows(path: str, kind: Kind) -> Iterator[Row]:
    # A file of queries may hold nothing but one query a line; then its lines are their ids.
    return read_rows(path, otherwise="lines" if kind == "queries" else None)


def _files_of(folder: Path, kind: Kind) -> list[Path]:
    """The files of a folder that hold its documents or its queries, sorted."""
    found = find_named(folder, kind)
    if found is not None:
        return [found]
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return [folder]
    files = sorted(p for p in folder.iterdir() if format_of(p) and p.name[0] != "." and p.is_file())
    if not files:
        raise InputError(
            f"the folder holds no {kind} file. Expected {kind}.jsonl, or files that end with "
            f"{', '.join(SUFFIXES)}.",
            path=folder,
        )
    return files


def find_named(folder: Path, stem: str, suffixes: Iterable[str] = SUFFIXES) -> Path | None:
    """Find the file of that stem and a known format, as ``corpus.jsonl.gz``."""
    for suffix in suffixes:
        for compressed in ("", *COMPRESSED):
            path = folder / f"{stem}{suffix}{compressed}"
            if path.is_file():
                return path
    return None
