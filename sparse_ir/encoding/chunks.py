"""The road from a corpus to finished chunks of vectors."""

from __future__ import annotations

import logging
from itertools import count as numbers
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.ledger import Chunk, digest_documents
from sparse_ir.encoding.dense import stored
from sparse_ir.encoding.passages import (
    EACH,
    MAX,
    WHOLE,
    Passages,
    contents,
    joined,
    split_documents,
)
from sparse_ir.encoding.pool import EncoderPool
from sparse_ir.encoding.worker import Task
from sparse_ir.errors import CorpusChangedError
from sparse_ir.models.memory import return_free_memory
from sparse_ir.models.ranks import Ranks
from sparse_ir.pruning import NO_PRUNING, Pruning, prune
from sparse_ir.types import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sparse_ir.encoding.dense import DenseSide
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Document, SparseVector
    from sparse_ir.vectors import SparseBatch


ALONE = Ranks()
_log = logging.getLogger(__name__)


class EncodedChunk(NamedTuple):
    """A stretch of the corpus with its vectors.

    Attributes:
        number: Counted from 0.
        documents: In the order of the corpus.
        batch: One row a document.
        texts_cut: How many documents were longer than the encoder reads.
        digest: SHA-256 of the documents, for the ledger.
        dense: The documents' dense vectors, float32, one row each; None where none were asked for.
    """

    number: int
    documents: tuple[Document, ...]
    batch: SparseBatch
    texts_cut: int
    digest: str
    dense: NDArray[np.float32] | None = None

    def entries(self, vectors: Iterable[SparseVector]) -> Iterator[Entry]:
        """The documents with their vectors, terms as given here."""
        dense = self.dense
        for row, (document, vector) in enumerate(zip(self.documents, vectors, strict=True)):
            yield Entry(document, vector, None if dense is None else stored(dense[row]))


def encode_corpus(
    documents: Iterable[Document],
    encoder: SparseEncoder | EncoderPool,
    *,
    chunk_documents: int = 512,
    pruning: Pruning = NO_PRUNING,
    passages: Passages = WHOLE,
    dense: DenseSide | None = None,
    dense_passages: Passages | None = None,
    done: Sequence[Chunk] = (),
    ranks: Ranks = ALONE,
    advance: Callable[[int], None] = lambda n: None,
) -> Iterator[EncodedChunk]:
    """Encode a corpus chunk by chunk; memory is a few chunks, whatever the corpus.

    Args:
        documents: The corpus, read once.
        encoder: Weighs the texts; or several of them at once.
        chunk_documents: Documents per chunk, at least 1.
        pruning: Applied to every document vector.
        passages: How long documents are read; with "each" a chunk's documents are passages.
        dense: Makes the documents' dense vectors too, in this process; None for none.
        dense_passages: How long documents are read for these, where it is another way than for the
            terms; None for the same.
        done: This process's chunks of a stopped run. Their documents are read and compared, not
            encoded.
        ranks: Of several processes, each encodes the chunks of its own number.
        advance: Called with the number of documents finished.

    Raises:
        CorpusChangedError: the documents of a finished chunk are not those of the stopped run.
    """
    if passages.kind == EACH:
        documents = split_documents(documents, passages)
    parts = _unfinished(iter(documents), chunk_documents, done, ranks, advance)
    if isinstance(encoder, EncoderPool):
        yield from _together(parts, encoder, pruning, passages, dense, dense_passages, advance)
        return
    for number, part in parts:
        yield encode_chunk(
            part,
            encoder,
            number=number,
            pruning=pruning,
            passages=passages,
            dense=dense,
            dense_passages=dense_passages,
            advance=advance,
        )
        return_free_memory()


