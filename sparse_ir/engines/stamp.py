"""Which model, vocabulary and pruning made an index; whatever else asks of it is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ConfigError, EngineError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.models.dense import DenseEncoder

FORMAT = 1
COSINE, DOT = "cosine", "dot"
SIMILARITIES = (COSINE, DOT)
"""How near two dense vectors are: the dot product, of vectors brought to length 1 for cosine."""


@dataclass(frozen=True)
class DenseSpace:
    """The dense vectors beside the terms of an index.

    Attributes:
        model: What ``load_dense`` takes to load the model again.
        fingerprint: Of that model.
        dimension: Numbers in a vector.
        similarity: "cosine" (vectors are stored with length 1) or "dot".
    """

    model: str
    fingerprint: str
    dimension: int
    similarity: str = COSINE


@dataclass(frozen=True)
class Stamp:
    """What an index says about itself.

    Attributes:
        model: What ``load_encoder`` takes to load the model again.
        fingerprint: Of the document encoder.
        query_fingerprints: Of the query encoders that fit these documents.
        vocabulary_hash: SHA-256 of the terms in column order.
        vocabulary_size: How many terms.
        document_pruning: As ``str(Pruning)`` writes it; empty for none.
        corpus: Where the documents came from, for people to read.
        created: ISO 8601, UTC.
        version: The sparse-ir that made the index.
        format: Of the index layout.
        passages: As ``str(Passages)`` writes it: how long documents were read; empty for cut.
        dense: The dense vectors beside the terms; None for none.
        precision: As ``load_encoder`` takes it: what documents were encoded in; empty where
            nobody said so.
    """

    model: str
    fingerprint: str
    query_fingerprints: tuple[str, ...]
    vocabulary_hash: str
    vocabulary_size: int
    document_pruning: str
    corpus: str
    created: str
    version: str
    format: int = FORMAT
    passages: str = ""
    dense: DenseSpace | None = None
    precision: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "query_fingerprints": list(self.query_fingerprints)}


def read_stamp(stored: Mapping[str, Any], *, index: str) -> Stamp:
    """Read a stamp back.

    Raises:
        EngineError: the index was made by a later sparse-ir, or the stamp is damaged.
    """
    if stored.get("format") != FORMAT:
        raise EngineError(
            f"index {index!r} has format {stored.get('format')!r}; this sparse-ir reads format "
            f"{FORMAT}. Use the sparse-ir that made it ({stored.get('version', 'unknown')}), or "
            "index again."
        )
    names = {f.name for f in fields(Stamp)}
    missing = sorted(names - set(stored) - {"passages", "dense", "precision"})  # came later
    if missing:
        raise EngineError(
            f"index {index!r} has a damaged stamp: {', '.join(missing)} is missing. Index again."
        )
    known = {name: stored[name] for name in names if name in stored}
    known["query_fingerprints"] = tuple(known["query_fingerprints"])
    if known.get("dense") is not None:
        known["dense"] = _read_space(known["dense"], index=index)
    return Stamp(**known)


def _read_space(stored: Mapping[str, Any], *, index: str) -> DenseSpace:
    names = {f.name for f in fields(DenseSpace)}
    missing = sorted(names - set(stored))
    if missing:
        raise EngineError(
            f"index {index!r} has a damaged stamp: {', '.join(missing)} of its dense vectors is "
            "missing. Index again."
        )
    return DenseSpace(**{name: stored[name] for name in names})


def require_same_model(stamp: Stamp, encoder: SparseEncoder, *, index: str) -> None:
    """Refuse a query encoder whose vectors mean something else than the index's.

    Raises:
        ModelMismatchError: naming both models.
    """
    if encoder.query_fingerprint in stamp.query_fingerprints:
        return
    if encoder.name == stamp.model:
        raise ModelMismatchError(
            f"index {index!r} was made by model {stamp.model!r} ({stamp.fingerprint[:12]}) when it "
            f"did not have this query encoder ({encoder.query_fingerprint[:12]}). Leave "
            "--query-encoder away if you gave it, or index again."
        )
    raise ModelMismatchError(
        f"index {index!r} was made by model {stamp.model!r} "
        f"({stamp.fingerprint[:12]}), the query is encoded by {encoder.name!r} "
        f"({encoder.query_fingerprint[:12]}). Search with the index's own model "
        "(leave --model away), or index again."
    )


def require_same_reading(now: Stamp, before: Stamp, *, index: str) -> None:
    """Refuse to go on with an index that was replaced by one of other passages or dense vectors.

    Args:
        now: What the index says of itself.
        before: What it said when it was opened.
        index: Its name.

    Raises:
        ModelMismatchError: naming what differs.
    """
    if now.passages != before.passages:
        raise ModelMismatchError(
            f"index {index!r} was replaced while it was searched, by one with --passages "
            f"{now.passages or 'left away'} (before: {before.passages or 'left away'}). Open it "
            "again."
        )
    if _space(now.dense) != _space(before.dense):
        raise ModelMismatchError(
            f"index {index!r} was replaced while it was searched, by one with "
            f"{_named(now.dense)} (before: {_named(before.dense)}). Open it again."
        )


def _space(dense: DenseSpace | None) -> tuple[str, int, str] | None:
    return None if dense is None else (dense.fingerprint, dense.dimension, dense.similarity)


def _named(dense: DenseSpace | None) -> str:
    if dense is None:
        return "no dense vectors"
    return f"dense vectors of {dense.model!r} ({dense.fingerprint[:12]}, {dense.similarity})"


def require_same_documents(stamp: Stamp, encoder: SparseEncoder, *, index: str) -> None:
    """Refuse to add documents weighed by another model.

    Raises:
        ModelMismatchError: naming both models.
    """
    if encoder.fingerprint != stamp.fingerprint:
        raise ModelMismatchError(
            f"index {index!r} was made by model {stamp.model!r} "
            f"({stamp.fingerprint[:12]}), these documents are encoded by {encoder.name!r} "
            f"({encoder.fingerprint[:12]}). Use the same model, or index under another name."
        )


def require_same_dense(stamp: Stamp, encoder: DenseEncoder, *, index: str) -> DenseSpace:
    """Refuse a dense model whose vectors mean something else than the index's.

    Returns:
        The index's dense vectors.

    Raises:
        ModelMismatchError: naming both models.
        ConfigError: the index holds no dense vectors.
    """
    space = require_dense_space(stamp, index=index)
    if encoder.fingerprint != space.fingerprint:
        raise ModelMismatchError(
            f"index {index!r} holds dense vectors of {space.model!r} ({space.fingerprint[:12]}), "
            f"not of {encoder.name!r} ({encoder.fingerprint[:12]}). Use the same model, or index "
            "again."
        )
    return space


def require_same_similarity(space: DenseSpace, similarity: str, *, index: str) -> None:
    """Refuse to compare dense vectors otherwise than the index does.

    Raises:
        ConfigError: naming how the index does.
    """
    if similarity != space.similarity:
        raise ConfigError(
            f"index {index!r} compares dense vectors by {space.similarity}, not {similarity}. Say "
            f"--dense-similarity {space.similarity}, or index again with --replace."
        )


def require_dense_space(stamp: Stamp, *, index: str) -> DenseSpace:
    """The dense vectors of an index.

    Raises:
        ConfigError: it holds none.
    """
    if stamp.dense is None:
        raise ConfigError(
            f"index {index!r} holds no dense vectors. Index again with --dense MODEL."
        )
    return stamp.dense
