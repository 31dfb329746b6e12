"""Ready vectors: documents that another program has weighed, in Anserini's layout."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.files import sha256_file, sha256_text
from sparse_ir.data.impacts import impact_files, read_impacts
from sparse_ir.data.seen import SeenIds
from sparse_ir.errors import ConfigError, InputError, ModelMismatchError
from sparse_ir.indexing.vectors import StoredVectors
from sparse_ir.models.loading import READY_VECTORS, load_encoder
from sparse_ir.vectors import from_terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparse_ir.types import Document
    from sparse_ir.vectors import SparseBatch

_TOGETHER = 1024


class ReadyVectors(StoredVectors):
    """Documents' vectors as Anserini and Pyserini read and write them.

    Their fingerprint is that of their bytes. Their vocabulary is the terms that they hold, found in
    one pass over the files, or that of the model which is said to have made them.
    """

    def __init__(self, source: str | Path, *, model: str | None = None) -> None:
        """Read the files through once.

        Args:
            source: As ``read_impacts`` takes it.
            model: What made them, as ``load_encoder`` takes it: queries are then weighed by it. If
                None, only ready query vectors can be asked.

        Raises:
            ConfigError: the model is "bm25", which is many models.
            InputError: as ``read_impacts``; there is no document, or an id is there twice.
            ModelMismatchError: the vectors hold a term that the model does not have.
            ModelError: there is no such model.
        """
        path = Path(source)
        if model == "bm25":
            raise ConfigError(
                "bm25 is fitted to a corpus. Give the folder of the fitted model that made the "
                "vectors, as inspect shows it, or leave --model away."
            )
        terms = _terms(path)
        fingerprint = sha256_text(READY_VECTORS, *map(sha256_file, impact_files(path)))
        vocabulary: Sequence[str] = sorted(terms)
        name = READY_VECTORS
        query_fingerprints: tuple[str, ...] = (fingerprint,)
        if model is not None:
            encoder = load_encoder(model)
            unknown = terms.difference(encoder.vocabulary)
            if unknown:
                raise ModelMismatchError(
                    f"{path} holds the term {min(unknown)!r}, which {encoder.name!r} does not "
                    "have: another model made these vectors."
                )
            name, vocabulary = encoder.name, encoder.vocabulary
            query_fingerprints = encoder.query_fingerprints
        super().__init__(
            path,
            name=name,
            fingerprint=fingerprint,
            query_fingerprints=query_fingerprints,
            vocabulary=vocabulary,
            shards=_batches(path, vocabulary),
        )


def ready_documents(source: str | Path) -> Iterator[Document]:
    """The documents of ready vectors: their ids, and their contents as text."""
    return (entry.document for entry in read_impacts(source))


def _terms(path: Path) -> set[str]:
    terms: set[str] = set()
    seen = SeenIds()
    for place, (document, vector, _) in enumerate(read_impacts(path), start=1):
        if seen.add(document.doc_id, place) is not None:
            raise InputError(f"document {document.doc_id!r} is there a second time.", path=path)
        terms.update(vector)
    if not seen:
        raise InputError("holds no documents.", path=path)
    return terms


def _batches(path: Path, vocabulary: Sequence[str]) -> Iterator[SparseBatch]:
    columns = {term: column for column, term in enumerate(vocabulary)}
    entries = read_impacts(path)
    while part := list(islice(entries, _TOGETHER)):
        ids = [entry.document.doc_id for entry in part]
        yield from_terms([entry.vector for entry in part], columns, ids=ids)
