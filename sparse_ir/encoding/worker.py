"""A process with an encoder on a device of its own: chunks of texts in, vectors out."""

from __future__ import annotations

import os
import queue
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir import errors
from sparse_ir.errors import SparseIRError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from sparse_ir.vectors import SparseBatch


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker loads its encoder.

    Attributes:
        model: As ``load_encoder`` takes it.
        device: The device it works on.
        options: More of what ``load_encoder`` takes.
        threads: On a CPU, how many threads are its own; 0 for as torch decides.
    """

    model: str | None
    device: str
    options: dict[str, Any] = field(default_factory=dict)
    threads: int = 0


class Facts(NamedTuple):
    """What the first worker tells of its encoder, so that its parent need not load one.

    Attributes:
        name: As in ``SparseEncoder``, and so on.
    """

    name: str
    vocabulary: tuple[str, ...]
    fingerprint: str
    query_fingerprints: tuple[str, ...]


class Task(NamedTuple):
    """A chunk to be encoded."""

    number: int
    ids: tuple[str, ...]
    texts: tuple[str, ...]


class Advanced(NamedTuple):
    """Some documents of a chunk are finished."""

    number: int
    documents: int


class Done(NamedTuple):
    """A chunk is finished."""

    number: int
    batch: SparseBatch
    texts_cut: int


class Failed(NamedTuple):
    """A chunk cannot be encoded, or the encoder not be loaded.

    Attributes:
        kind: Name of the error's class in ``sparse_ir.errors``.
        message: Its line.
    """

    kind: str
    message: str

    def error(self) -> SparseIRError:
        """The error as it was; not all of them can be pickled."""
        kind = getattr(errors, self.kind, SparseIRError)
        found: SparseIRError = kind.__new__(kind)
        Exception.__init__(found, self.message)
        return found


def work(settings: WorkerSettings, channel: Connection) -> None:
    """Load the encoder, then encode what comes until there is nothing more.

    The parent's death closes the channel, which ends this process too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends us
    with suppress(BrokenPipeError, EOFError, ConnectionResetError):
        try:
            encoder = _load(settings)
            channel.send(
                Facts(
                    encoder.name,
                    tuple(encoder.vocabulary),
                    encoder.fingerprint,
                    encoder.query_fingerprints,
                )
            )
            for task in _received(channel):
                channel.send(_encode(encoder, task, channel.send))
        except SparseIRError as error:
            channel.send(Failed(type(error).__name__, str(error)))


def _load(settings: WorkerSettings) -> Any:
    if settings.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    from sparse_ir.models.loading import load_encoder

    return load_encoder(settings.model, device=settings.device, **settings.options)


def _received(channel: Connection) -> Any:
    """Take tasks off the channel as they come, so that the parent never waits for us to listen."""
    waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while (task := channel.recv()) is not None:
                waiting.put(task)
        waiting.put(None)

    threading.Thread(target=listen, daemon=True).start()
    return iter(waiting.get, None)


def _encode(encoder: Any, task: Task, send: Callable[[Any], None]) -> Done:
    cuts: list[int] = []
    batch = encoder.encode_documents(
        task.texts,
        ids=task.ids,
        on_cut=cuts.append,
        advance=lambda n: send(Advanced(task.number, n)),
    )
    return Done(task.number, batch, sum(cuts))
