"""Index a corpus: encode it on the way, restartably, and bring the index into sight whole."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir import __version__
from sparse_ir.config import require_least_one
from sparse_ir.data.corpora import BadRow, corpus_bytes, read_documents
from sparse_ir.data.files import STANDARD_INPUT
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.encoding.dense import open_dense
from sparse_ir.encoding.devices import read_devices
from sparse_ir.encoding.passages import EACH, WHOLE, parse_passages
from sparse_ir.encoding.sources import (
    called_now,
    encoder_for,
    fitted_before,
    made_by,
    readable_twice,
)
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import (
    Stamp,
    require_dense_space,
    require_same_dense,
    require_same_similarity,
)
from sparse_ir.errors import ConfigError, CorpusChangedError
from sparse_ir.indexing.build import Build, kept_rejects, look_up, written_alone
from sparse_ir.indexing.ready import ReadyVectors, ready_documents
from sparse_ir.indexing.vectors import VectorShards, is_shards
from sparse_ir.models.memory import keep_memory_flat
from sparse_ir.models.ranks import Ranks
from sparse_ir.pruning import Pruning, both_prunings, parse_pruning, pruned_further
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sparse_ir.data.ledger import Ledger
    from sparse_ir.encoding.dense import DenseSide
    from sparse_ir.encoding.passages import Passages
    from sparse_ir.encoding.pool import EncoderPool
    from sparse_ir.engines.base import Engine
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Document


@dataclass(frozen=True)
class IndexSettings:
    """How a corpus is indexed.

    Attributes:
        corpus: As ``read_documents`` takes it; may be left out where ``vectors`` are ready ones,
            which hold their texts themselves.
        index: The name it is searched by.
        engine: As ``open_engine`` takes it.
        model: As ``load_encoder`` takes it, "bm25", or None for the bundled model.
        vectors: A folder of vector shards made by ``encode``, or a file or folder of ready vectors
            as ``read_impacts`` takes it; no model is run then. ``model`` says which one made ready
            vectors, so that it can weigh their queries.
        dense: A dense model as ``load_dense`` takes it: its vectors are made in the same pass and
            stored beside the terms. None for none.
        dense_similarity: "cosine" or "dot"; None for what that model says.
        devices: As ``read_devices`` takes them: "auto", "cpu", "cuda:0,cuda:1", "cpu,cpu", "mps".
        precision: As ``load_encoder`` takes it: "fp32", "bf16", "fp16" or "int8".
        batch_tokens: As ``load_encoder`` takes it.
        limit: Read at most so many documents.
        skip_bad: Pass over unusable rows and report them.
        resume: Go on with a stopped run.
        replace: Build anew although the index exists; it stays in sight until the new one is whole.
        document_pruning: As ``parse_pruning`` takes it.
        passages: As ``parse_passages`` takes it; vectors have their own.
        chunk_documents: Documents encoded, written and acknowledged together.
        aside: Leave the finished build out of sight, to be compared and swapped in.
        drop_old: Remove the build that this one replaces; None for what the engine does by itself.
        field: With the rest, as in ``ClusterOptions``.
    """

    corpus: str = ""
    index: str = "default"
    engine: str = "embedded"
    model: str | None = None
    vectors: str | None = None
    dense: str | None = None
    dense_similarity: str | None = None
    devices: str = "auto"
    precision: str = "fp32"
    batch_tokens: int | None = None
    limit: int | None = None
    skip_bad: bool = False
    resume: bool = False
    replace: bool = False
    document_pruning: str = ""
    passages: str = ""
    chunk_documents: int = 512
    aside: bool = False
    drop_old: bool | None = None
    field: str = ""
    shards: int | None = None
    replicas: int | None = None
    keep_vectors: bool = False
    force_merge: bool = False
    bulk_documents: int = 512
    bulk_bytes: int = 4 << 20
    in_flight: int = 4
    patience: float = 600.0

    def __post_init__(self) -> None:
        require_least_one(limit=self.limit, chunk_documents=self.chunk_documents)
        if self.dense_similarity and self.dense is None:
            raise ConfigError("dense_similarity goes with dense, which names the model.")
        if not self.corpus:
            if self.vectors is None or is_shards(self.vectors):
                shards = "" if self.vectors is None else " Vector shards hold no texts."
                raise ConfigError(f"corpus is missing.{shards}")
            object.__setattr__(self, "corpus", self.vectors)  # the texts lie beside the vectors

    @property
    def texts_beside_vectors(self) -> bool:
        """Whether the documents are those of the ready vectors."""
        return self.vectors is not None and self.corpus == self.vectors

    def cluster_options(self) -> ClusterOptions:
        """The settings that concern a cluster."""
        return ClusterOptions(**{f.name: getattr(self, f.name) for f in fields(ClusterOptions)})


class IndexReport(NamedTuple):
    """What an indexing run did.

    Attributes:
        name: The name it is searched by; the build's own where it was left aside.
        engine: The engine's address.
        documents: In the index.
        encoded: Of these, encoded by this run (the rest by a stopped one).
        rejected: Refused by the engine for good.
        rejects: The file that names them, where there are any.
        skipped: Unusable rows that were passed over.
        texts_cut: Documents longer than the encoder reads.
        seconds: Of this run.
        bytes: Of the index on disk.
        details: What else the engine says about the index.
    """

    name: str
    engine: str
    documents: int
    encoded: int
    rejected: int
    rejects: Path | None
    skipped: tuple[BadRow, ...]
    texts_cut: int
    seconds: float
    bytes: int
    details: Mapping[str, Any]


def index_corpus(
    settings: IndexSettings, *, advance: Callable[[int], None] = lambda n: None
) -> IndexReport:
    """Encode a corpus and index it.

    A killed or interrupted run loses nothing: call again with ``resume``. With ``replace`` too,
    one whose settings or corpus have changed is started again. The index comes into sight when
    everything is in and counted; until then a search finds what was there before.

    Args:
        settings: What to read, how to weigh it, where to put it.
        advance: Called with the number of documents finished.

    Raises:
        ConfigError: the index exists, or an unfinished build of it, and neither ``resume`` nor
            ``replace`` is set; or a resumed run was started with other settings, or is finished
            and was made with another corpus, model, pruning or passages, or holds no dense vectors,
            or others, where some are asked for; or another run is
            writing the index.
        ModelMismatchError: as the last, with vectors of another dense model.
        InputError: the corpus cannot be read, or is not that of the stopped run.
        EngineError: the engine cannot be opened or lost documents.
    """
    started = time.monotonic()
    if Ranks.of_environment().processes > 1:
        raise ConfigError(
            "index writes from one process. Under torchrun run encode, then index --vectors FOLDER."
        )
    keep_memory_flat()
    with (
        closing(open_engine(settings.engine, options=settings.cluster_options())) as engine,
        written_alone(engine, settings.index),
    ):
        try:
            return _index(engine, settings, advance, started)
        except CorpusChangedError:
            once = settings.corpus == STANDARD_INPUT
            if once or not (settings.resume and settings.replace):
                raise
            return _index(engine, replace(settings, resume=False), advance, started)


def _index(
    engine: Engine, settings: IndexSettings, advance: Callable[[int], None], started: float
) -> IndexReport:
    found = look_up(
        engine,
        settings.index,
        resume=settings.resume,
        replace=settings.replace,
        aside=settings.aside,
    )
    if found.ledger is None and found.published and not (settings.replace or settings.aside):
        _require_same(engine.describe(settings.index), settings)
        _require_dense(engine, settings)
        return _already_there(engine, settings, started)
    with readable_twice(settings.corpus, settings.model) as corpus:
        # ready vectors load no model, and say first what does not go together
        reading = None if settings.vectors else _Reading.of(settings, corpus)
        with _vector_source(settings, corpus, found.ledger) as encoder:
            reading = reading or _Reading.of(settings, corpus)
            return _run(
                engine, settings, reading, encoder, _dense(settings), found.ledger, advance, started
            )


class _Reading(NamedTuple):
    """The corpus as it is read, and the unusable rows so far."""

    documents: Iterator[Document]
    skipped: list[BadRow]

    @classmethod
    def of(cls, settings: IndexSettings, corpus: str) -> _Reading:
        """Open the corpus and read its first document: what is wrong with it costs no model."""
        skipped: list[BadRow] = []
        documents: Iterator[Document]
        if settings.texts_beside_vectors:
            documents = islice(ready_documents(corpus), settings.limit)
        else:
            documents = read_documents(
                corpus, limit=settings.limit, on_bad=skipped.append if settings.skip_bad else None
            )
        return cls(chain(list(islice(documents, 1)), documents), skipped)


def _run(
    engine: Engine,
    settings: IndexSettings,
    reading: _Reading,
    encoder: SparseEncoder | EncoderPool,
    dense: DenseSide | None,
    ledger: Ledger | None,
    advance: Callable[[int], None],
    started: float,
) -> IndexReport:
    build = _open_build(engine, settings, encoder, dense, ledger)
    before = build.ledger.documents
    chunks = encode_corpus(
        reading.documents,
        encoder,
        chunk_documents=settings.chunk_documents,
        pruning=pruned_further(_pruning(settings, encoder), _stored_pruning(encoder)),
        passages=_read_as(settings, encoder),
        dense=dense,
        dense_passages=_passages(settings, encoder),
        done=tuple(build.ledger.chunks),
        advance=advance,
    )
    build.add_all(chunks, encoder.vocabulary)
    count = build.finish() if settings.aside else build.publish(drop_previous=settings.drop_old)
    name = build.physical if settings.aside else settings.index
    return IndexReport(
        name=name,
        engine=engine.address,
        documents=count,
        encoded=build.ledger.documents - before,
        rejected=build.ledger.rejected,
        rejects=build.rejects if build.ledger.rejected else None,
        skipped=tuple(reading.skipped),
        texts_cut=build.ledger.texts_cut,
        seconds=time.monotonic() - started,
        bytes=engine.stats(name).bytes,
        details=engine.details(name),
    )


def _vector_source(
    settings: IndexSettings, corpus: str, ledger: Ledger | None
) -> AbstractContextManager[SparseEncoder | EncoderPool]:
    if settings.vectors is not None:
        if is_shards(settings.vectors):
            return nullcontext(VectorShards(settings.vectors))
        return nullcontext(ReadyVectors(settings.vectors, model=settings.model))
    model = settings.model
    if ledger is not None and settings.resume and model == "bm25":
        model = fitted_before(ledger.settings, settings.corpus, settings.limit) or model
    return encoder_for(
        model,
        corpus,
        devices=settings.devices,
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
        limit=settings.limit,
        skip_bad=settings.skip_bad,
    )


def _dense(settings: IndexSettings) -> DenseSide | None:
    """The dense model, on the first of the devices."""
    if settings.dense is None:
        return None
    return open_dense(
        settings.dense,
        similarity=settings.dense_similarity,
        device=read_devices(settings.devices)[0],
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
    )


def _open_build(
    engine: Engine,
    settings: IndexSettings,
    encoder: SparseEncoder | EncoderPool,
    dense: DenseSide | None,
    ledger: Ledger | None,
) -> Build:
    wanted = _run_settings(settings, encoder, dense)
    if ledger is not None and settings.resume:
        same = all(ledger.settings.get(name) == value for name, value in wanted.items())
        if same or not settings.replace:
            ledger.require_settings(wanted)
            return Build.go_on(engine, settings.index, ledger)
    return Build.start(
        engine,
        settings.index,
        stamp=_stamp(settings, encoder, dense),
        vocabulary=encoder.vocabulary,
        settings=wanted,
    )


def _run_settings(
    settings: IndexSettings, encoder: SparseEncoder | EncoderPool, dense: DenseSide | None
) -> dict[str, Any]:
    """What must be equal for a stopped run to go on."""
    return {
        "corpus": settings.corpus,
        # of BM25 alone, whose weights are of all documents: else a line may have been corrected
        "corpus_bytes": corpus_bytes(settings.corpus) if settings.model == "bm25" else None,
        "model": settings.model,
        "loaded": encoder.name,
        "fingerprint": encoder.fingerprint,
        "precision": settings.precision,
        "limit": settings.limit,
        "aside": settings.aside,
        "field": settings.field,
        "shards": settings.shards,
        "replicas": settings.replicas,
        "keep_vectors": settings.keep_vectors,
        "document_pruning": str(_pruning(settings, encoder)),
        "passages": str(_passages(settings, encoder)),
        "dense": None if dense is None else asdict(dense.space),
    }


def _passages(settings: IndexSettings, encoder: object) -> Passages:
    """What the vectors are of: stored ones know it themselves.

    Raises:
        ConfigError: they are of something else than is asked for.
    """
    stored = getattr(encoder, "passages", None)
    asked = str(parse_passages(settings.passages))
    if stored is not None and asked and asked != stored:
        raise ConfigError(
            f"the vectors in {settings.vectors} are of passages {stored!r}, not {asked!r}. Leave "
            "--passages away, or encode again."
        )
    return parse_passages(settings.passages if stored is None else stored)


def _pruning(settings: IndexSettings, encoder: object) -> Pruning:
    """How documents are pruned: as is asked for, after what was done to stored vectors.

    Raises:
        ConfigError: both together are no pruning that a new document could be given.
    """
    asked, stored = parse_pruning(settings.document_pruning), _stored_pruning(encoder)
    pruning = both_prunings(stored, asked)
    if pruning is None:
        raise ConfigError(
            f"the vectors in {settings.vectors} are pruned by {str(stored)!r}, which cannot become "
            f"{str(asked)!r}. Leave --document-pruning away, or encode again."
        )
    return pruning


def _stored_pruning(encoder: object) -> Pruning:
    return parse_pruning(getattr(encoder, "document_pruning", ""))


def _read_as(settings: IndexSettings, encoder: object) -> Passages:
    """How documents go to the encoder: stored vectors of whole documents are given out as such.

    For the dense model, which reads the texts, ``_passages`` holds.
    """
    passages = _passages(settings, encoder)
    stored = isinstance(getattr(encoder, "passages", None), str)
    return WHOLE if stored and passages.kind != EACH else passages


def _stamp(
    settings: IndexSettings, encoder: SparseEncoder | EncoderPool, dense: DenseSide | None
) -> Stamp:
    return Stamp(
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        query_fingerprints=encoder.query_fingerprints,
        vocabulary_hash=vocabulary_hash(encoder.vocabulary),
        vocabulary_size=len(encoder.vocabulary),
        document_pruning=str(_pruning(settings, encoder)),
        corpus=settings.corpus,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        passages=str(_passages(settings, encoder)),
        dense=None if dense is None else dense.space,
        # stored vectors say it themselves, and so does BM25, which has but one
        precision=getattr(encoder, "precision", settings.precision),
    )


def _require_same(stamp: Stamp, settings: IndexSettings) -> None:
    """Refuse to call a finished index the result of a run with other settings.

    Raises:
        ConfigError: naming what differs.
    """
    shards = settings.vectors is not None and is_shards(settings.vectors)
    source = VectorShards(settings.vectors or "") if shards else None
    found: dict[str, tuple[object, object]] = {
        "corpus": (stamp.corpus, settings.corpus),
        "document_pruning": (stamp.document_pruning, str(_pruning(settings, source))),
        "passages": (stamp.passages, str(_passages(settings, source))),
    }
    if source is not None and source.fingerprint != stamp.fingerprint:
        found["model"] = (stamp.model, called_now(source.name, stamp.model))
    elif settings.vectors is None and not made_by(settings.model, stamp.model, stamp.fingerprint):
        found["model"] = (stamp.model, called_now(settings.model, stamp.model))
    for name, (before, now) in found.items():
        if before != now:
            raise ConfigError(
                f"index {settings.index!r} is finished, and its {name} was {before!r}, not "
                f"{now!r}. Use --replace to build it anew, or another name."
            )


def _require_dense(engine: Engine, settings: IndexSettings) -> None:
    """See that a finished index holds the dense vectors that are asked for."""
    if settings.dense is None:
        return
    stamp = engine.describe(settings.index)
    space = require_dense_space(stamp, index=settings.index)
    side = _dense(settings)
    if side is None:
        return
    require_same_dense(stamp, side.encoder, index=settings.index)
    require_same_similarity(space, side.similarity, index=settings.index)


def _already_there(engine: Engine, settings: IndexSettings, started: float) -> IndexReport:
    stats = engine.stats(settings.index)
    rejected, rejects = kept_rejects(engine, settings.index)
    return IndexReport(
        name=settings.index,
        engine=engine.address,
        documents=stats.documents,
        encoded=0,
        rejected=rejected,
        rejects=rejects,
        skipped=(),
        texts_cut=0,
        seconds=time.monotonic() - started,
        bytes=stats.bytes,
        details=engine.details(settings.index),
    )
