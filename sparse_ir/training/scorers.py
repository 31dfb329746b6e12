"""Teachers: what scores a query with a document, to be learned from.

A cross-encoder reads both together; the others give each text a vector of its own, so that every
text is encoded once however many pairs it is part of.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.models.dense import DenseEncoder

KINDS = ("cross-encoder", "dense", "colbert", "sparse")
BM25 = "bm25"
"""As the model of a sparse teacher: BM25 with the statistics of the examples' own documents."""


@dataclass(frozen=True)
class TeacherSettings:
    """One teacher.

    Attributes:
        kind: cross-encoder (a classifier with one logit), dense, colbert (MaxSim) or sparse.
        model: A folder or a Hugging Face model id; for sparse also "default" or "bm25".
        weight: Its share where several teachers are averaged, above 0.
        device: "auto" (CUDA, then MPS, then CPU) or any name torch knows.
        precision: "fp32", "bf16" or "fp16".
        max_length: Tokens read of a text (of a pair, for a cross-encoder); the model's own by
            default.
        batch_tokens: Upper bound of texts times longest text in a batch.
        trust_remote_code: Run Python code that the model brings.
    """

    kind: str
    model: str
    weight: float = 1.0
    device: str = "auto"
    precision: str = "fp32"
    max_length: int | None = None
    batch_tokens: int | None = None
    trust_remote_code: bool = False


