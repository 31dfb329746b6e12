"""One transport over several nodes, whatever client library speaks to each of them."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import orjson
import urllib3

from sparse_ir.engines.lost import explain, refused
from sparse_ir.engines.transport import JSON, Answer, ConnectionLostError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from sparse_ir.engines.credentials import Credentials

# more than a writer has in flight: a connection beyond these is closed after one request
CONNECTIONS_PER_NODE = 64
DEFAULT_TIMEOUT = 60.0
CONNECT_TIMEOUT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_UNWELL = (502, 503, 504)
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_LONG_NUMBER_IN_TEXT = re.compile(_LONG_NUMBER.pattern.decode())
_WORTH_COMPRESSING = 1024


def tls_context(urls: Sequence[str], credentials: Credentials) -> ssl.SSLContext | None:
    """The TLS settings of the nodes' connections; None where no node speaks it.

    Raises:
        ConfigError: a certificate cannot be used.
    """
    if not any(url.startswith("https:") for url in urls):
        return None
    if not credentials.verify_tls:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return credentials.ssl_context()


class NodeFailedError(Exception):
    """No answer; the cause is what the client library met."""

    def __init__(self, cause: BaseException) -> None:
        """Keep the library's own exception."""
        super().__init__(str(cause))
        self.cause = cause


class Node(Protocol):
    """One node through one client library.

    Attributes:
        url: As in ``ClusterAddress.urls``.
        compress: Whether bodies travel as gzip, both ways.
    """

    url: str
    compress: bool

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> tuple[int, Mapping[str, str], bytes | str]:
        """Send once; return the status, the headers (names in lower case) and the body.

        Raises:
            NodeFailedError: no whole answer came.
        """
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


class Rotation:
    """Whose turn it is. A node that failed is passed over for 1, 2, 4 … 30 seconds."""

    def __init__(self, nodes: Sequence[Node], clock: Callable[[], float] = time.monotonic) -> None:
        """Start with the first; ``clock`` counts seconds."""
        self.nodes = tuple(nodes)
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = 0
        self._until = [0.0] * len(self.nodes)
        self._failures = [0] * len(self.nodes)

    def next(self) -> Node:
        """The next node that is well; where none is, the one whose pause ends first."""
        with self._lock:
            now = self._clock()
            for _ in self.nodes:
                i = self._turn
                self._turn = (i + 1) % len(self.nodes)
                if self._until[i] <= now:
                    return self.nodes[i]
            return self.nodes[min(range(len(self.nodes)), key=self._until.__getitem__)]

    def failed(self, node: Node) -> None:
        """Pass it over for a while, longer with each failure."""
        i = self.nodes.index(node)
        with self._lock:
            now = self._clock()
            if self._until[i] > now and self._failures[i]:
                return  # one of several requests that the same failure met
            pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures[i], 10), _LONGEST_PAUSE)
            self._failures[i] += 1
            self._until[i] = now + pause

    def answered(self, node: Node) -> None:
        """It is well."""
        i = self.nodes.index(node)
        if self._failures[i]:
            with self._lock:
                self._failures[i], self._until[i] = 0, 0.0


class NodesTransport:
    """The ``Transport`` of every client library: rotation, JSON and errors are the same for all."""

    def __init__(
        self,
        nodes: Sequence[Node],
        credentials: Credentials,
        *,
        media_types: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Nothing is sent yet.

        Args:
            nodes: At least one.
            credentials: For the words of an error only; the nodes send them.
            media_types: What a content type is called on this server.
            timeout: Seconds of silence after which an answer is given up.
        """
        self._rotation = Rotation(nodes)
        self._credentials = credentials
        self._timeout = timeout
        self.media_types = dict(media_types or {})

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
        """See ``Transport.send``; the timeout counts silence, so a slow long answer is no loss."""
        target = f"{path}?{urlencode(params, quote_via=quote, safe='')}" if params else path
        headers = {"accept": self.media_types.get(JSON, JSON)}
        if body is not None:
            headers["content-type"] = self.media_types.get(content_type, content_type)
        node = self._rotation.next()
        if node.compress:
            headers["accept-encoding"] = "gzip"
            if body is not None and len(body) >= _WORTH_COMPRESSING:
                body = gzip.compress(body, 1)  # the clients' level 9 is slower than the network
                headers["content-encoding"] = "gzip"
        try:
            status, received, raw = node.exchange(
                method, target, body, headers, self._timeout if timeout is None else timeout
            )
        except NodeFailedError as failure:
            self._rotation.failed(node)
            raise explain(failure.cause, node.url, self._credentials) from None
        if status == 401:
            raise refused(node.url, self._credentials)
        if status in _UNWELL:
            self._rotation.failed(node)
        else:
            self._rotation.answered(node)
        try:
            return Answer(status, None if method == "HEAD" else _body(status, received, raw))
        except ValueError:
            self._rotation.failed(node)
            raise ConnectionLostError(
                f"{node.url}: the answer to {method} {path} is no whole JSON document. Try again; "
                "if it stays so, look at what lies between here and the server."
            ) from None

    def close(self) -> None:
        """Let go of the connections."""
        for node in self._rotation.nodes:
            node.close()


def _body(status: int, headers: Mapping[str, str], raw: bytes | str) -> Any:
    """The value of a body; ValueError where it is not whole."""
    if raw and "json" in (headers.get("content-type") or ""):
        # orjson makes a float of an integer beyond 64 bits, and refuses a lone surrogate
        long = _LONG_NUMBER if isinstance(raw, bytes) else _LONG_NUMBER_IN_TEXT
        if long.search(raw):  # type: ignore[arg-type]
            return json.loads(raw)
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            return json.loads(raw)
    # Python's http.client takes the end of the connection within the head for the end of the head
    sized = headers.get("content-length") or headers.get("transfer-encoding")
    if not sized and 200 <= status < 300 and status != 204:
        raise ValueError("nothing says where it ends")
    if not raw:
        return None
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
