"""One thread that does the waiting jobs of a kind together.

A job that finds the thread idle is begun at once; those that come while it works wait and are taken
together when it is free. So nothing is delayed for company, and batches grow with the load.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.connection import ServerError
from sparse_ir.errors import EngineError, SparseIRError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_log = logging.getLogger(__name__)

_REFUSED = (400, 413)  # what a search server says to a request that is wrong by itself


class BusyError(SparseIRError):
    """More is waiting than may wait."""


class _Job(NamedTuple):
    work: Callable[[list[Any]], Sequence[Any]]
    argument: Any
    kind: Hashable
    future: Future[Any]


class Batcher:
    """A thread with a bounded queue; close it when it is no longer needed."""

    def __init__(
        self,
        name: str,
        *,
        most: int = 32,
        waiting: int = 64,
        observe: Callable[[int, float], None] = lambda jobs, seconds: None,
    ) -> None:
        """Start the thread.

        Args:
            name: Of the thread.
            most: Jobs done together, at most.
            waiting: Jobs that may wait.
            observe: Called after each batch with its jobs and seconds.
        """
        self._most = most
        self._limit = waiting
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def submit(
        self,
        work: Callable[[list[Any]], Sequence[Any]],
        argument: Any = None,
        *,
        kind: Hashable = None,
    ) -> Future[Any]:
        """Have ``work([argument, ...])`` done in the thread.

        Args:
            work: Takes arguments and gives a result for each, in order.
            argument: Of this job.
            kind: Jobs of one kind may be done by a single call; None does it alone.

        Returns:
            The job's result. Cancelled before it is begun, it is never done.

        Raises:
            BusyError: too many wait, or the thread was closed.
        """
        future: Future[Any] = Future()
        with self._changed:
            if len(self._jobs) >= self._limit:  # what nobody waits for takes no place
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
            if self._closed or len(self._jobs) >= self._limit:
                raise BusyError("too many requests are waiting. Try again in a second.")
            self._jobs.append(_Job(work, argument, kind, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more jobs, do those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            began = time.monotonic()
            _do(batch)
            try:
                self._observe(len(batch), time.monotonic() - began)
            except Exception:  # noqa: BLE001 - a figure is not worth the thread
                _log.exception("a batch was not counted")

    def _take(self) -> list[_Job]:
        """The oldest job and those of its kind; none once everything is done and closed."""
        with self._changed:
            while True:
                batch = self._pick()
                if batch or (self._closed and not self._jobs):
                    return batch
                self._changed.wait()

    def _pick(self) -> list[_Job]:
        batch: list[_Job] = []
        left: deque[_Job] = deque()
        for job in self._jobs:
            fits = not batch or (job.kind is not None and job.kind == batch[0].kind)
            if not fits or len(batch) == self._most:
                left.append(job)
            elif job.future.set_running_or_notify_cancel():
                batch.append(job)
        self._jobs = left
        return batch


def _do(batch: list[_Job]) -> None:
    """Do jobs together; where that fails each alone, so that none fails for another's sake.

    An engine that fails as a whole is not asked for each of them again.
    """
    try:
        results = batch[0].work([job.argument for job in batch])
        done = list(zip(batch, results, strict=True))
    except BaseException as error:  # noqa: BLE001 - a Rust panic is no Exception, and ends no thread
        if len(batch) > 1 and _may_be_of_one(error):
            for job in batch:
                _do([job])
            return
        for job in batch:
            job.future.set_exception(_sendable(error))
        return
    for job, result in done:
        job.future.set_result(result)


def _may_be_of_one(error: BaseException) -> bool:
    """Whether a batch may have failed because of one of its jobs."""
    if isinstance(error, ServerError):
        return error.status in _REFUSED
    return not isinstance(error, EngineError)


def _sendable(error: BaseException) -> Exception:
    """The error as one that an event loop hands on to whoever waits."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failed = RuntimeError(f"{type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed
