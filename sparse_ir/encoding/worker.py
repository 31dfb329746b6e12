"""A process with an encoder on a device of its own: chunks of texts in, vectors out."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sparse_ir import errors
from sparse_ir.errors import SparseIRError, brief
from sparse_ir.models.memory import return_free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def main() -> None:
    """Load the encoder, then encode what comes on standard input until there is nothing more.

    Messages are pickles: settings and tasks come in, facts and chunks go out on what was standard
    output; what libraries print goes to standard error. The parent's death closes the input, which
    ends this process too, at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends us
    outlet = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings: WorkerSettings = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent's
    inbox = _Inbox(sys.stdin.buffer)

    def send(message: Any) -> None:
        pickle.dump(message, outlet, protocol=pickle.HIGHEST_PROTOCOL)
        outlet.flush()

    with suppress(BrokenPipeError):
        try:
            _work(settings, inbox, send)
        except SparseIRError as error:
            send(Failed(type(error).__name__, str(error)))
        except Exception as error:  # noqa: BLE001 - of any library: our parent tells it
            message = (
                f"the encoder on {settings.device} failed: {type(error).__name__}: {brief(error)}. "
                "What is finished is kept: go on with --resume."
            )
            send(Failed("EncodingError", message))


def _work(settings: WorkerSettings, inbox: _Inbox, send: Callable[[Any], None]) -> None:
    from sparse_ir.models.loading import load_encoder

    encoder = load_encoder(settings.model, device=settings.device, **settings.options)
    send(
        Facts(
            encoder.name,
            tuple(encoder.vocabulary),
            encoder.fingerprint,
            encoder.query_fingerprints,
        )
    )
    foresee = getattr(encoder, "foresee", lambda texts: None)
    for task in inbox:

        def advance(n: int, number: int = task.number) -> None:
            send(Advanced(number, n))
            if inbox.following is not None:
                foresee(inbox.following.texts)

        cuts: list[int] = []
        batch = encoder.encode_documents(
            task.texts, ids=task.ids, on_cut=cuts.append, advance=advance
        )
        send(Done(task.number, batch, sum(cuts)))
        return_free_memory()


class _Inbox:
    """Takes tasks off a stream as they come, so that the parent never waits for us to listen."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._tasks: deque[Task] = deque()
        self._there = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def __iter__(self) -> Iterator[Task]:
        while True:
            self._there.acquire()
            yield self._tasks.popleft()

    @property
    def following(self) -> Task | None:
        """The task that comes next, if it is here."""
        return self._tasks[0] if self._tasks else None

    def _listen(self) -> None:
        code = 1  # of memory that is short, say: the parent hears that we died
        try:
            while True:
                self._tasks.append(pickle.load(self._stream))  # noqa: S301 - our own parent's
                self._there.release()
        except (EOFError, OSError, pickle.UnpicklingError):
            code = 0  # nobody is there to take what is under way
        finally:
            os._exit(code)
