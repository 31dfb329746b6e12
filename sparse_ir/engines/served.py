"""Asking the process that holds an index, where this one cannot open it.

A server that holds an embedded index writes a file beside it: where it listens, a token, and which
process it is. Other processes of the same user ask it over HTTP instead of failing on the lock.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import urlsplit

from sparse_ir.engines.base import SearchRequest, TwoStep
from sparse_ir.engines.filters import AnyOf, Range
from sparse_ir.errors import ConfigError, EngineError, IndexLockedError
from sparse_ir.types import Document, Entry, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparse_ir.engines.filters import Condition

FILE = "served.json"
PATH = "/internal/engine"
_TOGETHER = 16  # requests, or ids times sixteen, of one call
_SECONDS = 120.0  # for an answer
_CONNECT_SECONDS = 5.0
_CLOCK_SECONDS = 2.0  # by which a clock that is set changes when a process is said to have begun
_BUSY_WAITS = (0.1, 0.3, 1.0, 3.0, 10.0)  # seconds before each further try of a busy server
_CONDITIONS = {"any": AnyOf, "range": Range}


class Held(NamedTuple):
    """Who holds an index.

    Attributes:
        url: Where it answers.
        token: What it wants to be sent.
        label: What it calls the index.
        pid: Its process.
        started: When that began, in seconds since 1970, so that another of its number is not
            taken for it.
    """

    url: str
    token: str
    label: str
    pid: int
    started: float


@runtime_checkable
class Announcing(Protocol):
    """An engine whose indexes one process holds alone."""

    def announce(self, index: str, *, url: str, token: str, label: str) -> None:
        """Tell other processes of this machine that this one answers for an index."""
        ...


def announce(folder: Path, *, url: str, token: str, label: str) -> Held:
    """Say that this process holds the index in a folder and answers for it.

    The file is its owner's alone to read. It takes the place of one that was left behind.
    """
    held = Held(url, token, label, os.getpid(), _started(os.getpid()))
    aside = folder / f".{FILE}.{secrets.token_hex(4)}.tmp"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(held._asdict(), file)
    aside.replace(folder / FILE)
    return held


def withdraw(folder: Path, held: Held) -> None:
    """Take the file away, unless another process has written its own since."""
    with contextlib.suppress(OSError):
        if _read(folder / FILE) == held:
            (folder / FILE).unlink()


def holder(folder: Path) -> Held | None:
    """Who answers for the index in a folder; none where nobody does, or this very process."""
    if not (folder / FILE).exists():
        return None
    held = _read(folder / FILE)
    if held is None or held.pid == os.getpid():
        return None
    return held if abs(_started(held.pid) - held.started) <= _CLOCK_SECONDS else None


def _read(path: Path) -> Held | None:
    """What a file says; none where it is damaged or not this user's alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
            shared = os.name == "posix" and status.st_mode & 0o077
            if foreign or shared or not stat.S_ISREG(status.st_mode):
                return None
            values = json.loads(file.read(10_000))
        return Held(
            str(values["url"]),
            str(values["token"]),
            str(values["label"]),
            int(values["pid"]),
            float(values["started"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _started(pid: int) -> float:
    """When a process began; -1 where there is none."""
    import psutil  # only whoever shares an index needs it

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return -1.0


class HeldIndex:
    """An index that another process of this machine holds, asked over HTTP."""

    def __init__(self, name: str, held: Held) -> None:
        """Nothing is sent until something is asked."""
        self._name = name
        self._held = held

    def search(self, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer requests; see ``Engine``."""
        answers: list[list[ScoredDoc]] = []
        for start in range(0, len(requests), _TOGETHER):
            asked = [request_to_json(r) for r in requests[start : start + _TOGETHER]]
            found = self._ask("search", {"requests": asked})
            answers += [[hit_from_json(hit) for hit in hits] for hits in found]
        return answers

    def get(self, doc_ids: Sequence[str]) -> list[Entry | None]:
        """Read documents with their vectors; see ``Engine``."""
        entries: list[Entry | None] = []
        step = 16 * _TOGETHER
        for start in range(0, len(doc_ids), step):
            found = self._ask("get", {"doc_ids": list(doc_ids[start : start + step])})
            entries += [None if e is None else entry_from_json(e) for e in found]
        return entries

    def stats(self) -> tuple[int, int]:
        """Documents and bytes."""
        documents, size = self._ask("stats", {})
        return int(documents), int(size)

    def _ask(self, what: str, body: Mapping[str, Any]) -> Any:
        for wait in _BUSY_WAITS:
            status, text = self._send(what, body)
            if status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                return self._result(status, text)
            time.sleep(wait)
        return self._result(*self._send(what, body))

    def _send(self, what: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        held = self._held
        parts = urlsplit(held.url)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS
        )
        sent = json.dumps({"index": held.label, **body}).encode()
        headers = {"Authorization": f"Bearer {held.token}", "Content-Type": "application/json"}
        try:
            connection.connect()
            connection.sock.settimeout(_SECONDS)
            connection.request("POST", f"{PATH}/{what}", sent, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise IndexLockedError(
                f"index {self._name!r} is served by process {held.pid} at {held.url}, which does "
                f"not answer ({error}). Stop it, or try again."
            ) from None
        finally:
            connection.close()
        return answer.status, text

    def _result(self, status: int, text: bytes) -> Any:
        try:
            read = json.loads(text)
            if status == http.HTTPStatus.OK:
                return read["result"]
            words = str(read["error"])
        except (ValueError, KeyError, TypeError):
            words = f"status {status}"
        if status == http.HTTPStatus.BAD_REQUEST:
            raise ConfigError(words)
        raise EngineError(
            f"index {self._name!r} is served by process {self._held.pid} at {self._held.url}, "
            f"which says: {words}"
        )


def request_to_json(request: SearchRequest) -> dict[str, Any]:
    """A request as a JSON object."""
    return {**request._asdict(), "filter": [_condition_to_json(c) for c in request.filter]}


def request_from_json(values: Mapping[str, Any]) -> SearchRequest:
    """The request that a JSON object tells of.

    Raises:
        ValueError: it tells of none.
    """
    try:
        read: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        read["filter"] = tuple(_condition_from_json(c) for c in values["filter"])
        step = values.get("two_step")
        read["two_step"] = None if step is None else TwoStep(*step)
        return SearchRequest(**read)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"no search request: {error}") from None


def _condition_to_json(condition: Condition) -> list[Any]:
    return ["any" if isinstance(condition, AnyOf) else "range", *condition]


def _condition_from_json(parts: Sequence[Any]) -> Condition:
    kind, *rest = parts
    values: list[Any] = [tuple(v) if isinstance(v, list) else v for v in rest]
    condition: Condition = _CONDITIONS[kind](*values)
    return condition


def hit_to_json(hit: ScoredDoc) -> list[Any]:
    """A hit as a JSON array."""
    return [hit.doc_id, hit.score, _document_to_json(hit.document), hit.vector]


def hit_from_json(values: Sequence[Any]) -> ScoredDoc:
    """The hit that a JSON array tells of."""
    doc_id, score, document, vector = values
    return ScoredDoc(doc_id, score, _document_from_json(document), vector)


def entry_to_json(entry: Entry) -> list[Any]:
    """A stored document as a JSON array."""
    return [_document_to_json(entry.document), entry.vector, entry.dense]


def entry_from_json(values: Sequence[Any]) -> Entry:
    """The stored document that a JSON array tells of."""
    document, vector, dense = values
    read = _document_from_json(document)
    if read is None:
        raise ValueError("an entry without a document")
    return Entry(read, vector, None if dense is None else tuple(dense))


def _document_to_json(document: Document | None) -> list[Any] | None:
    if document is None:
        return None
    return [document.doc_id, document.text, document.title, dict(document.metadata)]


def _document_from_json(values: Sequence[Any] | None) -> Document | None:
    return None if values is None else Document(*values)
