"""A teacher's vectors of a table's texts: made in parts, joined, mapped into memory.

What lies on disk is shared by the processes of a run, and no more of it is in memory than a batch
asks for. A killed run loses a part at most.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.data.files import writing
from sparse_ir.training.texts import portions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_table import TextTable

_ENTRIES = 1 << 24  # looked at at a time


def dense_vectors_of(
    stem: Path,
    texts: TextTable,
    encode: Callable[[Sequence[str]], NDArray[Any]],
    advance: Callable[[int], None],
) -> NDArray[Any]:
    """Encode texts, or find what an earlier run encoded.

    Args:
        stem: The file's name without its ending.
        texts: The texts.
        encode: Gives (n, width); tells of its progress itself.
        advance: Called with the number of texts that an earlier run encoded.

    Returns:
        float16, memory-mapped, (texts, width).
    """
    whole = stem.with_suffix(".npy")

    def save(stream: IO[bytes], chosen: Sequence[str]) -> None:
        np.save(stream, encode(chosen).astype(np.float16))

    parts = _parts(whole, texts, ".npy", save, advance)
    if parts and not whole.is_file():
        width = np.load(parts[0], mmap_mode="r").shape[1]
        blocks = (np.load(part) for part in parts)
        _write_blocks(whole, (len(texts), width), np.float16, blocks)
    _remove(parts)
    return _map(whole)


class SparseVectors:
    """Rows of term weights on disk.

    Attributes:
        width: Terms of the vocabulary.
    """

    def __init__(self, stem: Path, width: int) -> None:
        """Map the files of a stem."""
        self._starts, self._columns, self._weights = (_map(path) for path in _files(stem))
        self.width = width

    def take(self, rows: Sequence[int]) -> sparse.csr_array:
        """Read rows: float32, (rows, width)."""
        chosen = [slice(int(self._starts[row]), int(self._starts[row + 1])) for row in rows]
        starts = np.cumsum([0, *(one.stop - one.start for one in chosen)])
        columns = np.concatenate([self._columns[one] for one in chosen])
        weights = np.concatenate([self._weights[one] for one in chosen])
        return sparse.csr_array((weights, columns, starts), shape=(len(chosen), self.width))

    def highest(self) -> NDArray[Any]:
        """The highest weight of each term in any row, float32, (width,)."""
        best = np.zeros(self.width, np.float32)
        for start in range(0, len(self._weights), _ENTRIES):
            part = slice(start, start + _ENTRIES)
            np.maximum.at(best, self._columns[part], self._weights[part])
        return best


def sparse_vectors_of(
    stem: Path,
    texts: TextTable,
    encode: Callable[[Sequence[str]], Any],
    advance: Callable[[int], None],
    *,
    width: int,
) -> SparseVectors:
    """Encode texts, or find what an earlier run encoded.

    Args:
        stem: What the names of the files begin with.
        texts: The texts.
        encode: Gives a CSR array, (n, width); tells of its progress itself.
        advance: Called with the number of texts that an earlier run encoded.
        width: Terms of the vocabulary.
    """
    starts, columns, weights = _files(stem)

    def save(stream: IO[bytes], chosen: Sequence[str]) -> None:
        made = encode(chosen)
        np.savez(
            stream,
            counts=np.diff(made.indptr),
            columns=made.indices.astype(np.int32),
            weights=made.data.astype(np.float32),
        )

    parts = _parts(starts, texts, ".npz", save, advance)
    if parts and not starts.is_file():
        counts = np.concatenate([_member(part, "counts") for part in parts])
        bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        for path, name, kind in ((columns, "columns", np.int32), (weights, "weights", np.float32)):
            blocks = (_member(part, name) for part in parts)
            _write_blocks(path, (int(bounds[-1]),), kind, blocks)
        _write_blocks(starts, bounds.shape, np.int64, [bounds])  # last: now all of it is there
    _remove(parts)
    return SparseVectors(stem, width)


def _files(stem: Path) -> tuple[Path, Path, Path]:
    names = ("starts", "columns", "weights")
    starts, columns, weights = (stem.with_name(f"{stem.name}-{name}.npy") for name in names)
    return starts, columns, weights


def _parts(
    whole: Path,
    texts: TextTable,
    suffix: str,
    save: Callable[[IO[bytes], Sequence[str]], None],
    advance: Callable[[int], None],
) -> list[Path]:
    """Make the parts that are not there; none where another run was first to join its own."""
    stem = whole.with_suffix("")
    parts: list[Path] = []
    for rows in portions(len(texts)):
        if whole.is_file():
            return []
        part = stem.with_name(f"{stem.name}-{rows.start:09d}{suffix}")
        if part.is_file():
            advance(len(rows))
        else:
            with writing(part, "wb") as stream:
                save(stream, texts.texts(rows))
        parts.append(part)
    return parts


def _member(part: Path, name: str) -> NDArray[Any]:
    with np.load(part) as stored:
        found: NDArray[Any] = stored[name]
    return found


def _write_blocks(
    path: Path, shape: tuple[int, ...], kind: Any, blocks: Iterable[NDArray[Any]]
) -> None:
    """Write an array of which one block is in memory at a time."""
    layout: Any = np.lib.format  # some versions of numpy give its functions no types
    about = {
        "descr": layout.dtype_to_descr(np.dtype(kind)),
        "fortran_order": False,
        "shape": shape,
    }
    with writing(path, "wb") as stream:
        layout.write_array_header_2_0(stream, about)
        for block in blocks:
            stream.write(block.tobytes())


def _map(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r")
    return found


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        part.unlink(missing_ok=True)
