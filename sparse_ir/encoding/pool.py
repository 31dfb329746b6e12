"""Several encoders at work, each in a process on its own device; their results come in order.

Each worker has at most two chunks, one under way and one waiting. A chunk that is finished early
waits for those before it; so does the reader then, and memory stays that of a few chunks. A worker
that dies is started again once and its chunks with it; the chunk under which a second one dies ends
the run, which can be resumed. Whatever ends a run, the chunks before it are yielded first.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sparse_ir.encoding.worker import Advanced, Done, Facts, Failed, Task, WorkerSettings
from sparse_ir.errors import EncodingError, SparseIRError, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_EACH = 2  # chunks of a worker
_AHEAD = 2  # chunks a worker may be ahead of the slowest, more than its own
_IDLE_DEATHS = 3  # of workers that had nothing to do, before the run ends
_log = logging.getLogger(__name__)

# Not multiprocessing: its new processes run the user's script again.
_START = (
    "import pickle, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from sparse_ir.encoding.worker import main; main()"
)


class _Worker:
    """A process and the chunks it has.

    Attributes:
        facts: Of its encoder, once it is loaded.
        tasks: Given to it and not finished.
        told: Finished documents of the chunk under way that were told of.
        failed: Whether it has said what went wrong; it goes then, which is no death.
    """

    def __init__(self, settings: WorkerSettings, said: queue.SimpleQueue[Any]) -> None:
        self.settings = settings
        self.facts: Facts | None = None
        self.tasks: deque[Task] = deque()
        self.told = 0
        self.failed = False
        threads = {"OMP_NUM_THREADS": str(settings.threads)} if settings.threads else {}
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
        )
        self._send([*sys.path])
        self._send(settings)
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()

    def give(self, task: Task) -> None:
        self.tasks.append(task)
        self._send(task)

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # one that is dead is noticed when it is listened to
            pickle.dump(message, self.process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()

    def _listen(self, said: queue.SimpleQueue[Any]) -> None:
        """Pass on what it says, and None once it has gone, be it in the middle of a message."""
        assert self.process.stdout is not None
        with suppress(Exception), self.process.stdout as stream:
            while True:
                said.put((self, pickle.load(stream)))  # noqa: S301 - our own child's
        said.put((self, None))

    def ended(self) -> str:
        """Wait until it is gone, and say how it went."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # what was still to be sent to it
            self.process.stdin.close()


