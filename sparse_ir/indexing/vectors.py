"""Vector shards in the place of an encoder: an index is built, or rebuilt, without the model."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.shards import read_shard_manifest, read_shards, read_vocabulary
from sparse_ir.errors import InputError, ModelError
from sparse_ir.vectors import SparseBatch, concatenate, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparse_ir.models.base import Explanation


class VectorShards:
    """The vectors that ``encode`` wrote, given out again in the order of the corpus.

    It stands where a ``SparseEncoder`` stands while an index is built; it knows no texts.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a folder of finished vector shards.

        Raises:
            InputError: there are none, they are damaged, or the run that makes them is not over.
        """
        self.path = Path(folder)
        self._manifest = read_shard_manifest(self.path)
        if not self._manifest.complete:
            raise InputError(
                "the vectors are not complete. Finish them with: sparse-ir encode … --resume",
                path=self.path,
            )
        self.name = self._manifest.model
        self.fingerprint = self._manifest.fingerprint
        self.query_fingerprint = self._manifest.query_fingerprints[0]
        self.vocabulary = read_vocabulary(self.path)
        self._rows = self._read()

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
        parts = [self._next(doc_id) for doc_id in wanted]
        advance(len(parts))
        return concatenate(parts)

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

    def _next(self, doc_id: str) -> SparseBatch:
        for row in self._rows:
            if row.ids[0] == doc_id:
                return row
        raise InputError(
            f"there is no vector for document {doc_id!r}, or the corpus has another order than "
            "the one that was encoded. Give the corpus that the vectors were made from.",
            path=self.path,
        )

    def _read(self) -> Iterator[SparseBatch]:
        return chain.from_iterable(
            (select(batch, [i]) for i in range(len(batch))) for batch in read_shards(self.path)
        )
