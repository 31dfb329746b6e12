"""A conversation with a search server: JSON in and out, patience, errors in one line."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson

from sparse_ir.engines.transport import JSON, NDJSON, Answer, ConnectionLostError
from sparse_ir.errors import EngineError, IndexNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparse_ir.engines.transport import Transport

BUSY = frozenset((429, 502, 503, 504))
"""The statuses that say: not now. The request was not done, or can be done again."""

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0
_LONGEST_REASON = 400


class ServerError(EngineError):
    """A server said no.

    Attributes:
        status: The HTTP status.
        kind: The server's name for the error, such as "mapper_parsing_exception".
        reason: The innermost reason in the server's words.
    """

    def __init__(self, message: str, *, status: int, kind: str, reason: str) -> None:
        """Keep the server's words beside the message."""
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.reason = reason


class Connection:
    """Requests to one cluster, tried again while it is busy or out of reach.

    Args:
        transport: Carries them.
        address: Names the cluster in messages.
        patience: Seconds to go on trying a request.
    """

    def __init__(self, transport: Transport, address: str, *, patience: float = 30.0) -> None:
        self.transport = transport
        self.address = address
        self.patience = patience
        self.interrupted = threading.Event()
        """Set to end all waiting for a busy server."""

    def with_patience(self, seconds: float) -> Connection:
        """The same conversation, gone on with for so long; one interruption ends both."""
        other = Connection(self.transport, self.address, patience=seconds)
        other.interrupted = self.interrupted
        return other

    def call(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        patience: float | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send JSON and return the parsed answer.

        Args:
            method: The HTTP method.
            path: Begins with "/", its parts percent-encoded.
            value: Sent as JSON; a list is sent as one line an element.
            params: The query string.
            patience: Seconds to go on trying; None for the connection's own.
            timeout: Seconds that one answer may take; None for the transport's own.

        Raises:
            IndexNotFoundError: the path's index is not there.
            ServerError: the server refused.
            ConnectionLostError: it could not be reached, or stayed busy, for that long.
        """
        body, content_type = None, JSON
        if isinstance(value, list):
            body, content_type = b"".join(orjson.dumps(v) + b"\n" for v in value), NDJSON
        elif value is not None:
            body = orjson.dumps(value)
        answer = self._send(method, path, params, body, content_type, patience, timeout)
        if answer.status < 400:
            return answer.body
        raise error_of(answer, f"{self.address}: {method} {path}")

    def exists(self, path: str) -> bool:
        """Whether there is something at that path."""
        answer = self._send("HEAD", path, None, None, JSON, None)
        if answer.status in (200, 404):
            return answer.status == 200
        raise error_of(answer, f"{self.address}: HEAD {path}")

    def close(self) -> None:
        """End waiting and let go of the connections."""
        self.interrupted.set()
        self.transport.close()

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        patience: float | None,
        timeout: float | None = None,
    ) -> Answer:
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        for wait in waits():
            try:
                answer = self.transport.send(
                    method,
                    path,
                    params=params,
                    body=body,
                    content_type=content_type,
                    timeout=timeout,
                )
            except ConnectionLostError:
                if time.monotonic() + wait > deadline:
                    raise
            else:
                if answer.status not in BUSY or time.monotonic() + wait > deadline:
                    return answer
            if self.interrupted.wait(wait):
                raise EngineError(f"{self.address}: interrupted while waiting for {method} {path}.")
        raise AssertionError  # pragma: no cover - waits never end


def waits() -> Iterator[float]:
    """How long to wait before each further try, in seconds: doubling, with full jitter."""
    longest = _FIRST_WAIT
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - jitter
        longest = min(2 * longest, _LONGEST_WAIT)


def error_of(answer: Answer, where: str) -> EngineError:
    """Put an answer that says no into one line."""
    kind, reason = words_of(answer.body)
    if kind == "index_not_found_exception" or (answer.status == 404 and "alias" in reason):
        return IndexNotFoundError(f"{where}: there is no such index ({reason}).")
    if answer.status == 403 and kind != "cluster_block_exception":
        reason += ". These credentials may not do that"
    return ServerError(
        f"{where} was answered {answer.status}: {kind + ': ' if kind else ''}{reason}.",
        status=answer.status,
        kind=kind,
        reason=reason,
    )


def words_of(body: Any) -> tuple[str, str]:
    """The kind and the innermost reason of an error, in the server's words."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", " ".join(str(error or "no reason given").split())[:_LONGEST_REASON]
    causes = error.get("root_cause") or error.get("failed_shards") or []
    kind = str(error.get("type", ""))
    inner: Any = error
    if causes and isinstance(causes[0], dict):
        inner = causes[0].get("reason", causes[0])
        inner = inner if isinstance(inner, dict) else causes[0]
        kind = str(inner.get("type", kind))
    reasons = [inner.get("reason")]
    while isinstance(inner.get("caused_by"), dict):
        inner = inner["caused_by"]
        reasons.append(inner.get("reason"))
    if isinstance(error.get("caused_by"), dict):
        reasons.append(error["caused_by"].get("reason"))
    said = list(dict.fromkeys(" ".join(str(r).split()) for r in reasons if r))
    return kind, ": ".join(said)[:_LONGEST_REASON] or "no reason given"
