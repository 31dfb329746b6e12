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
    from collections.abc import Callable, Iterable, Iterator, Sequence

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


_ANSWER = "errors,items.*.status,items.*.result,items.*.error"
_LONGEST_SERVER_WAIT = 20.0  # seconds; well below the time after which an answer is given up


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
    pace = _Pace(gate, connection, settings.patience)
    send = _Sender(connection, path, gate, settings.patience).send
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
                running[pool.submit(_send_all, send, batch, pace)] = ids
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

    def leave(self, *, busy: bool, progress: bool) -> None:
        """Give the place back and say whether all was taken at once, and whether anything was."""
        with self._changed:
            self._under_way -= 1
            if busy:
                self.allowed = max(1.0, self.allowed / 2)
            else:
                self.allowed = min(float(self.most), self.allowed + 0.25)
            if progress:
                self.progress = time.monotonic()
            self._changed.notify_all()


class _Pace:
    """When one write goes on, waits, or gives up."""

    def __init__(self, gate: Gate, connection: Connection, patience: float) -> None:
        self.stopped = threading.Event()
        self._gate = gate
        self._patience = patience
        self._address = connection.address
        self._interrupted = connection.interrupted
        self._begun = time.monotonic()

    def require_going_on(self) -> None:
        """Raise once another part of the write has failed, or a person wants to stop."""
        if self.stopped.is_set() or self._interrupted.is_set():
            raise EngineError(f"{self._address}: interrupted while writing.")

    def wait(self, seconds: float, said: str) -> None:
        """Wait; raise once there was no progress for the length of the patience."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.require_going_on()
            self._interrupted.wait(min(left, 0.5))
        if time.monotonic() - max(self._gate.progress, self._begun) >= self._patience:
            raise EngineError(
                f"{self._address}: took nothing for {self._patience:.0f} s ({said.rstrip('.')}). "
                "What was acknowledged is in: when the server is well again, go on with --resume."
            )


def _finished(running: dict[Future[Done], set[str]]) -> Iterator[Done]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        del running[future]
        yield future.result()


def _send_all(
    send: Callable[[Sequence[Action]], _Sent], batch: Sequence[Action], pace: _Pace
) -> Done:
    """Send a batch until every item is in or refused for good."""
    done = Done([], [])
    queue = [list(batch)]
    pauses = waits()
    while queue:
        pace.require_going_on()
        part = queue.pop()
        sent = send(part)
        if sent.too_large and len(part) > 1:
            queue += [part[len(part) // 2 :], part[: len(part) // 2]]
            continue
        if sent.too_large:
            done.failures.append(Failure(part[0].doc_id, "the server takes no request so large"))
            continue
        refused: Sequence[Action]
        if sent.items is None:
            refused, said = part, sent.trouble
        elif sent.whole:
            done.results.extend(next(iter(i.values())).get("result", "") for i in sent.items)
            continue
        else:
            refused, said = _sort(part, sent.items, done)
        if not refused:
            pauses = waits()
            continue
        queue.append(list(refused))
        pace.wait(next(pauses), said)
    return done


class _Sent(NamedTuple):
    """What came of one request: its items; or none, for the reason given, and it is worth a try.

    Where the whole of it went through, nobody needs to look at each item.
    """

    items: Sequence[dict[str, Any]] | None
    trouble: str = ""
    too_large: bool = False
    whole: bool = False


class _Sender:
    """Sends one request at a time."""

    def __init__(self, connection: Connection, path: str, gate: Gate, patience: float) -> None:
        self._connection = connection
        self._path = path
        self._gate = gate
        # a server waits so long for a shard that is gone, before it refuses the shard's documents
        seconds = max(1, int(min(patience, _LONGEST_SERVER_WAIT)))
        self._params = {"filter_path": _ANSWER, "timeout": f"{seconds}s"}

    def send(self, part: Sequence[Action]) -> _Sent:
        """Send once."""
        self._gate.enter()
        busy, progress = True, False
        try:
            answer = self._connection.transport.send(
                "POST",
                self._path,
                params=self._params,
                body=b"".join([action.body for action in part]),
                content_type=NDJSON,
            )
            sent = self._read(answer, len(part))
            if sent.whole:
                busy, progress = False, True
            elif sent.items is not None:
                refused = sum(_is_busy(next(iter(item.values()))) for item in sent.items)
                busy, progress = refused > 0, refused < len(part)
            elif sent.too_large:
                busy, progress = False, True
            return sent
        except ConnectionLostError as error:
            return _Sent(None, str(error))
        finally:
            self._gate.leave(busy=busy, progress=progress)

    def _read(self, answer: Answer, count: int) -> _Sent:
        if answer.status == 413:
            return _Sent(None, too_large=True)
        if answer.status in BUSY or _is_block(answer.body):
            return _Sent(None, words_of(answer.body)[1])
        if answer.status >= 400:
            raise error_of(answer, f"{self._connection.address}: POST {self._path}")
        items = answer.body.get("items", ()) if isinstance(answer.body, dict) else ()
        if len(items) != count:
            return _Sent(None, f"{len(items)} of {count} items were answered")
        return _Sent(items, whole=answer.body.get("errors") is False)


def _sort(
    part: Sequence[Action], items: Sequence[dict[str, Any]], done: Done
) -> tuple[list[Action], str]:
    """Put each item where it belongs; returns what must be sent again, and why."""
    again: list[Action] = []
    said = ""
    for action, item in zip(part, items, strict=True):
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
