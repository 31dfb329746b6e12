"""Stored vectors in the place of an encoder: an index is built, or rebuilt, without the model.

They are the shards that ``encode`` wrote, or ready vectors that another program made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.shards import (
    MANIFEST_NAME,
    read_shard_manifest,
    read_shards,
    read_vocabulary,
)
from sparse_ir.errors import InputError, ModelError
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import SparseBatch, concatenate, from_terms, select, to_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparse_ir.models.base import Explanation


def read_entries(folder: str | Path) -> Iterator[Entry]:
    """Read vector shards as entries; the shards hold no texts, so neither do the documents.

    Raises:
        InputError: a shard, the vocabulary or the manifest is missing or damaged.
    """
    vocabulary = read_vocabulary(folder)
    for batch in read_shards(folder):
        for doc_id, vector in zip(batch.ids, to_terms(batch, vocabulary), strict=True):
            yield Entry(Document(doc_id, ""), vector)


def is_shards(source: str | Path) -> bool:
    """Whether a path is a folder that ``encode`` wrote; else it holds ready vectors."""
    return Path(source, MANIFEST_NAME).is_file()


class StoredVectors:
    """Vectors on disk, given out again in the order of the corpus.

    They stand where a ``SparseEncoder`` stands while an index is built; they know no texts.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        fingerprint: str,
        query_fingerprints: tuple[str, ...],
        vocabulary: Sequence[str],
        shards: Iterator[SparseBatch],
        passages: str = "",
        document_pruning: str = "",
        precision: str = "",
    ) -> None:
        """Take what their maker says of them.

        Args:
            path: Where they lie.
            name: What ``load_encoder`` takes to weigh queries for them.
            fingerprint: Of what made them.
            query_fingerprints: Of the query encoders that fit them, at least one.
            vocabulary: The term of every column.
            shards: All of them, some at a time.
            passages: As ``parse_passages`` takes it: what they are of.
            document_pruning: As ``parse_pruning`` takes it: what was done to them.
            precision: As ``load_encoder`` takes it: what they were encoded in; empty if unknown.
        """
        self.path = path
        self.name = name
        self.passages = passages
        self.document_pruning = document_pruning
        self.precision = precision
        self.fingerprint = fingerprint
        self.query_fingerprints = query_fingerprints
        self.query_fingerprint = query_fingerprints[0]
        self.vocabulary = vocabulary
        self._shards = shards
        self._shard = from_terms([], {term: i for i, term in enumerate(vocabulary)})
        self._row = 0

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Give out the vectors of the documents that come next.

        Args:
            texts: Not looked at.
            ids: The documents, in the order in which they were encoded; some may be left out.
            on_cut: Not called: what was cut is known to the run that encoded.
            advance: Called with the number of vectors given out.

        Raises:
            InputError: there is no vector for a document, or another order.
        """
        del on_cut
        wanted = [str(i) for i in range(len(texts))] if ids is None else list(ids)
        batch = self._take(wanted)
        advance(len(batch))
        return batch

    def encode_queries(
        self,
        texts: Sequence[str],  # noqa: ARG002
        *,
        ids: Sequence[str] | None = None,  # noqa: ARG002
    ) -> SparseBatch:
        """Not possible without the model."""
        raise ModelError(f"{self.path}: stored vectors cannot encode queries.")

    def explain(self, text: str, *, query: bool = False) -> Explanation:  # noqa: ARG002
        """Not possible without the model."""
        raise ModelError(f"{self.path}: stored vectors cannot explain a text.")

    def text_terms(self, text: str) -> list[str]:  # noqa: ARG002
        """Not possible without the model."""
        raise ModelError(f"{self.path}: stored vectors cannot read a text.")

    def _take(self, wanted: Sequence[str]) -> SparseBatch:
        """Walk on through the shards and collect the wanted rows, shard by shard."""
        parts: list[SparseBatch] = []
        rows: list[int] = []
        for doc_id in wanted:
            row = self._find(doc_id, from_row=self._row)
            while row is None:
                parts.append(select(self._shard, rows))
                rows = []
                self._shard = self._next_shard(doc_id)
                row = self._find(doc_id, from_row=0)
            rows.append(row)
            self._row = row + 1
        return concatenate([*parts, select(self._shard, rows)])

    def _find(self, doc_id: str, *, from_row: int) -> int | None:
        try:
            return self._shard.ids.index(doc_id, from_row)
        except ValueError:
            return None

    def _next_shard(self, doc_id: str) -> SparseBatch:
        for shard in self._shards:
            return shard
        raise InputError(
            f"there is no vector for document {doc_id!r}, or the corpus has another order than "
            "the one that was encoded. Give the corpus that the vectors were made from.",
            path=self.path,
        )


class VectorShards(StoredVectors):
    """The vectors that ``encode`` wrote."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder of finished vector shards.

        Raises:
            InputError: there are none, they are damaged, or the run that makes them is not over.
        """
        path = Path(folder)
        manifest = read_shard_manifest(path)
        if not manifest.complete:
            raise InputError(
                "the vectors are not complete. Finish them with: sparse-ir encode … --resume",
                path=path,
            )
        super().__init__(
            path,
            name=manifest.model,
            fingerprint=manifest.fingerprint,
            query_fingerprints=manifest.query_fingerprints,
            vocabulary=read_vocabulary(path),
            shards=read_shards(path),
            passages=str(manifest.options.get("passages", "")),
            document_pruning=manifest.document_pruning,
            precision=str(manifest.options.get("precision", "")),
        )
