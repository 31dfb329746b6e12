"""What a corpus will cost, from a sample: terms, hours, bytes, clauses."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.encoding.passages import EACH, parse_passages, split
from sparse_ir.encoding.sources import devices_for, encoder_for
from sparse_ir.engines.sizes import SIZES
from sparse_ir.errors import ConfigError
from sparse_ir.inspecting.verify_sample import sample
from sparse_ir.models.loading import load_encoder
from sparse_ir.pruning import parse_pruning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sparse_ir.encoding.chunks import EncodedChunk
    from sparse_ir.types import Document

_WARM_UP = 16  # documents encoded before the clock starts


@dataclass(frozen=True)
class PlanSettings:
    """What is planned.

    Attributes:
        corpus: As ``read_documents`` takes it; all of it is read, to be counted.
        model: As ``load_encoder`` takes it, or "bm25".
        queries: As ``read_queries`` takes it; None to predict nothing about queries.
        devices: As ``read_devices`` takes them.
        on: Devices of that kind that will encode; None for as many as those.
        precision: As ``load_encoder`` takes it.
        batch_tokens: As ``load_encoder`` takes it.
        documents: Size of the sample.
        documents_in_all: Of the whole corpus, where the one given is a part of it; None to count.
        document_pruning: As ``parse_pruning`` takes it.
        passages: As ``parse_passages`` takes it.
        seed: Decides the sample.
        skip_bad: Pass over unusable rows.
    """

    corpus: str
    model: str | None = None
    queries: str | None = None
    devices: str = "auto"
    on: int | None = None
    precision: str = "fp32"
    batch_tokens: int | None = None
    documents: int = 500
    documents_in_all: int | None = None
    document_pruning: str = ""
    passages: str = ""
    seed: int = 0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.documents < 1:
            raise ConfigError(f"documents is {self.documents}. Use at least 1.")
        if self.on is not None and self.on < 1:
            raise ConfigError(f"on is {self.on}. Use at least 1.")


class Terms(NamedTuple):
    """How many terms vectors have.

    Attributes:
        mean: On average.
        median: Of half of them at most.
        p99: Of 99 in 100 at most.
        most: Of any.
    """

    mean: float
    median: float
    p99: float
    most: int


class Size(NamedTuple):
    """An index, as it will be.

    Attributes:
        engine: Of which engine.
        field: Of which field type; empty for the embedded engine.
        vectors: Bytes of the vectors, and what a document takes by itself.
        texts: Bytes of the stored texts and metadata.
    """

    engine: str
    field: str
    vectors: int
    texts: int


class Plan(NamedTuple):
    """What a corpus will cost.

    Attributes:
        documents: In the corpus.
        vectors: To be encoded: its documents, or their passages.
        sampled: Documents of the sample.
        terms: Of document vectors.
        cut: Share of the texts that are longer than the model reads.
        text_bytes: UTF-8 bytes of all that is stored: titles, texts (of passages, where these are
            indexed) and metadata.
        devices: What the sample was encoded on.
        rate: Vectors a second on all of these together.
        on: Devices that will encode.
        seconds: To encode the corpus at that rate on each of them.
        sizes: Of an index in every engine and field type, one shard, no replicas.
        query_terms: Of query vectors: a search has as many clauses. None without queries.
    """

    documents: int
    vectors: int
    sampled: int
    terms: Terms
    cut: float
    text_bytes: int
    devices: tuple[str, ...]
    rate: float
    on: int
    seconds: float
    sizes: tuple[Size, ...]
    query_terms: Terms | None


def plan(settings: PlanSettings, *, advance: Callable[[int], None] = lambda n: None) -> Plan:
    """Encode a sample of a corpus and predict what all of it will cost.

    Args:
        settings: The corpus, the model, the devices.
        advance: Called with the number of documents encoded.

    Raises:
        InputError: the corpus or the queries cannot be read, or hold nothing.
        ConfigError: a setting is wrong.
    """
    documents, total = _sample(settings)
    passages = parse_passages(settings.passages)
    devices = devices_for(settings.model, settings.devices)
    on = settings.on or len(devices)
    chunks, seconds, name = _encode(documents, settings, len(devices), advance)
    counts = np.concatenate([np.diff(chunk.batch.weights.indptr) for chunk in chunks])
    grown = total / len(documents)
    text_bytes = int(grown * sum(_stored(d) for chunk in chunks for d in chunk.documents))
    texts_read = (
        len(counts)
        if passages.kind in ("", EACH)
        else sum(len(split(d.text, passages)) for d in documents)
    )
    weights = grown * int(counts.sum())
    return Plan(
        documents=total,
        vectors=round(grown * len(counts)),
        sampled=len(documents),
        terms=_terms(counts),
        cut=sum(chunk.texts_cut for chunk in chunks) / texts_read,
        text_bytes=text_bytes,
        devices=devices,
        rate=len(counts) / seconds,
        on=on,
        seconds=grown * seconds * len(devices) / on,
        sizes=tuple(
            Size(
                s.engine,
                s.field,
                round(weights * s.weight + grown * len(counts) * s.document),
                round(text_bytes * s.text),
            )
            for s in SIZES
        ),
        query_terms=_query_terms(settings, name),
    )


def _encode(
    documents: Sequence[Document],
    settings: PlanSettings,
    devices: int,
    advance: Callable[[int], None],
) -> tuple[list[EncodedChunk], float, str]:
    """Encode the sample: its chunks, the seconds they took, the encoder's name."""
    with encoder_for(
        settings.model,
        settings.corpus,
        devices=settings.devices,
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
        skip_bad=settings.skip_bad,
    ) as encoder:
        warm = documents[: _WARM_UP * devices]
        list(encode_corpus(warm, encoder, chunk_documents=_WARM_UP))
        started = time.perf_counter()
        chunks = list(
            encode_corpus(
                documents,
                encoder,
                chunk_documents=min(512, max(16, len(documents) // 8)),
                pruning=parse_pruning(settings.document_pruning),
                passages=parse_passages(settings.passages),
                advance=advance,
            )
        )
        return chunks, time.perf_counter() - started, encoder.name


def _stored(document: Document) -> int:
    more = json.dumps(dict(document.metadata), default=str) if document.metadata else ""
    return len(f"{document.content}{more}".encode(errors="replace"))


def _sample(settings: PlanSettings) -> tuple[Sequence[Document], int]:
    rng = random.Random(settings.seed)  # noqa: S311 - a sample
    documents, total = sample(
        read_documents(settings.corpus, on_bad=(lambda row: None) if settings.skip_bad else None),
        settings.documents,
        rng,
    )
    return documents, settings.documents_in_all or total


def _query_terms(settings: PlanSettings, model: str) -> Terms | None:
    if settings.queries is None:
        return None
    texts = [query.text for query in read_queries(settings.queries)]
    device = devices_for(model, settings.devices)[0]
    encoder = load_encoder(model, device=device, precision=settings.precision)
    return _terms(np.diff(encoder.encode_queries(texts).weights.indptr))


def _terms(counts: NDArray[Any]) -> Terms:
    median, p99 = np.percentile(counts, [50, 99])
    return Terms(float(counts.mean()), float(median), float(p99), int(counts.max()))
