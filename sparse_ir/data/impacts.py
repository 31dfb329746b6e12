"""Anserini's impact format: whole-number weights, which an inverted index keeps as frequencies.

Documents are JSONL, ``{"id": "7", "contents": "the text", "vector": {"term": 125, …}}``, in one
file or in many below a folder. Queries are TSV, an id and each term as often as its weight says.
Anserini's ``JsonVectorCollection`` repeats a document's terms in the same way and cuts decimals
off, so that 0.9 would vanish: weights are multiplied and rounded first. A score is then the sum of
products of whole numbers, and the ranking that of the rounded weights.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.files import missing, open_binary, writing
from sparse_ir.data.formats import COMPRESSED
from sparse_ir.data.records import RowError, to_id, to_vector
from sparse_ir.data.rows import NOT_UTF8, numbered_lines
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.types import Document, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sparse_ir.types import Query, SparseVector

SCALE = 100
"""What Anserini's and Pyserini's own SPLADE models are multiplied by."""

_SUFFIXES = (".json", ".jsonl")
_EXAMPLE = '{"id": "7", "contents": "…", "vector": {"term": 125}}'


def require_scale(scale: int) -> None:
    """Refuse a factor that is no factor.

    Raises:
        ConfigError: it is below 1.
    """
    if scale < 1:
        raise ConfigError(f"the scale is {scale}. It must be at least 1.")


def quantized(vector: SparseVector, scale: int, *, owner: str) -> dict[str, int]:
    """Write weights as whole numbers, round(weight * scale); what becomes 0 is left out.

    >>> quantized({"solar": 1.254, "the": 0.004}, 100, owner="document '7'")
    {'solar': 125}

    Args:
        vector: Term -> weight.
        scale: At least 1.
        owner: Whose vector it is, for messages.

    Raises:
        InputError: a weight is not finite; a term holds a blank, at which an impact index would
            split it.
    """
    whole = {}
    for term, weight in vector.items():
        if not math.isfinite(weight):
            raise InputError(f"{owner} has a weight that is not finite.")
        if term.split() != [term]:
            raise InputError(
                f"the term {term!r} of {owner} holds a blank, at which an impact index would split "
                "it. Export with --format terms."
            )
        impact = round(weight * scale)
        if impact > 0:
            whole[term] = impact
    return whole


def export_queries(
    weighed: Iterable[tuple[Query, SparseVector]],
    path: str | Path,
    *,
    scale: int = SCALE,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[int, int]:
    """Write queries as TSV: an id, a tab, each term as often as its weight says.

    Args:
        weighed: Queries with their vectors.
        path: Compressed when it ends with ``.gz`` or ``.zst``.
        scale: What weights are multiplied by before they are rounded, at least 1.
        advance: Called with the number of queries written.

    Returns:
        How many queries were written, and how many were left out because no term has a weight of
        1 or more: Anserini's reader takes no line without terms.

    Raises:
        ConfigError: the scale is below 1.
        InputError: as ``quantized``.
        StorageError: the file cannot be written.
    """
    require_scale(scale)
    written = empty = 0
    with writing(path) as stream:
        for query, vector in weighed:
            whole = quantized(vector, scale, owner=f"query {query.query_id!r}")
            if whole:
                terms = " ".join(" ".join([term] * impact) for term, impact in whole.items())
                stream.write(f"{query.query_id}\t{terms}\n")
                written += 1
            else:
                empty += 1
            advance(1)
    return written, empty


def impact_files(source: str | Path) -> list[Path]:
    """The files of documents with vectors: the file itself, or all below a folder, by name.

    Raises:
        InputError: there is no such file, or the folder holds none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise missing(path)
    files = sorted(p for p in path.rglob("*") if _holds_vectors(p))
    if not files:
        raise InputError(
            "the folder holds no vectors: neither a manifest.json beside shards, nor files that "
            f"end with {', '.join(_SUFFIXES)} (or these with .gz, .zst).",
            path=path,
        )
    return files


def _holds_vectors(path: Path) -> bool:
    name = path.with_suffix("") if path.suffix in COMPRESSED else path
    return name.suffix in _SUFFIXES and path.name[0] != "." and path.is_file()


def read_impacts(source: str | Path) -> Iterator[Entry]:
    """Read documents with their vectors; weights of 0 are dropped, decimals are welcome.

    Args:
        source: A file, or a folder of files, plain, gzip or zstd.

    Raises:
        InputError: a file cannot be read, or a line is no JSON object with a fit id and a vector of
            terms and weights that are finite and not negative.
    """
    for path in impact_files(source):
        with open_binary(path) as stream:
            for number, line in numbered_lines(stream, str(path)):
                if line.isspace():
                    continue
                try:
                    yield _entry(line)
                except RowError as error:
                    raise InputError(f"{error}.", path=path, line=number) from None


def _entry(line: bytes) -> Entry:
    try:
        row = json.loads(line)
    except UnicodeDecodeError:
        raise RowError(NOT_UTF8) from None
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or "id" not in row or not isinstance(row.get("vector"), dict):
        raise RowError(f"is no line such as {_EXAMPLE}")
    contents = row.get("contents")
    text = contents if isinstance(contents, str) else ""
    return Entry(Document(to_id(row["id"]), text), to_vector(row["vector"]))


def count_terms(text: str) -> SparseVector:
    """Read a query as TSV has it: terms between blanks, each weighing as often as it stands.

    >>> count_terms("solar solar ##s")
    {'solar': 2.0, '##s': 1.0}
    """
    counts: SparseVector = {}
    for term in text.split():
        counts[term] = counts.get(term, 0.0) + 1.0
    return counts
