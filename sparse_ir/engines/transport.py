"""How a request reaches a search server: what the adapters of the three clients have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sparse_ir.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Answer(NamedTuple):
    """What a server said.

    Attributes:
        status: The HTTP status, whatever it is: 404 and 503 are answers too.
        body: The parsed JSON; None where there is none (HEAD, or an empty body), a text where the
            body is no JSON.
    """

    status: int
    body: Any


class ConnectionLostError(EngineError):
    """No whole answer came: refused, reset, timed out, cut short. It may have been done."""


class Transport(Protocol):
    """Sends one request at a time a thread; safe to share between threads.

    An adapter tries once: whoever calls decides whether to try again. Where several nodes are
    given, each request goes to the next one, and a node that failed is passed over for a while.
    """

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: "GET", "HEAD", "POST", "PUT" or "DELETE".
            path: Begins with "/"; index names and ids in it are percent-encoded already.
            params: The query string, not encoded yet.
            body: Sent as it is.
            content_type: Of the body: ``JSON`` or ``NDJSON``.
            timeout: Seconds until the answer must be there; None for the adapter's default.

        Raises:
            ConnectionLostError: no whole answer came; worth another try.
            EngineError: it will never work: an untrusted certificate, wrong credentials (401).
        """
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...
