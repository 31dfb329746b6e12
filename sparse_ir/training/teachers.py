"""Teachers that score every query of a batch with every document of it.

A cross-encoder is too slow for that; a teacher that gives each text a vector is not: its vectors
are computed once, kept beside the examples, and a batch's scores are one product (in-batch
distillation: Lin et al., 2021, https://aclanthology.org/2021.repl4nlp-1.17/).
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sparse_ir.training.bm25_teacher import fitted_bm25
from sparse_ir.training.memory import advising
from sparse_ir.training.progress import now_and_then
from sparse_ir.training.teacher_vectors import SparseVectors, dense_vectors_of, sparse_vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_table import ExampleTable
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.training.settings import BatchTeacher


class BatchScorer(Protocol):
    """Scores rows of an example table's queries with rows of its documents."""

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        """Return teacher scores, float32, (queries, documents)."""
        ...


class _Dense:
    def __init__(self, queries: NDArray[Any], documents: NDArray[Any], scale: float) -> None:
        self._queries, self._documents, self._scale = queries, documents, scale

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        left = np.asarray(self._queries[np.asarray(queries)], np.float32)
        right = np.asarray(self._documents[np.asarray(documents)], np.float32)
        return np.asarray(self._scale * (left @ right.T), np.float32)


class _Sparse:
    def __init__(self, queries: SparseVectors, documents: SparseVectors, scale: float) -> None:
        self._queries, self._documents, self._scale = queries, documents, scale

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        left, right = self._queries.take(queries), self._documents.take(documents)
        return np.asarray((left @ right.T).toarray() * self._scale, np.float32)


class _ByHighest:
    """Divides each score by the one that a document with the query's terms at their best has."""

    def __init__(self, queries: SparseVectors, documents: SparseVectors, scale: float) -> None:
        self._queries, self._scorer = queries, _Sparse(queries, documents, scale)
        self._best = documents.highest()

    def scores(self, queries: Sequence[int], documents: Sequence[int]) -> NDArray[Any]:
        highest = (self._queries.take(queries) @ self._best)[:, None]
        found = self._scorer.scores(queries, documents)
        return np.asarray(np.divide(found, highest, out=np.zeros_like(found), where=highest > 0))


def open_teacher(
    teacher: BatchTeacher,
    table: ExampleTable,
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> BatchScorer:
    """Encode a table's queries and documents, or find their vectors from an earlier run.

    Args:
        teacher: Which.
        table: The examples.
        device: Where a neural teacher runs.
        say: Called with a line about how many texts are encoded, every 20 seconds at most.

    Raises:
        ModelError: the teacher cannot be loaded.
        TrainingError: memory ran out.
    """
    if teacher.kind == "dense":
        return _Dense(*dense_vectors(teacher, table, device=device, say=say), teacher.scale)
    with advising(_advice(teacher)):
        encoder = fitted_bm25(table) if teacher.kind == "bm25" else _encoder(teacher, device)
        queries, documents = _sparse_vectors(encoder, teacher, table, say)
    kind = _ByHighest if teacher.kind == "bm25" else _Sparse
    return kind(queries, documents, teacher.scale)


def dense_vectors(
    teacher: BatchTeacher,
    table: ExampleTable,
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vectors of queries and of documents by a dense teacher: float16, memory-mapped, (n, width).

    Raises:
        ModelError: the teacher cannot be loaded.
        TrainingError: memory ran out.
    """
    from sparse_ir.models.loading import load_dense

    with advising(_advice(teacher)):
        encoder = load_dense(
            teacher.model, device=device, precision=teacher.precision, max_length=teacher.max_length
        )
        folder = _folder(table, encoder.fingerprint, str(encoder.max_length), teacher.precision)
        advance = _advance(teacher, table, say)
        encode = partial(encoder.encode, advance=advance)
        of_query = partial(encode, query=True)
        return (
            dense_vectors_of(folder / "queries", table.queries, of_query, advance),
            dense_vectors_of(folder / "documents", table.documents, encode, advance),
        )


def _encoder(teacher: BatchTeacher, device: str) -> SparseEncoder:
    from sparse_ir.models.loading import load_encoder

    return load_encoder(
        teacher.model, device=device, precision=teacher.precision, max_length=teacher.max_length
    )


def _sparse_vectors(
    encoder: SparseEncoder,
    teacher: BatchTeacher,
    table: ExampleTable,
    say: Callable[[str], None],
) -> tuple[SparseVectors, SparseVectors]:
    folder = _folder(table, encoder.fingerprint, encoder.query_fingerprint, teacher.precision)
    advance = _advance(teacher, table, say)
    width = len(encoder.vocabulary)

    def of_queries(texts: Sequence[str]) -> Any:
        found = encoder.encode_queries(texts).weights
        advance(len(texts))
        return found

    def of_documents(texts: Sequence[str]) -> Any:
        return encoder.encode_documents(texts, on_cut=lambda n: None, advance=advance).weights

    make = partial(sparse_vectors_of, advance=advance, width=width)
    return (
        make(folder / "queries", table.queries, of_queries),
        make(folder / "documents", table.documents, of_documents),
    )


def _folder(table: ExampleTable, *what: str) -> Path:
    """Where vectors lie, by all that decides them."""
    return table.folder / "teachers" / hashlib.sha256(":".join(what).encode()).hexdigest()[:16]


def _advance(
    teacher: BatchTeacher, table: ExampleTable, say: Callable[[str], None]
) -> Callable[[int], None]:
    what = f"{table.name}: vectors of the teacher {teacher.model or teacher.kind}"
    return now_and_then(say, what, len(table.queries) + len(table.documents))


def _advice(teacher: BatchTeacher) -> str:
    what = "lower its max_length, or use precision: bf16"
    if teacher.kind == "bm25":
        what = "take fewer examples (limit)"
    return (
        f"The teacher {teacher.model or teacher.kind} was encoding: {what}, and run the same "
        "command again."
    )