class EncoderPool:
    """Encodes chunks on several devices.

    Attributes:
        facts: Of the encoder; they are the same on all devices.
    """

    facts: Facts

    def __init__(self, settings: Sequence[WorkerSettings]) -> None:
        """Start a process for each of the settings; their encoders must be the same.

        Raises:
            SparseIRError: an encoder cannot be loaded: the worker's own error.
            EncodingError: the encoders are not the same.
        """
        self._said: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._deaths: dict[int | None, int] = {}
        try:
            for one in settings:
                self._workers.append(_Worker(one, self._said))
            while not all(worker.facts for worker in self._workers):
                worker, said = self._said.get()
                self._hear_first(worker, said)
        except BaseException:
            self.close()
            raise

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def encode(
        self, tasks: Iterable[Task], *, advance: Callable[[int], None] = lambda n: None
    ) -> Iterator[Done]:
        """Encode chunks, numbered from 0 without gaps, and yield them in that order.

        Args:
            tasks: Read as workers become free.
            advance: Called with the number of documents finished.

        Raises:
            SparseIRError: a worker's own error, or that of ``tasks``; what comes before the chunk
                in question has been yielded.
            WorkerDiedError: workers died.
        """
        self._replace_failed()
        source, finished = _Source(tasks), {}
        following = 0  # the number that is yielded next
        while True:
            while source.given - following < self._most and (free := self._free()):
                task = source.read()
                if task is None:
                    break
                free.give(task)
            if not self._busy(source.end):
                break
            try:
                done = self._listen(advance)
            except _Broken as broken:
                source.stop(broken.number, broken.error)
                continue
            if done is not None:
                finished[done.number] = done
            while following in finished:
                yield finished.pop(following)
                following += 1
        if source.error is not None:
            raise source.error

    def _replace_failed(self) -> None:
        """Start workers in the place of those that an earlier call broke, or left at work."""
        self._deaths = {}
        for place, worker in enumerate(self._workers):
            if worker.failed or worker.tasks:
                worker.end()
                self._workers[place] = _Worker(worker.settings, self._said)

    @property
    def _most(self) -> int:
        """Chunks that may be read and not yet yielded."""
        return (_EACH + _AHEAD) * len(self._workers)

    def _free(self) -> _Worker | None:
        """The worker with the fewest chunks, if it may have another."""
        worker = min(self._workers, key=lambda worker: len(worker.tasks))
        return worker if len(worker.tasks) < _EACH else None

    def _busy(self, end: int | None) -> bool:
        """Whether a chunk before the end is under way."""
        numbers = [task.number for worker in self._workers for task in worker.tasks]
        return any(end is None or number < end for number in numbers)

    def _listen(self, advance: Callable[[int], None]) -> Done | None:
        """Hear one message.

        Raises:
            _Broken: the chunk under way there will not come.
        """
        worker, said = self._said.get()
        if worker not in self._workers:  # the last words of one that was replaced
            return None
        if said is None and worker.failed:
            return None
        worker.failed = isinstance(said, Failed)
        number = worker.tasks[0].number if worker.tasks else 0
        try:
            if worker.facts is None:
                self._hear_first(worker, said)
            elif said is None:
                self._restart(worker)
            elif isinstance(said, Failed):
                raise said.error()
        except SparseIRError as error:
            worker.tasks.clear()
            raise _Broken(number, error) from error
        if isinstance(said, Advanced):
            before, worker.told = worker.told, worker.told + said.documents
            advance(max(0, worker.told) - max(0, before))
        if isinstance(said, Done):
            worker.tasks.popleft()
            worker.told = 0
            return said
        return None

    def _hear_first(self, worker: _Worker, said: Facts | Failed | None) -> None:
        device = worker.settings.device
        if said is None:
            raise WorkerDiedError(device, worker.ended(), loading=True)
        if isinstance(said, Failed):
            raise said.error()
        if not hasattr(self, "facts"):
            self.facts = said
        if said.fingerprint != self.facts.fingerprint:
            raise EncodingError(
                f"the model {said.name} is another one on {device} than before: its files have "
                "changed. What is finished is kept: put them back and go on with --resume."
            )
        worker.facts = said

    def _restart(self, dead: _Worker) -> None:
        """Start a worker in the place of one that died, with the chunks it had.

        Raises:
            WorkerDiedError: it was the second to die under that chunk.
        """
        how, device = dead.ended(), dead.settings.device
        under_way = dead.tasks[0].number if dead.tasks else None
        self._deaths[under_way] = self._deaths.get(under_way, 0) + 1
        if self._deaths[under_way] > (_IDLE_DEATHS if under_way is None else 1):
            raise WorkerDiedError(device, how)
        _log.warning("the worker on %s died (%s); it is started again", device, how)
        fresh = _Worker(dead.settings, self._said)
        fresh.told = -dead.told  # those are told of a second time
        self._workers[self._workers.index(dead)] = fresh
        for kept in dead.tasks:
            fresh.give(kept)


class _Source:
    """The chunks that are read.

    Attributes:
        given: How many were.
        end: The number of the first that will not come; None as long as there are more.
        error: Why it will not, unless the corpus is at its end.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self.given = 0
        self.end: int | None = None
        self.error: Exception | None = None

    def read(self) -> Task | None:
        if self.end is not None:
            return None
        try:
            task = next(self._tasks, None)
        except Exception as error:  # noqa: BLE001 - raised after what was read before it
            self.stop(self.given, error)
            return None
        if task is None:
            self.stop(self.given, None)
        else:
            self.given = task.number + 1
        return task

    def stop(self, number: int, error: Exception | None) -> None:
        if self.end is None or number <= self.end:
            self.end, self.error = number, error


class _Broken(Exception):  # noqa: N818 - carries one
    """A chunk cannot be had, for this error."""

    def __init__(self, number: int, error: SparseIRError) -> None:
        super().__init__(number)
        self.number, self.error = number, error
