"""Which model, vocabulary and pruning made an index; whatever else asks of it is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import EngineError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.models.base import SparseEncoder

FORMAT = 1


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
    missing = sorted(names - set(stored) - {"passages"})  # that came later
    if missing:
        raise EngineError(
            f"index {index!r} has a damaged stamp: {', '.join(missing)} is missing. Index again."
        )
    known = {name: stored[name] for name in names if name in stored}
    known["query_fingerprints"] = tuple(known["query_fingerprints"])
    return Stamp(**known)


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
