"""Let an index accept a query side that was made after it, once it is sure that it fits."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ModelMismatchError
from sparse_ir.models.corpus_idf import read_made_for
from sparse_ir.models.loading import load_encoder
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder


class RestampReport(NamedTuple):
    """What an index accepts now.

    Attributes:
        name: Of the index.
        accepted: Query fingerprints of all sides that fit.
        added: Those that are new.
    """

    name: str
    accepted: tuple[str, ...]
    added: tuple[str, ...]


def restamp(index: str, model: str, *, engine: str = "embedded") -> RestampReport:
    """Add the query sides of a folder to those that an index accepts; its documents stay as is.

    They fit if they were made for this index's document model: the folder holds that very model, or
    says that it was made for it, as ``make_idf`` writes down.

    Args:
        index: A published index, or a build.
        model: As ``load_encoder`` takes it.
        engine: As ``open_engine`` takes it.

    Raises:
        IndexNotFoundError: there is no such index.
        ModelMismatchError: the query side belongs to other documents.
        ModelError: there is no such model.
    """
    encoder = load_encoder(model)
    with closing(open_engine(engine)) as opened:
        stamp = opened.describe(index)
        require_made_for(stamp, encoder, index=index)
        accepted = tuple(dict.fromkeys((*stamp.query_fingerprints, *encoder.query_fingerprints)))
        if accepted != stamp.query_fingerprints:
            opened.restamp(index, replace(stamp, query_fingerprints=accepted))
    return RestampReport(index, accepted, accepted[len(stamp.query_fingerprints) :])


def require_made_for(stamp: Stamp, encoder: SparseEncoder, *, index: str) -> None:
    """Refuse a query side whose document model is not the index's.

    Raises:
        ModelMismatchError: naming both.
    """
    made_for = read_made_for(encoder.path)
    documents = encoder.fingerprint if made_for is None else made_for.documents
    if documents != stamp.fingerprint:
        raise ModelMismatchError(
            f"index {index!r} was made by model {stamp.model!r} ({stamp.fingerprint[:12]}), and "
            f"{encoder.name!r} weighs queries for the documents of another "
            f"({documents[:12]}). Make a query side with: sparse-ir idf --model {stamp.model}"
        )
    if vocabulary_hash(encoder.vocabulary) != stamp.vocabulary_hash:
        raise ModelMismatchError(
            f"index {index!r} has other terms than the queries of {encoder.name!r}. Index again."
        )
