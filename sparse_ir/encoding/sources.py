"""What a run reads, and the model that weighs it."""

from __future__ import annotations

import secrets
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.corpora import corpus_bytes, read_documents
from sparse_ir.data.files import STANDARD_INPUT, unwritable
from sparse_ir.encoding.devices import read_devices, threads_each
from sparse_ir.encoding.pool import EncoderPool
from sparse_ir.encoding.worker import WorkerSettings
from sparse_ir.models.loading import DEFAULT, load_encoder
from sparse_ir.resources import cache, home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparse_ir.models.base import SparseEncoder


@contextmanager
def readable_twice(corpus: str, model: str | None) -> Iterator[str]:
    """Give a source that can be read again, as BM25 needs: standard input goes to a spool file.

    Raises:
        StorageError: the spool file cannot be written.
    """
    if corpus != STANDARD_INPUT or model != "bm25":
        yield corpus
        return
    spool = cache() / "spool" / f"{secrets.token_hex(8)}.spool"
    try:
        try:
            spool.parent.mkdir(parents=True, exist_ok=True)
            with spool.open("xb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        except OSError as error:
            raise unwritable(spool, error) from None
        yield str(spool)
    finally:
        spool.unlink(missing_ok=True)


def fitted_before(stopped: Mapping[str, Any], corpus: str, limit: int | None) -> str | None:
    """The BM25 that a stopped run fitted to these documents; None where it read others.

    Args:
        stopped: The settings in the run's ledger.
        corpus: What is to be read now.
        limit: How much of it.
    """
    now = {"model": "bm25", "corpus": corpus, "limit": limit, "corpus_bytes": corpus_bytes(corpus)}
    same = all(stopped.get(name) == value for name, value in now.items())
    return str(stopped["loaded"]) if same else None


def devices_for(model: str | None, devices: str) -> tuple[str, ...]:
    """The devices that encode: as ``read_devices`` reads them, but no GPU for BM25 unasked.

    Raises:
        ConfigError: as there.
    """
    lexical = model == "bm25" or (model is not None and Path(model, "bm25.json").is_file())
    return ("cpu",) if lexical and devices == "auto" else read_devices(devices)


@contextmanager
def encoder_for(
    model: str | None,
    corpus: str,
    *,
    devices: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    limit: int | None = None,
    skip_bad: bool = False,
) -> Iterator[SparseEncoder | EncoderPool]:
    """Load a model, once a device; ``bm25`` is fitted to the corpus first and kept.

    One CPU is used by this process itself. GPUs and several devices have a process each: while this
    one reads and writes, they encode.

    Args:
        model: As ``load_encoder`` takes it, or "bm25".
        corpus: The source of the documents, readable again.
        devices: As ``read_devices`` takes them.
        precision: As ``load_encoder`` takes it.
        batch_tokens: As ``load_encoder`` takes it.
        limit: Read at most so many documents.
        skip_bad: Pass over unusable rows; they are reported by the pass that indexes.
    """
    named = devices_for(model, devices)
    if model == "bm25":
        model = str(_fitted(corpus, limit=limit, skip_bad=skip_bad))
    if named == ("cpu",):
        yield load_encoder(model, device=named[0], precision=precision, batch_tokens=batch_tokens)
        return
    threads = threads_each(named)
    options = {"precision": precision, "batch_tokens": batch_tokens}
    settings = [
        WorkerSettings(model, device, options, threads if device == "cpu" else 0)
        for device in named
    ]
    with EncoderPool(settings) as pool:
        yield pool


def made_by(model: str | None, name: str, fingerprint: str) -> bool:
    """Whether a model is the one that made vectors.

    Args:
        model: As ``encoder_for`` takes it; "bm25" is any that was fitted on the way.
        name: What the vectors say of the model that made them.
        fingerprint: As well.

    Raises:
        ModelError: there is no such model.
    """
    if model == "bm25":
        return Path(name).name == _fitted_name(fingerprint) or Path(name, "bm25.json").is_file()
    return load_encoder(model, device="cpu").fingerprint == fingerprint


def called_now(model: str | None, before: str) -> str:
    """What to call a model that is not the one which made vectors, though it may have its name."""
    name = model or DEFAULT
    return f"{name} with other files" if name == before else name


def _fitted_name(fingerprint: str) -> str:
    return f"bm25-{fingerprint[:16]}"


def _fitted(corpus: str, *, limit: int | None, skip_bad: bool) -> Path:
    from sparse_ir.models.bm25 import Bm25Encoder

    documents = read_documents(corpus, limit=limit, on_bad=_ignore if skip_bad else None)
    fitted = Bm25Encoder.fit(document.content for document in documents)
    folder = home() / "models" / _fitted_name(fitted.fingerprint)
    fitted.save(folder)
    return folder


def _ignore(row: object) -> None:
    del row
