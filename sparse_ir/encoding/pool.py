"""Several encoders at work, each in a process on its own device; their results come in order.

Each worker has at most two chunks, one under way and one waiting. A chunk that is finished early
waits for those before it; so does the reader then, and memory stays that of a few chunks. A worker
that dies is started again once and its chunks with it; the chunk under which a second one dies ends
the run, which can be resumed.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections import deque
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from sparse_ir.encoding.worker import Advanced, Done, Facts, Failed, Task, WorkerSettings, work
from sparse_ir.errors import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

_EACH = 2  # chunks of a worker
_AHEAD = 2  # chunks a worker may be ahead of the slowest, more than its own
_log = logging.getLogger(__name__)


class _Worker:
    """A process, its channel and the chunks it has."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.tasks: deque[Task] = deque()
        self.told = 0  # finished documents of the chunk under way that were told of
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(settings, theirs), daemon=True)
        self.process.start()
        theirs.close()  # so that its death closes the channel

    def give(self, task: Task) -> None:
        self.tasks.append(task)
        # One that is dead is noticed when it is listened to.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(task)

    def ended(self) -> str:
        """Wait until it is gone, and say how it went."""
        self.process.join()
        code = self.process.exitcode
        return f"signal {-code}" if code and code < 0 else f"exit code {code}"

    def end(self) -> None:
        self.channel.close()
        self.process.terminate()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class EncoderPool:
    """Encodes chunks on several devices.

    Attributes:
        facts: Of the encoder, as the first worker tells them.
    """

    facts: Facts

    def __init__(self, settings: Sequence[WorkerSettings]) -> None:
        """Start a process for each of the settings; their encoders must be the same.

        Raises:
            SparseIRError: an encoder cannot be loaded: the worker's own error.
        """
        self._workers: list[_Worker] = []
        self._deaths: dict[int, int] = {}
        try:
            self._workers += [_Worker(one) for one in settings]
            told = [self._first_word(worker) for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self.facts = told[0]

    @property
    def name(self) -> str:
        """What ``load_encoder`` takes to load the encoder."""
        return self.facts.name

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The term of every column."""
        return self.facts.vocabulary

    @property
    def fingerprint(self) -> str:
        """Of the document vectors."""
        return self.facts.fingerprint

    @property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Of every query side that fits them."""
        return self.facts.query_fingerprints

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers, in the order of their devices."""
        return [worker.process.pid or 0 for worker in self._workers]

    def __enter__(self) -> EncoderPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def encode(
        self, tasks: Iterable[Task], *, advance: Callable[[int], None] = lambda n: None
    ) -> Iterator[Done]:
        """Encode chunks, numbered upwards without gaps, and yield them in that order.

        Args:
            tasks: Read as workers become free.
            advance: Called with the number of documents finished.

        Raises:
            SparseIRError: a worker's own error.
            WorkerDiedError: workers died.
        """
        reader, finished = iter(tasks), {}
        following: int | None = None  # the number that is to be yielded next
        read_all = False
        while True:
            while not read_all and (free := self._free(following)) is not None:
                task = next(reader, None)
                if task is None:
                    read_all = True
                    break
                following = task.number if following is None else following
                free.give(task)
            if not any(worker.tasks for worker in self._workers):
                return
            for done in self._listen(advance):
                finished[done.number] = done
            while following in finished:
                yield finished.pop(following)
                following += 1

    def _free(self, following: int | None) -> _Worker | None:
        """The worker with the fewest chunks, if it may have another."""
        worker = min(self._workers, key=lambda worker: len(worker.tasks))
        newest = max((w.tasks[-1].number for w in self._workers if w.tasks), default=-1)
        most = (_EACH + _AHEAD) * len(self._workers)
        waiting = 0 if following is None else newest + 1 - following
        return worker if len(worker.tasks) < _EACH and waiting < most else None

    def _listen(self, advance: Callable[[int], None]) -> Iterator[Done]:
        by_channel: dict[Any, _Worker] = {worker.channel: worker for worker in self._workers}
        for channel in wait(list(by_channel)):
            worker = by_channel[channel]
            try:
                said = worker.channel.recv()
            except (EOFError, ConnectionResetError):
                self._restart(worker)
                continue
            if isinstance(said, Failed):
                raise said.error()
            if isinstance(said, Advanced):
                before, worker.told = worker.told, worker.told + said.documents
                advance(max(0, worker.told) - max(0, before))
            if isinstance(said, Done):
                worker.tasks.popleft()
                worker.told = 0
                yield said

    def _restart(self, dead: _Worker) -> None:
        """Start a worker in the place of one that died, with the chunks it had.

        Raises:
            WorkerDiedError: it was the second to die under that chunk, or before its first.
        """
        how = dead.ended()
        if not dead.tasks:
            raise WorkerDiedError(dead.settings.device, how)
        task = dead.tasks[0]
        self._deaths[task.number] = self._deaths.get(task.number, 0) + 1
        if self._deaths[task.number] > 1:
            raise WorkerDiedError(dead.settings.device, how)
        _log.warning("the worker on %s died (%s); it is started again", dead.settings.device, how)
        fresh = _Worker(dead.settings)
        fresh.told = -dead.told  # those are told of a second time
        self._workers[self._workers.index(dead)] = fresh
        self._first_word(fresh)
        for kept in dead.tasks:
            fresh.give(kept)

    def _first_word(self, worker: _Worker) -> Facts:
        try:
            said: Facts | Failed = worker.channel.recv()
        except (EOFError, ConnectionResetError):
            raise WorkerDiedError(worker.settings.device, worker.ended()) from None
        if isinstance(said, Failed):
            raise said.error()
        return said