def _together(
    parts: Iterable[tuple[int, tuple[Document, ...]]],
    pool: EncoderPool,
    pruning: Pruning,
    passages: Passages,
    dense: DenseSide | None,
    dense_passages: Passages | None,
    advance: Callable[[int], None],
) -> Iterator[EncodedChunk]:
    waiting: dict[int, tuple[int, tuple[Document, ...], list[int] | None]] = {}

    def tasks() -> Iterator[Task]:
        for place, (number, part) in enumerate(parts):  # other ranks have the numbers between
            texts, rows = contents(part, passages)
            waiting[place] = (number, part, rows)
            yield Task(place, _ids(part, rows), tuple(texts))

    count = 0
    by_text = advance if passages.kind != MAX else lambda n: None
    for done in pool.encode(tasks(), advance=by_text):
        count += 1
        number, part, rows = waiting.pop(done.number)
        if rows is not None:
            advance(len(part))
        chunk = _finished(number, part, done.batch, rows, pruning, done.texts_cut)
        yield _with_dense(chunk, dense_passages or passages, dense)
        if dense is not None:  # the pool's processes weigh the terms
            return_free_memory()
    if 0 < count < len(pool.pids):
        _log.warning(
            "%d devices had %d chunks to encode, so some had nothing to do. Make chunks smaller "
            "(--shard-documents or --chunk-documents), or name fewer devices",
            len(pool.pids),
            count,
        )


def encode_chunk(
    documents: tuple[Document, ...],
    encoder: SparseEncoder,
    *,
    number: int,
    pruning: Pruning = NO_PRUNING,
    passages: Passages = WHOLE,
    dense: DenseSide | None = None,
    dense_passages: Passages | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> EncodedChunk:
    """Encode one chunk; arguments as in ``encode_corpus``."""
    cuts: list[int] = []
    texts, rows = contents(documents, passages)
    batch = encoder.encode_documents(
        texts,
        ids=_ids(documents, rows),
        on_cut=cuts.append,
        advance=advance if rows is None else lambda n: None,
    )
    if rows is not None:
        advance(len(documents))
    chunk = _finished(number, documents, batch, rows, pruning, sum(cuts))
    return _with_dense(chunk, dense_passages or passages, dense)


def _ids(documents: tuple[Document, ...], rows: list[int] | None) -> tuple[str, ...]:
    if rows is None:
        return tuple(document.doc_id for document in documents)
    return tuple(map(str, range(len(rows))))


def _finished(
    number: int,
    documents: tuple[Document, ...],
    batch: SparseBatch,
    rows: list[int] | None,
    pruning: Pruning,
    texts_cut: int,
) -> EncodedChunk:
    whole = joined(batch, rows, [document.doc_id for document in documents])
    return EncodedChunk(
        number, documents, prune(whole, pruning), texts_cut, digest_documents(documents)
    )


def _with_dense(chunk: EncodedChunk, passages: Passages, dense: DenseSide | None) -> EncodedChunk:
    if dense is None:
        return chunk
    texts, rows = contents(chunk.documents, passages)
    return chunk._replace(dense=dense.encode_documents(texts, rows, len(chunk.documents)))


def _unfinished(
    reader: Iterator[Document],
    size: int,
    done: Sequence[Chunk],
    ranks: Ranks,
    advance: Callable[[int], None],
) -> Iterator[tuple[int, tuple[Document, ...]]]:
    """The chunks that are this process's to encode, with their numbers."""
    finished = iter(done)
    chunk = next(finished, None)
    for number in numbers():
        if chunk is not None and ranks.has(number):
            _pass_over(tuple(islice(reader, chunk.documents)), chunk, number)
            advance(chunk.documents)
            chunk = next(finished, None)
            continue
        part = tuple(islice(reader, size))
        if not part:
            break
        if ranks.has(number):
            yield number, part
    if chunk is not None:
        _pass_over((), chunk, number)


def _pass_over(part: tuple[Document, ...], chunk: Chunk, number: int) -> None:
    if len(part) != chunk.documents or digest_documents(part) != chunk.digest:
        first = part[0].doc_id if part else "the end of the corpus"
        raise CorpusChangedError(
            f"the corpus is not the one this run was started with (chunk {number} differs, "
            f"at {first!r}). Give the same corpus, or start again with --replace."
        )
