"""One build of an index, from nothing or from where a stopped one was, to in sight."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.files import writing
from sparse_ir.data.ledger import Chunk, Ledger
from sparse_ir.data.locks import locked_by
from sparse_ir.engines.base import require_index_name
from sparse_ir.errors import ConfigError, EngineError, InputError
from sparse_ir.resources import home
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from sparse_ir.encoding.chunks import EncodedChunk
    from sparse_ir.engines.base import Engine, Failure
    from sparse_ir.engines.stamp import Stamp


class StoppedRun(NamedTuple):
    """What a run finds when it begins.

    Attributes:
        ledger: Of an unfinished build, or None.
        published: Whether an index of that name is in sight.
    """

    ledger: Ledger | None
    published: bool


def ledger_path(engine: Engine, index: str) -> Path:
    """Where the ledger of an index's build lies: one for every engine address and index name."""
    where = hashlib.sha256(engine.address.encode()).hexdigest()[:12]
    return home() / "state" / where / f"{require_index_name(index)}.jsonl"


@contextmanager
def written_alone(engine: Engine, index: str) -> Iterator[None]:
    """Keep other runs of an index on this machine away meanwhile.

    Raises:
        ConfigError: one is under way.
        StorageError: the lock's file cannot be written.
    """
    taken = (
        f"another run is writing index {index!r} in {engine.address}. Wait for it, end it, or use "
        "another name."
    )
    with locked_by(ledger_path(engine, index).with_suffix(".lock"), taken=taken):
        yield


def look_up(
    engine: Engine, index: str, *, resume: bool, replace: bool, aside: bool = False
) -> StoppedRun:
    """Decide how a run begins.

    ``resume`` goes on with an unfinished build and is content with a finished index; ``replace``
    starts again, also where the ledger is damaged; both together resume where they can and else
    start again. ``aside`` leaves a published index alone, and so needs neither; nor does a build
    that holds nothing yet.

    Raises:
        InputError: the ledger of an unfinished build is damaged, and ``replace`` is not set.
        ConfigError: something is there and neither flag says what to do with it.
    """
    ledger = _stopped(ledger_path(engine, index), replace=replace)
    if ledger is not None and not engine.exists(str(ledger.settings.get("physical"))):
        ledger.remove()  # its build is gone: nothing to go on with
        ledger = None
    published = index in engine.indexes()
    if ledger is not None and ledger.chunks and not (resume or replace):
        raise ConfigError(
            f"an unfinished build of index {index!r} holds {ledger.documents:,} documents. Go on "
            "with --resume, or start again with --replace."
        )
    if ledger is None and aside and resume and not replace:
        raise ConfigError(
            f"there is no unfinished build of index {index!r} to go on with. Leave --resume away "
            "to start one."
        )
    empty = ledger is None or not ledger.chunks
    if empty and published and not (resume or replace or aside):
        raise ConfigError(
            f"index {index!r} exists. Use --replace to build it anew, or another name."
        )
    return StoppedRun(ledger, published)


class Build:
    """A build in progress: chunks go in, each is acknowledged, then it is published."""

    def __init__(self, engine: Engine, index: str, ledger: Ledger, rejects: Path) -> None:
        """Use ``start`` or ``go_on``."""
        self.engine = engine
        self.index = index
        self.ledger = ledger
        self.rejects = rejects
        self.physical = str(ledger.settings["physical"])

    @classmethod
    def start(
        cls,
        engine: Engine,
        index: str,
        *,
        stamp: Stamp,
        vocabulary: Sequence[str],
        settings: Mapping[str, Any],
    ) -> Build:
        """Create the build in the engine and its ledger; what a stopped run left is dropped."""
        path = ledger_path(engine, index)
        stopped = Ledger.open(path)
        if stopped is not None:
            left = str(stopped.settings.get("physical"))
            if engine.exists(left) and left not in _in_sight(engine, index):
                engine.drop(left)
            stopped.remove()
        physical = engine.create(index, stamp, vocabulary)
        ledger = Ledger.create(path, {**settings, "physical": physical})
        rejects = path.with_suffix(".rejects.jsonl")
        rejects.unlink(missing_ok=True)
        return cls(engine, index, ledger, rejects)

    @classmethod
    def go_on(cls, engine: Engine, index: str, ledger: Ledger) -> Build:
        """Take up a stopped build."""
        return cls(engine, index, ledger, ledger.path.with_suffix(".rejects.jsonl"))

    def add_all(self, chunks: Iterable[EncodedChunk], vocabulary: Sequence[str]) -> None:
        """Write chunks to the engine and acknowledge each, in order, once it is durable.

        Where the engine takes several at a time, chunks are made while others are written; memory
        holds as many as are written and one more.
        """
        most = self.engine.writers
        if most == 1:
            for chunk in chunks:
                self._acknowledge(chunk, self._write(chunk, vocabulary))
            return
        running: deque[tuple[EncodedChunk, Future[list[Failure]]]] = deque()
        with ThreadPoolExecutor(most, thread_name_prefix="index") as pool:
            try:
                for chunk in chunks:
                    running.append((chunk, pool.submit(self._write, chunk, vocabulary)))
                    while len(running) >= most or (running and running[0][1].done()):
                        self._finish(running)
                while running:
                    self._finish(running)
            except BaseException:
                for _, future in running:
                    future.cancel()
                self.engine.interrupt()
                raise

    def _finish(self, running: deque[tuple[EncodedChunk, Future[list[Failure]]]]) -> None:
        chunk, future = running[0]
        failures = future.result()
        running.popleft()
        self._acknowledge(chunk, failures)

    def _write(self, chunk: EncodedChunk, vocabulary: Sequence[str]) -> list[Failure]:
        vectors = to_terms(self.engine.rounded(self.physical, chunk.batch), vocabulary)
        failures = list(self.engine.add(self.physical, chunk.entries(vectors)))
        self.engine.flush(self.physical)
        return failures

    def _acknowledge(self, chunk: EncodedChunk, failures: Sequence[Failure]) -> None:
        if failures:
            keep_rejects(self.rejects, failures)
        self.ledger.acknowledge(
            Chunk(
                number=chunk.number,
                documents=len(chunk.documents),
                rejected=len(failures),
                texts_cut=chunk.texts_cut,
                digest=chunk.digest,
            )
        )

    def publish(self, *, drop_previous: bool | None = None) -> int:
        """Count what is in, bring the index into sight and forget the ledger.

        Args:
            drop_previous: Whether the build that was in sight is removed; None for what the engine
                does by itself.

        Returns:
            The number of documents in the index.

        Raises:
            EngineError: the engine holds another number of documents than was acknowledged, or none
                was read.
        """
        found = self._count()
        drop = not self.engine.keeps_previous if drop_previous is None else drop_previous
        self.engine.publish(self.index, self.physical, drop_previous=drop)
        self.ledger.remove()
        return found

    def finish(self) -> int:
        """Count what is in and forget the ledger, but leave the build out of sight.

        Returns:
            The number of documents in the build.

        Raises:
            EngineError: the engine holds another number of documents than was acknowledged, or none
                was read.
        """
        found = self._count()
        self.engine.settle(self.physical)
        self.ledger.remove()
        return found

    def _count(self) -> int:
        expected = self.ledger.documents - self.ledger.rejected
        for _ in range(2):  # a part that came back between refresh and count may need another
            self.engine.refresh(self.physical)
            found = self.engine.stats(self.physical).documents
            if found == expected:
                break
        else:
            raise EngineError(
                f"index {self.index!r} holds {found:,} documents where {expected:,} were "
                "acknowledged; it is not published. Start again with --replace."
            )
        if not self.ledger.documents:
            raise EngineError(
                f"no document was read, so index {self.index!r} is left as it was. Give a corpus "
                "that holds some."
            )
        if not found and self.ledger.rejected:
            raise EngineError(
                f"every document was refused, so index {self.index!r} is left as it was. "
                f"{self.rejects} says why."
            )
        return found


def keep_rejects(path: Path, failures: Sequence[Failure]) -> None:
    """Add refused documents to a JSONL file, each once."""
    lines = _lines(path)
    # as ASCII: an id may hold a line separator, or half a surrogate pair
    lines += [json.dumps(failure._asdict()) for failure in failures]
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as stream:
        # a chunk that is done again after a crash refuses the same documents again
        stream.writelines(f"{line}\n" for line in dict.fromkeys(lines))


def kept_rejects(engine: Engine, index: str) -> tuple[int, Path | None]:
    """How many documents the last run of an index had refused, and the file that names them."""
    path = ledger_path(engine, index).with_suffix(".rejects.jsonl")
    count = len(_lines(path))
    return count, path if count else None


def _stopped(path: Path, *, replace: bool) -> Ledger | None:
    try:
        return Ledger.open(path)
    except InputError:
        if not replace:
            raise
        path.unlink(missing_ok=True)
        return None


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _in_sight(engine: Engine, index: str) -> list[str]:
    # A run killed between publishing and forgetting its ledger leaves a ledger of what is in sight.
    return [engine.resolve(index)] if index in engine.indexes() else []
