"""Many documents into a search server: none lost, none twice, as fast as it can take them.

Batches are closed by documents or bytes and several are in flight. A server that says it is busy
gets fewer at a time, and again what it refused, nothing else. What it refuses for good is reported
in its own words. Writing is by id, so that sending a batch twice leaves what sending it once does.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.base import Failure
from sparse_ir.engines.connection import BUSY, error_of, waits, words_of
from sparse_ir.engines.transport import NDJSON, ConnectionLostError
from sparse_ir.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.connection import Connection
    from sparse_ir.engines.transport import Answer


class BulkSettings(NamedTuple):
    """How a bulk is written.

    Attributes:
        documents: A batch is closed at so many documents,
        bytes: or at so many bytes, whichever comes first.
        in_flight: Requests at a time, at most.
        patience: Seconds without any progress before the run gives up.
    """

    documents: int = 512
    bytes: int = 4 << 20
    in_flight: int = 4
    patience: float = 600.0


class Action(NamedTuple):
    """One line pair of a bulk body.

    Attributes:
        doc_id: The document it is about.
        body: The action and, for a write, the source, each with its line end.
    """

    doc_id: str
    body: bytes


class Done(NamedTuple):
    """What became of one batch.

    Attributes:
        results: "created", "updated", "deleted" or "not_found" of each item that went through.
        failures: The documents refused for good.
    """

    results: list[str]
    failures: list[Failure]


_PARAMS = {"filter_path": "errors,items.*.status,items.*.result,items.*.error"}


def write(
    connection: Connection,
    path: str,
    actions: Iterable[Action],
    settings: BulkSettings,
    gate: Gate | None = None,
) -> Iterator[Done]:
    """Send actions and yield what became of each batch, in the order in which they finish.

    Memory holds the batches in flight and one more, however many actions there are.

    Args:
        connection: To the cluster.
        path: Of the index's bulk endpoint.
        actions: What to write.
        settings: Sizes and patience.
        gate: Shared by writes that go on at the same time, so that together they spare the server.

    Raises:
        EngineError: the server refused a whole request, or took nothing for the length of the
            patience. What was yielded before is in.
    """
    gate = gate or Gate(settings.in_flight)
    pace = _Pace(gate, connection.interrupted, settings.patience)
    running: dict[Future[Done], set[str]] = {}
    with ThreadPoolExecutor(settings.in_flight, thread_name_prefix="bulk") as pool:
        try:
            for batch in batches(actions, settings):
                ids = {action.doc_id for action in batch}
                # of two writes of one document the later must be the last to arrive
                while len(running) >= settings.in_flight or any(
                    not ids.isdisjoint(others) for others in running.values()
                ):
                    yield from _finished(running)
                running[pool.submit(_send_all, connection, path, batch, pace)] = ids
            while running:
                yield from _finished(running)
        finally:
            pace.stopped.set()


def batches(actions: Iterable[Action], settings: BulkSettings) -> Iterator[list[Action]]:
    """Group actions; of several about one document in a batch the last stays."""
    batch: dict[str, Action] = {}
    size = 0
    for action in actions:
        if batch and size + len(action.body) > settings.bytes:
            yield list(batch.values())
            batch, size = {}, 0
        batch.pop(action.doc_id, None)
        batch[action.doc_id] = action
        size += len(action.body)
        if len(batch) >= settings.documents:
            yield list(batch.values())
            batch, size = {}, 0
    if batch:
        yield list(batch.values())


class Gate:
    """How many requests may be under way: halved by a refusal, slowly raised again."""

    def __init__(self, most: int) -> None:
        """Begin with as many as there may be."""
        self.most = most
        self.allowed = float(most)
        self.progress = time.monotonic()
        self._under_way = 0
        self._changed = threading.Condition()

    def enter(self) -> None:
        """Wait for a place; a place that does not come free within a minute is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < int(self.allowed), timeout=60.0)
            self._under_way += 1

    def leave(self, *, busy: bool) -> None:
        """Give the place back and say how it went."""
        with self._changed:
            self._under_way -= 1
            if busy:
                self.allowed = max(1.0, self.allowed / 2)
            else:
                self.allowed = min(float(self.most), self.allowed + 0.25)
                self.progress = time.monotonic()
            self._changed.notify_all()


