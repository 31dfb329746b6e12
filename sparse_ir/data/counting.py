"""How many documents a source holds, where that is cheap to know: for progress bars only."""

from __future__ import annotations

from pathlib import Path

from sparse_ir.data.corpora import PYTHON_DOCS
from sparse_ir.data.files import open_binary
from sparse_ir.data.parquet import parquet_count
from sparse_ir.errors import SparseIRError

_LINED = (".jsonl", ".ndjson", ".tsv", ".txt")
_BLOCK = 1 << 20


def count_rows(source: str, *, limit: int | None = None) -> int | None:
    """Count the rows of a source, or None where that would cost too much.

    A row may turn out to be no document, so the number is an upper bound.

    Args:
        source: As ``read_documents`` takes it.
        limit: No more than this many will be read.
    """
    try:
        count = _count(source, limit)
    except (OSError, SparseIRError):
        return None  # the reader will say what is wrong
    return count if limit is None or count is None else min(count, limit)


def _count(source: str, limit: int | None) -> int | None:
    if source == PYTHON_DOCS:
        from sparse_ir.data.python_docs import python_docs

        return len(python_docs())
    path = Path(source)
    if path.is_dir():
        found = sorted(path.glob("corpus.jsonl*")) or sorted(path.glob("*.parquet"))
        counts = [_count_file(file, limit) for file in found]
        return None if not counts or None in counts else sum(c for c in counts if c is not None)
    return _count_file(path, limit) if path.is_file() else None


def _count_file(path: Path, limit: int | None) -> int | None:
    """The rows of a file, or of its beginning where that holds as many as will be read."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        return parquet_count(path)
    if not name.endswith(_LINED):
        return None
    lines = 0
    last = b"\n"
    with open_binary(path) as stream:
        while block := stream.read(_BLOCK):
            lines += block.count(b"\n")
            last = block[-1:]
            if limit is not None and lines >= limit:
                break
    return lines + (last != b"\n")
