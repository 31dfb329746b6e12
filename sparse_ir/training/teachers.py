"""Teachers that score every query of a batch with every document of it.

A cross-encoder is too slow for that; a teacher that gives each text a vector is not: its vectors
are computed once, kept beside the examples, and a batch's scores are one product (in-batch
distillation: Lin et al., 2021, https://aclanthology.org/2021.repl4nlp-1.17/).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from sparse_ir.data.files import writing
from sparse_ir.models.bm25 import Bm25Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_table import ExampleTable, TextTable
    from sparse_ir.training.settings import BatchTeacher

_PART = 4096  # texts encoded between two files: what a killed run loses at most


class BatchScorer(Protocol):
    """Scores rows of an example table's queries with rows of its documents."""

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        """Return teacher scores, float32, (queries, documents)."""
        ...


class _Dense:
    def __init__(self, queries: NDArray[Any], documents: NDArray[Any], scale: float) -> None:
        self.queries, self.documents, self._scale = queries, documents, scale

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        left = np.asarray(self.queries[np.asarray(queries)], np.float32)
        right = np.asarray(self.documents[np.asarray(documents)], np.float32)
        return np.asarray(self._scale * (left @ right.T), np.float32)


class _Sparse:
    def __init__(self, queries: Any, documents: Any, scale: float) -> None:
        self._queries, self._documents, self._scale = queries, documents, scale

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        left = self._queries[np.asarray(queries)]
        right = self._documents[np.asarray(documents)]
        return np.asarray((left @ right.T).toarray() * self._scale, np.float32)


def open_teacher(
    teacher: BatchTeacher,
    table: ExampleTable,
    *,
    device: str = "auto",
    advance: Callable[[int], None] = lambda n: None,
) -> BatchScorer:
    """Encode a table's queries and documents, or find their vectors from an earlier run.

    Args:
        teacher: Which.
        table: The examples.
        device: Where a neural teacher runs.
        advance: Called with the number of texts encoded.

    Raises:
        ModelError: the teacher cannot be loaded.
    """
    if teacher.kind == "dense":
        queries, documents = dense_vectors(teacher, table, device=device, advance=advance)
        return _Dense(queries, documents, teacher.scale)
    if teacher.kind == "bm25":
        encoder: Any = Bm25Encoder.fit(_all_texts(table.documents))
        name = "bm25"
    else:
        from sparse_ir.models.loading import load_encoder

        encoder = load_encoder(
            teacher.model,
            device=device,
            precision=teacher.precision,
            max_length=teacher.max_length,
        )
        name = encoder.fingerprint[:16]
    folder = table.folder / "teachers" / name
    queries = _sparse_rows(folder / "queries", table.queries, encoder.encode_queries, advance)
    documents = _sparse_rows(
        folder / "documents", table.documents, encoder.encode_documents, advance
    )
    if teacher.kind == "bm25":
        queries = _by_highest_score(queries, documents)
    return _Sparse(queries, documents, teacher.scale)


def dense_vectors(
    teacher: BatchTeacher,
    table: ExampleTable,
    *,
    device: str = "auto",
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vectors of queries and of documents by a dense teacher: float16, memory-mapped, (n, width).

    Raises:
        ModelError: the teacher cannot be loaded.
    """
    from sparse_ir.models.loading import load_dense

    encoder = load_dense(
        teacher.model, device=device, precision=teacher.precision, max_length=teacher.max_length
    )
    key = f"{encoder.fingerprint}:{encoder.max_length}:{teacher.precision}"
    folder = table.folder / "teachers" / hashlib.sha256(key.encode()).hexdigest()[:16]
    found = []
    for side, texts in (("queries", table.queries), ("documents", table.documents)):
        path = folder / f"{side}.npy"
        if not path.is_file():
            parts = []
            for start, rows in _parts(len(texts)):
                part = folder / f"{side}-{start:09d}.npy"
                if not part.is_file():
                    vectors = encoder.encode(
                        texts.texts(rows), query=side == "queries", advance=advance
                    )
                    with writing(part, "wb") as stream:
                        np.save(stream, vectors.astype(np.float16))
                parts.append(part)
            _join(parts, path)
        found.append(np.load(path, mmap_mode="r"))
    return found[0], found[1]


def _join(parts: list[Path], path: Path) -> None:
    whole = np.concatenate([np.load(part) for part in parts])
    with writing(path, "wb") as stream:
        np.save(stream, whole)
    for part in parts:
        part.unlink()


def _sparse_rows(
    stem: Path, texts: TextTable, encode: Any, advance: Callable[[int], None]
) -> sparse.csr_array:
    rows = []
    for start, chosen in _parts(len(texts)):
        part = stem.with_name(f"{stem.name}-{start:09d}.npz")
        if not part.is_file():
            weights = encode(texts.texts(chosen)).weights
            with writing(part, "wb") as stream:
                sparse.save_npz(stream, sparse.csr_matrix(weights), compressed=False)
            advance(len(chosen))
        rows.append(sparse.load_npz(part))
    return sparse.csr_array(sparse.vstack(rows, format="csr", dtype=np.float32))


def _by_highest_score(queries: sparse.csr_array, documents: sparse.csr_array) -> sparse.csr_array:
    """Divide each query by the score it would have if each of its terms were at its best."""
    best = np.asarray(documents.max(axis=0).todense()).ravel()
    highest = queries @ best
    scale = np.divide(1.0, highest, out=np.zeros_like(highest), where=highest > 0)
    return sparse.csr_array(queries.multiply(scale[:, None]).tocsr(), dtype=np.float32)


def _parts(n: int) -> Iterator[tuple[int, range]]:
    for start in range(0, n, _PART):
        yield start, range(start, min(n, start + _PART))


def _all_texts(table: TextTable) -> Iterator[str]:
    for _, rows in _parts(len(table)):
        yield from table.texts(rows)