class _Pace:
    """When one write goes on, waits, or gives up."""

    def __init__(self, gate: Gate, interrupted: threading.Event, patience: float) -> None:
        self.gate = gate
        self.patience = patience
        self.stopped = threading.Event()
        self._interrupted = interrupted
        self._begun = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait; False once there was no progress for the length of the patience."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopped.is_set() or self._interrupted.wait(min(left, 0.5)):
                return False
        return time.monotonic() - max(self.gate.progress, self._begun) < self.patience


def _finished(running: dict[Future[Done], set[str]]) -> Iterator[Done]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        del running[future]
        yield future.result()


def _send_all(connection: Connection, path: str, batch: Sequence[Action], pace: _Pace) -> Done:
    """Send a batch until every item is in or refused for good."""
    done = Done([], [])
    queue = [list(batch)]
    pauses = waits()
    while queue:
        part = queue.pop()
        answer, trouble = _send_once(connection, path, part, pace.gate)
        if answer is not None and answer.status == 413:
            if len(part) == 1:
                done.failures.append(
                    Failure(part[0].doc_id, "the server takes no request so large")
                )
            else:
                queue += [part[len(part) // 2 :], part[: len(part) // 2]]
            continue
        refused, said = (part, trouble) if answer is None else _sort(part, answer, done)
        if not refused:
            pauses = waits()
            continue
        queue.append(list(refused))
        if not pace.wait(next(pauses)):
            raise EngineError(
                f"{connection.address}: took nothing for {pace.patience:.0f} s ({said}). What was "
                "acknowledged is in: when the server is well again, go on with --resume."
            )
    return done


def _send_once(
    connection: Connection, path: str, part: Sequence[Action], gate: Gate
) -> tuple[Answer | None, str]:
    """Send once; no answer means: try again, for the reason given."""
    gate.enter()
    busy = True
    try:
        answer = connection.transport.send(
            "POST",
            path,
            params=_PARAMS,
            body=b"".join([action.body for action in part]),
            content_type=NDJSON,
        )
        if answer.status in BUSY or _is_block(answer.body):
            return None, words_of(answer.body)[1]
        if answer.status >= 400 and answer.status != 413:
            raise error_of(answer, f"{connection.address}: POST {path}")
        items = answer.body.get("items", ()) if isinstance(answer.body, dict) else ()
        if answer.status < 400 and len(items) != len(part):
            return None, f"{len(items)} of {len(part)} items were answered"
        busy = any(_is_busy(next(iter(item.values()))) for item in items)
        return answer, ""
    except ConnectionLostError as error:
        return None, str(error)
    finally:
        gate.leave(busy=busy)


def _sort(part: Sequence[Action], answer: Answer, done: Done) -> tuple[list[Action], str]:
    """Put each item where it belongs; returns what must be sent again, and why."""
    again: list[Action] = []
    said = ""
    for action, item in zip(part, answer.body["items"], strict=True):
        result = next(iter(item.values()))
        if "error" not in result:
            done.results.append(result.get("result", ""))
        elif _is_busy(result):
            again.append(action)
            said = words_of(result)[1]
        else:
            kind, reason = words_of(result)
            done.failures.append(Failure(action.doc_id, f"{kind}: {reason}" if kind else reason))
    return again, said


def _is_busy(result: dict[str, Any]) -> bool:
    return "error" in result and (result.get("status") in BUSY or _is_block(result))


def _is_block(body: Any) -> bool:
    """A full disk and the like: a person must act, and then the write goes through."""
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("type") == "cluster_block_exception"