class PairTeacher(Protocol):
    """Scores pairs, each read together."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, of all that decides scores."""
        ...

    def score_pairs(
        self, queries: Sequence[str], documents: Sequence[str], advance: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """Score the i-th query with the i-th document, (n,)."""
        ...


class VectorTeacher(Protocol):
    """Encodes texts, each by itself, and compares vectors."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, of all that decides scores."""
        ...

    def encode(
        self, texts: Sequence[str], *, query: bool, advance: Callable[[int], None]
    ) -> list[bytes]:
        """Encode texts; the bytes are the teacher's own affair."""
        ...

    def compare(self, query: bytes, documents: Sequence[bytes]) -> NDArray[np.float64]:
        """Score one query with documents, (n,)."""
        ...


def read_teacher(text: str) -> tuple[str, str, float | None]:
    """Read ``KIND:MODEL`` or ``KIND:MODEL=NUMBER``, unchecked: an equals sign may be the path's.

    >>> read_teacher("dense:models/a=b=0.5")
    ('dense', 'models/a=b', 0.5)
    """
    kind, _, rest = text.partition(":")
    model, equals, number = rest.rpartition("=")
    try:
        return (kind.strip(), model, float(number)) if equals else (kind.strip(), rest, None)
    except ValueError:
        return kind.strip(), rest, None


def parse_teacher(text: str) -> TeacherSettings:
    """Read ``KIND:MODEL`` or ``KIND:MODEL=WEIGHT``.

    Raises:
        ConfigError: an unknown kind, or no model.
    """
    kind, model, weight = read_teacher(text)
    teacher = TeacherSettings(kind, model, 1.0 if weight is None else weight)
    check_teacher(teacher)
    return teacher


def check_teacher(teacher: TeacherSettings) -> None:
    """Check what can be checked without loading anything.

    Raises:
        ConfigError: an unknown kind, no model, or a weight that is not above 0.
    """
    if teacher.kind not in KINDS:
        raise ConfigError(
            f"teacher {teacher.kind!r} is not known. Use {', '.join(KINDS)}, as in "
            f"dense:PATH.{nearest(teacher.kind, KINDS)}"
        )
    if not teacher.model:
        raise ConfigError(f"teacher {teacher.kind} names no model. Write {teacher.kind}:PATH.")
    if not 0 < teacher.weight < float("inf"):
        raise ConfigError(f"teacher weight is {teacher.weight}. It must be a number above 0.")


def load_teacher(
    settings: TeacherSettings, *, bm25: Callable[[], SparseEncoder] | None = None
) -> PairTeacher | VectorTeacher:
    """Load a teacher.

    Args:
        settings: Which.
        bm25: Gives BM25 with the statistics of the examples' documents.

    Raises:
        ModelError: there is no such model, or it is of another kind.
        ConfigError: a setting is wrong.
    """
    check_teacher(settings)
    if settings.kind == "sparse":
        return SparseTeacher(_sparse_encoder(settings, bm25), _key(settings))
    from sparse_ir.models.backbone import Options
    from sparse_ir.models.loading import find_model, load_dense

    if settings.kind == "dense":
        return DenseTeacher(load_dense(settings.model, **_options(settings)), _key(settings))
    _, folder = find_model(settings.model, trust_remote_code=settings.trust_remote_code)
    options = Options(**_options(settings))
    if settings.kind == "colbert":
        from sparse_ir.training.colbert import ColbertTeacher

        return ColbertTeacher(folder, options)
    from sparse_ir.training.cross_encoder import CrossEncoder

    return CrossEncoder(folder, options)


def _sparse_encoder(
    settings: TeacherSettings, bm25: Callable[[], SparseEncoder] | None
) -> SparseEncoder:
    if settings.model == BM25:
        if bm25 is None:
            raise ConfigError(
                "teacher sparse:bm25 takes its statistics from examples, and there are none here. "
                "Name the folder of a BM25 model."
            )
        return bm25()
    from sparse_ir.models.loading import load_encoder

    return load_encoder(settings.model, **_options(settings))


def _options(settings: TeacherSettings) -> dict[str, Any]:
    """How a teacher runs, as ``load_encoder`` and its like take it."""
    names = ("device", "precision", "batch_tokens", "max_length", "trust_remote_code")
    return {name: getattr(settings, name) for name in names}


def _key(settings: TeacherSettings) -> str:
    return f"{settings.kind}:{settings.precision}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class DenseTeacher:
    """Scores by the dot product of dense vectors."""

    def __init__(self, encoder: DenseEncoder, key: str) -> None:
        self._encoder = encoder
        self.fingerprint = _digest(key, encoder.fingerprint)

    def encode(
        self, texts: Sequence[str], *, query: bool, advance: Callable[[int], None]
    ) -> list[bytes]:
        """Encode texts: float32 numbers."""
        vectors = self._encoder.encode(texts, query=query, advance=advance)
        return [row.tobytes() for row in vectors]

    def compare(self, query: bytes, documents: Sequence[bytes]) -> NDArray[np.float64]:
        """Score one query with documents, (n,)."""
        q = np.frombuffer(query, np.float32)
        rows = np.frombuffer(b"".join(documents), np.float32).reshape(len(documents), len(q))
        # Row by row, so that a score does not hang on which others are asked for with it.
        return np.asarray((rows.astype(np.float64) * q).sum(axis=1))


_ENTRY = np.dtype([("column", "<i4"), ("weight", "<f4")])


class SparseTeacher:
    """Scores by the dot product of a sparse-ir encoder's vectors."""

    def __init__(self, encoder: SparseEncoder, key: str) -> None:
        self._encoder = encoder
        self._query = np.zeros(len(encoder.vocabulary))
        self.fingerprint = _digest(key, encoder.fingerprint, encoder.query_fingerprint)

    def encode(
        self, texts: Sequence[str], *, query: bool, advance: Callable[[int], None]
    ) -> list[bytes]:
        """Encode texts: pairs of column and weight."""
        if query:
            batch = self._encoder.encode_queries(texts)
            advance(len(texts))
        else:
            batch = self._encoder.encode_documents(texts, on_cut=lambda n: None, advance=advance)
        found = []
        for i in range(len(batch)):
            columns, weights = batch.row(i)
            entries: Any = np.empty(len(columns), _ENTRY)
            entries["column"], entries["weight"] = columns, weights
            found.append(entries.tobytes())
        return found

    def compare(self, query: bytes, documents: Sequence[bytes]) -> NDArray[np.float64]:
        """Score one query with documents, (n,)."""
        asked = np.frombuffer(query, _ENTRY)
        self._query[asked["column"]] = asked["weight"]
        scores = np.empty(len(documents))
        for i, document in enumerate(documents):
            entries = np.frombuffer(document, _ENTRY)
            scores[i] = self._query[entries["column"]] @ entries["weight"].astype(np.float64)
        self._query[asked["column"]] = 0.0
        return scores
