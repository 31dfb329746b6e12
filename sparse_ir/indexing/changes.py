"""Bring an index in sight up to date with a corpus: write what changed, delete what is gone."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.corpora import BadRow, read_documents
from sparse_ir.encoding.chunks import encode_chunk
from sparse_ir.encoding.dense import open_dense
from sparse_ir.encoding.devices import read_devices
from sparse_ir.encoding.passages import EACH, parse_passages
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.stamp import (
    require_dense_space,
    require_same_dense,
    require_same_documents,
    require_same_similarity,
)
from sparse_ir.errors import ConfigError, EngineError
from sparse_ir.indexing.build import keep_rejects, ledger_path, written_alone
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.memory import keep_memory_flat, return_free_memory
from sparse_ir.pruning import parse_pruning
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sparse_ir.encoding.dense import DenseSide
    from sparse_ir.engines.base import Engine, Failure
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.indexing.index import IndexSettings
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Document


class UpdateReport(NamedTuple):
    """What an update did.

    Attributes:
        name: The index.
        engine: The engine's address.
        documents: In the index now.
        written: New or changed, encoded and written.
        unchanged: Left alone.
        deleted: Gone from the corpus and from the index.
        rejected: Refused by the engine for good; what was stored of them before stays.
        rejects: The file that names them, where there are any.
        skipped: Unusable rows that were passed over.
        texts_cut: Documents longer than the encoder reads.
        seconds: Of this run.
    """

    name: str
    engine: str
    documents: int
    written: int
    unchanged: int
    deleted: int
    rejected: int
    rejects: Path | None
    skipped: tuple[BadRow, ...]
    texts_cut: int
    seconds: float


def update_index(
    settings: IndexSettings,
    *,
    delete_missing: bool = False,
    precision: str | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> UpdateReport:
    """Encode and write the documents of a corpus that an index does not hold exactly so.

    Documents are written whole: a partial update would merge old and new terms. The index's own
    model, precision, pruning and dense model are used. A stopped update is simply started again.

    Args:
        settings: The corpus, the index, the engine; a model, or dense model, only where the
            stamp's name for it means nothing on this machine.
        delete_missing: Delete what the corpus does not hold. Nothing is deleted unless the whole
            corpus was read.
        precision: For terms, in the place of the index's own: an exported graph has but fp32, and
            not every machine has int8.
        advance: Called with the number of documents finished.

    Raises:
        IndexNotFoundError: there is no such index.
        ConfigError: another run is writing the index, or it holds passages.
        ModelMismatchError: the model is not the one that made the index.
        EngineError: the index was replaced meanwhile.
    """
    if delete_missing and (settings.limit is not None or settings.skip_bad):
        raise ConfigError(
            "--delete-missing needs the whole corpus. Leave --limit and --skip-bad away."
        )
    started = time.monotonic()
    keep_memory_flat()
    with closing(open_engine(settings.engine, options=settings.cluster_options())) as engine:
        engine.resolve(settings.index)  # a name that is wrong is not locked, but said
        with written_alone(engine, settings.index):
            return _update(engine, settings, delete_missing, precision, advance, started)


def _update(
    engine: Engine,
    settings: IndexSettings,
    delete_missing: bool,
    precision: str | None,
    advance: Callable[[int], None],
    started: float,
) -> UpdateReport:
    # one build from beginning to end, wherever the name points meanwhile
    physical = engine.resolve(settings.index)
    stamp = engine.describe(physical)
    if parse_passages(stamp.passages).kind == EACH:
        raise ConfigError(
            f"index {settings.index!r} holds passages, which cannot be updated in place. Index "
            "the corpus again with --replace."
        )
    # stored vectors and older indexes need not say theirs
    encoder = _encoder(settings, stamp, precision or stamp.precision or settings.precision)
    update = _Update(engine, settings, physical, stamp, encoder, _dense(settings, stamp))
    seen = update.write(advance)
    deleted = update.delete_others(seen) if delete_missing else 0
    engine.refresh(physical)
    if engine.resolve(settings.index) != physical:
        raise EngineError(
            f"index {settings.index!r} was replaced during the update, which went into "
            f"{physical!r}. Run the update again."
        )
    return update.report(deleted, time.monotonic() - started)


def _encoder(settings: IndexSettings, stamp: Stamp, precision: str) -> SparseEncoder:
    # bm25 would be fitted to a corpus; the index has statistics of its own
    model = None if settings.model == "bm25" else settings.model
    encoder = load_encoder(
        model or stamp.model,
        device=read_devices(settings.devices)[0],  # few documents change: one device is enough
        precision=precision,
        batch_tokens=settings.batch_tokens,
    )
    require_same_documents(stamp, encoder, index=settings.index)
    return encoder


def _dense(settings: IndexSettings, stamp: Stamp) -> DenseSide | None:
    if settings.dense is None and stamp.dense is None:
        return None
    space = require_dense_space(stamp, index=settings.index)
    side = open_dense(
        settings.dense or space.model,
        similarity=space.similarity,
        device=read_devices(settings.devices)[0],
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
    )
    require_same_dense(stamp, side.encoder, index=settings.index)
    if settings.dense_similarity is not None:
        require_same_similarity(space, settings.dense_similarity, index=settings.index)
    return side


class _Update:
    def __init__(
        self,
        engine: Engine,
        settings: IndexSettings,
        physical: str,
        stamp: Stamp,
        encoder: SparseEncoder,
        dense: DenseSide | None,
    ) -> None:
        self._dense = dense
        self._physical = physical
        self._engine = engine
        self._settings = settings
        self._encoder = encoder
        self._pruning = parse_pruning(stamp.document_pruning)
        self._passages = parse_passages(stamp.passages)
        self._rejects = ledger_path(engine, settings.index).with_suffix(".update-rejects.jsonl")
        self._rejects.unlink(missing_ok=True)
        self._skipped: list[BadRow] = []
        self._written = self._unchanged = self._rejected = self._cut = 0

    def write(self, advance: Callable[[int], None]) -> set[str]:
        """Write what differs; returns the ids of the corpus."""
        s = self._settings
        documents = read_documents(
            s.corpus, limit=s.limit, on_bad=self._skipped.append if s.skip_bad else None
        )
        seen: set[str] = set()
        for number, part in enumerate(_parts(documents, s.chunk_documents)):
            seen.update(document.doc_id for document in part)
            same = self._engine.unchanged(self._physical, part)
            changed = tuple(document for document in part if document.doc_id not in same)
            self._unchanged += len(same)
            advance(len(same))
            if changed:
                self._write_chunk(changed, number, advance)
                return_free_memory()
        return seen

    def delete_others(self, seen: set[str]) -> int:
        """Delete what the corpus does not hold."""
        stored = self._engine.scan(self._physical, vectors=False)
        gone = [e.document.doc_id for e in stored if e.document.doc_id not in seen]
        return self._engine.delete(self._physical, gone) if gone else 0

    def report(self, deleted: int, seconds: float) -> UpdateReport:
        return UpdateReport(
            name=self._settings.index,
            engine=self._engine.address,
            documents=self._engine.stats(self._physical).documents,
            written=self._written,
            unchanged=self._unchanged,
            deleted=deleted,
            rejected=self._rejected,
            rejects=self._rejects if self._rejected else None,
            skipped=tuple(self._skipped),
            texts_cut=self._cut,
            seconds=seconds,
        )

    def _write_chunk(
        self, documents: tuple[Document, ...], number: int, advance: Callable[[int], None]
    ) -> None:
        chunk = encode_chunk(
            documents,
            self._encoder,
            number=number,
            pruning=self._pruning,
            passages=self._passages,
            dense=self._dense,
            advance=advance,
        )
        vectors = to_terms(chunk.batch, self._encoder.vocabulary)
        failures: list[Failure] = list(self._engine.add(self._physical, chunk.entries(vectors)))
        if failures:
            keep_rejects(self._rejects, failures)
        self._rejected += len(failures)
        self._written += len(documents) - len(failures)
        self._cut += chunk.texts_cut


def _parts(documents: Iterable[Document], size: int) -> Iterator[tuple[Document, ...]]:
    from itertools import islice

    reader = iter(documents)
    while part := tuple(islice(reader, size)):
        yield part
