"""Encode a corpus into vector shards, restartably."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.config import require_least_one
from sparse_ir.data.corpora import BadRow, corpus_bytes, read_documents, source_sha256
from sparse_ir.data.files import STANDARD_INPUT
from sparse_ir.data.ledger import Chunk
from sparse_ir.data.locks import writing_alone
from sparse_ir.data.shard_manifest import write_shard_manifest
from sparse_ir.data.shards import (
    MANIFEST_NAME,
    VOCABULARY_NAME,
    ShardManifest,
    finish_shards,
    is_shard,
    read_shard_manifest,
    shard_paths,
    start_shards,
    write_shard,
)
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.encoding.ledgers import (
    Counted,
    ledger_paths,
    open_ledgers,
    own_ledger,
    require_alike,
)
from sparse_ir.encoding.passages import parse_passages
from sparse_ir.encoding.sources import (
    called_now,
    encoder_for,
    fitted_before,
    made_by,
    readable_twice,
)
from sparse_ir.errors import ConfigError, CorpusChangedError, InputError
from sparse_ir.models.memory import keep_memory_flat
from sparse_ir.models.ranks import Ranks
from sparse_ir.pruning import parse_pruning
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sparse_ir.data.ledger import Ledger
    from sparse_ir.encoding.pool import EncoderPool
    from sparse_ir.models.base import SparseEncoder


@dataclass(frozen=True)
class EncodeSettings:
    """How a corpus is encoded.

    Attributes:
        corpus: As ``read_documents`` takes it.
        out: Folder for the shards.
        model: As ``load_encoder`` takes it, "bm25", or None for the bundled model.
        devices: As ``read_devices`` takes them: "auto", "cpu", "cuda:0,cuda:1", "cpu,cpu", "mps".
        precision: As ``load_encoder`` takes it: "fp32", "bf16", "fp16" or "int8".
        batch_tokens: As ``load_encoder`` takes it.
        limit: Read at most so many documents.
        skip_bad: Pass over unusable rows and report them.
        resume: Go on with a stopped run.
        replace: Throw away what the folder holds and start again.
        document_pruning: As ``parse_pruning`` takes it.
        passages: As ``parse_passages`` takes it.
        shard_documents: Documents per shard.
    """

    corpus: str
    out: str
    model: str | None = None
    devices: str = "auto"
    precision: str = "fp32"
    batch_tokens: int | None = None
    limit: int | None = None
    skip_bad: bool = False
    resume: bool = False
    replace: bool = False
    document_pruning: str = ""
    passages: str = ""
    shard_documents: int = 4096

    def __post_init__(self) -> None:
        require_least_one(limit=self.limit, shard_documents=self.shard_documents)


class EncodeReport(NamedTuple):
    """What an encoding run did.

    Attributes:
        out: The folder.
        documents: Vectors in it.
        encoded: Of these, by this run (the rest by a stopped one).
        shards: Files.
        skipped: Unusable rows that were passed over.
        texts_cut: Documents longer than the encoder reads.
        seconds: Of this run.
    """

    out: str
    documents: int
    encoded: int
    shards: int
    skipped: tuple[BadRow, ...]
    texts_cut: int
    seconds: float


def encode(
    settings: EncodeSettings, *, advance: Callable[[int], None] = lambda n: None
) -> EncodeReport:
    """Encode a corpus into Parquet shards with a manifest.

    A killed or interrupted run loses nothing: call again with ``resume``. With ``replace`` too,
    one whose settings or corpus have changed is started again. The manifest says ``complete`` once
    every document is in.

    Args:
        settings: What to read, how to weigh it, where to put it.
        advance: Called with the number of documents finished.

    Raises:
        ConfigError: the folder holds vectors, and neither ``resume`` nor ``replace`` is set; or a
            resumed run was started with other settings.
        InputError: the corpus cannot be read, or is not that of the stopped run.
        StorageError: the disk is full.
    """
    ranks = Ranks.of_environment()
    if ranks.processes > 1 and settings.corpus == STANDARD_INPUT:
        raise ConfigError("several processes cannot share standard input. Give a file or folder.")
    keep_memory_flat()
    with ranks.joined(), writing_alone(Path(settings.out), process=ranks.rank):
        try:
            return _encode(settings, ranks, advance)
        except CorpusChangedError:
            # several processes may not all have noticed it
            once = settings.corpus == STANDARD_INPUT or ranks.processes > 1
            if once or not (settings.resume and settings.replace):
                raise
            return _encode(replace(settings, resume=False), ranks, advance)


def _encode(settings: EncodeSettings, ranks: Ranks, advance: Callable[[int], None]) -> EncodeReport:
    started = time.monotonic()
    out = Path(settings.out)
    stopped = _look_up(out, settings)
    if ranks.first_says(not (stopped or settings.replace) and _complete(out)):
        _require_same(read_shard_manifest(out), settings)
        return _report(settings, read_shard_manifest(out), 0, [], started)
    if ranks.first and not (stopped or settings.replace):
        _require_free(out)
    skipped: list[BadRow] = []
    with (
        readable_twice(settings.corpus, settings.model) as corpus,
        _encoder(settings, corpus, stopped) as encoder,
    ):
        ledger = _begin(out, settings, encoder, stopped, ranks)
        before = sum(one.documents for one in stopped)
        documents = Counted(
            read_documents(
                corpus, limit=settings.limit, on_bad=skipped.append if settings.skip_bad else None
            )
        )
        _write_shards(out, settings, documents, encoder, ledger, ranks, advance)
        require_alike("read", ranks.all_say(documents.facts))
        if ranks.first:
            _finish(out)
        ranks.wait()
    manifest = read_shard_manifest(out)
    return _report(settings, manifest, manifest.documents - before, skipped, started)


def _finish(out: Path) -> None:
    ledgers = open_ledgers(out)
    documents = sum(ledger.documents for ledger in ledgers)
    finish_shards(out, documents=documents, texts_cut=sum(ledger.texts_cut for ledger in ledgers))
    for ledger in ledgers:
        ledger.remove()


def _write_shards(
    out: Path,
    settings: EncodeSettings,
    documents: Any,
    encoder: SparseEncoder | EncoderPool,
    ledger: Ledger,
    ranks: Ranks,
    advance: Callable[[int], None],
) -> None:
    chunks = encode_corpus(
        documents,
        encoder,
        chunk_documents=settings.shard_documents,
        pruning=parse_pruning(settings.document_pruning),
        passages=parse_passages(settings.passages),
        done=tuple(ledger.chunks),
        ranks=ranks,
        advance=advance,
    )
    for chunk in chunks:
        write_shard(out, chunk.number, chunk.batch)
        ledger.acknowledge(
            Chunk(
                number=len(ledger.chunks),
                documents=len(chunk.documents),
                rejected=0,
                texts_cut=chunk.texts_cut,
                digest=chunk.digest,
            )
        )


def _look_up(out: Path, settings: EncodeSettings) -> list[Ledger]:
    if settings.replace and not settings.resume:
        return []
    try:
        stopped = open_ledgers(out)
    except InputError:
        if not settings.replace:
            raise
        return []  # one is damaged, and all are removed when the run starts again
    if settings.resume:
        return stopped
    if stopped:
        raise ConfigError(
            f"{out} holds {sum(one.documents for one in stopped):,} documents of an unfinished "
            "run. Go on with --resume, or start again with --replace."
        )
    if (out / MANIFEST_NAME).exists():
        raise ConfigError(f"{out} holds vectors. Use --replace, or another folder.")
    return []


def _require_free(out: Path) -> None:
    """Refuse to empty a folder whose files nothing says to be those of a stopped run.

    Raises:
        ConfigError: naming the first.
    """
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    begun = MANIFEST_NAME in names  # and killed before its first shard
    for name in names:
        if is_shard(name) or (name == VOCABULARY_NAME and not begun):
            raise ConfigError(
                f"{out} holds {name}, which a new run would remove. Use --replace, or another "
                "folder."
            )


def _complete(out: Path) -> bool:
    return (out / MANIFEST_NAME).exists() and read_shard_manifest(out).complete


def _require_same(manifest: ShardManifest, settings: EncodeSettings) -> None:
    """Refuse to call a finished folder the result of a run with other settings.

    Raises:
        ConfigError: naming what differs.
    """
    found: dict[str, tuple[Any, Any]] = {
        "corpus": (manifest.corpus, settings.corpus),
        "limit": (manifest.options.get("limit"), settings.limit),
        "document_pruning": (
            manifest.document_pruning,
            str(parse_pruning(settings.document_pruning)),
        ),
        "passages": (manifest.options.get("passages", ""), str(parse_passages(settings.passages))),
    }
    if "precision" in manifest.options:  # it came later, as the checksum did
        found["precision"] = (manifest.options["precision"], settings.precision)
    if not made_by(settings.model, manifest.model, manifest.fingerprint):
        found["model"] = (manifest.model, called_now(settings.model, manifest.model))
    if manifest.corpus_sha256 and found["corpus"][0] == found["corpus"][1]:
        found["corpus_sha256"] = (
            manifest.corpus_sha256,
            source_sha256(settings.corpus) or manifest.corpus_sha256,
        )
    for name, (before, now) in found.items():
        if before != now:
            raise ConfigError(
                f"{settings.out} holds a finished run whose {name} was {before!r}, not {now!r}. "
                "Use --replace, or another folder."
            )


def _encoder(
    settings: EncodeSettings, corpus: str, stopped: list[Ledger]
) -> AbstractContextManager[SparseEncoder | EncoderPool]:
    model = settings.model
    if stopped and model == "bm25" and settings.resume:
        model = fitted_before(stopped[0].settings, settings.corpus, settings.limit) or model
    return encoder_for(
        model,
        corpus,
        devices=settings.devices,
        precision=settings.precision,
        batch_tokens=settings.batch_tokens,
        limit=settings.limit,
        skip_bad=settings.skip_bad,
    )


def _begin(
    out: Path,
    settings: EncodeSettings,
    encoder: SparseEncoder | EncoderPool,
    stopped: list[Ledger],
    ranks: Ranks,
) -> Ledger:
    whole = settings.model == "bm25" or ranks.processes > 1
    wanted: dict[str, Any] = {
        "corpus": settings.corpus,
        # elsewhere the digests of the chunks tell, and a bad line may be mended
        "corpus_bytes": corpus_bytes(settings.corpus) if whole else None,
        "model": settings.model,
        "loaded": encoder.name,
        "fingerprint": encoder.fingerprint,
        "precision": settings.precision,
        "limit": settings.limit,
        "document_pruning": str(parse_pruning(settings.document_pruning)),
        "passages": str(parse_passages(settings.passages)),
    }
    if ranks.processes > 1:
        wanted["processes"] = ranks.processes
        wanted["shard_documents"] = settings.shard_documents  # all must cut the corpus alike
    alike = {name: value for name, value in wanted.items() if name != "loaded"}  # may be a path
    require_alike("was started with", ranks.all_say(alike))
    goes_on = settings.resume and bool(stopped)
    if goes_on and settings.replace:
        goes_on = all(one.settings.get(name) == wanted[name] for one in stopped for name in wanted)
    if ranks.first_says(goes_on):
        if ranks.first:
            _note_corpus(out, settings.corpus)
        return own_ledger(out, stopped, ranks, wanted)
    if ranks.first:
        _start(out, settings, encoder)
    ranks.wait()
    return own_ledger(out, [], ranks, wanted)


def _note_corpus(out: Path, corpus: str) -> None:
    """Have the manifest say what is read now; what was read before is the same, chunk by chunk."""
    manifest = read_shard_manifest(out)
    digest = source_sha256(corpus) or manifest.corpus_sha256
    if digest != manifest.corpus_sha256:
        write_shard_manifest(out, replace(manifest, corpus_sha256=digest))


def _start(out: Path, settings: EncodeSettings, encoder: SparseEncoder | EncoderPool) -> None:
    _clear(out)
    manifest = ShardManifest(
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        query_fingerprints=encoder.query_fingerprints,
        vocabulary_hash=vocabulary_hash(encoder.vocabulary),
        vocabulary_size=len(encoder.vocabulary),
        document_pruning=str(parse_pruning(settings.document_pruning)),
        corpus=settings.corpus,
        corpus_sha256=source_sha256(settings.corpus) or "",
        options={
            "limit": settings.limit,
            "skip_bad": settings.skip_bad,
            "shard_documents": settings.shard_documents,
            "passages": str(parse_passages(settings.passages)),
            "devices": settings.devices,
            "precision": settings.precision,
            "batch_tokens": settings.batch_tokens,
        },
    )
    start_shards(out, manifest, encoder.vocabulary)


def _clear(out: Path) -> None:
    """Remove what an earlier run wrote into the folder, and nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (*ledger_paths(out), out / MANIFEST_NAME, out / VOCABULARY_NAME):
        path.unlink(missing_ok=True)
    for path in out.iterdir():
        if is_shard(path.name):
            path.unlink()


def _report(
    settings: EncodeSettings,
    manifest: ShardManifest,
    encoded: int,
    skipped: list[BadRow],
    started: float,
) -> EncodeReport:
    return EncodeReport(
        out=settings.out,
        documents=manifest.documents,
        encoded=encoded,
        shards=len(shard_paths(settings.out)),
        skipped=tuple(skipped),
        texts_cut=manifest.texts_cut,
        seconds=time.monotonic() - started,
    )
