"""A bad network: an HTTP proxy in front of a server that loses, cuts, repeats and delays."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = (
    "drop the request",
    "drop the answer",
    "reset after the request",
    "cut the answer",
    "cut the headers",
    "do it twice",
    "delay",
)


class BadProxy:
    """Forwards to a server; a share of the requests meets a fault, all kinds equally often.

    The answer to the first request of each kind that makes, moves or removes an index is always
    lost. Finding out what the server is (``GET /`` and ``/_nodes``) is spared.

    Attributes:
        done: How often each fault was done.
        blocked: How many answers said that the index takes no writes.
    """

    def __init__(self, upstream: str, *, share: float = 0.0, seed: int = 0) -> None:
        """Use it as a context; with a share of 0 it only forwards and counts."""
        self.upstream = urlsplit(upstream).netloc
        self.done: Counter[str] = Counter()
        self.blocked = 0
        self._share = share
        self._dice = random.Random(seed)
        self._kinds = self._mixed()
        self._lock = threading.Lock()
        self._changes: set[str] = set()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> BadProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def draw(self, method: str, path: str) -> str:
        """The fault that a request meets; empty for none."""
        if not self._share:
            return ""
        with self._lock:
            change = path if path.endswith(("_aliases", "_mapping", "_settings")) else method
            if method in ("PUT", "DELETE") or path == "/_aliases":
                if change not in self._changes:
                    self._changes.add(change)
                    return "drop the answer"
            elif path.startswith("/_nodes") or path == "/":
                return ""
            if self._dice.random() > self._share:
                return ""
            fault = next(self._kinds)
            self.done[fault] += 1
            return fault

    def _mixed(self) -> Iterator[str]:
        while True:
            yield from self._dice.sample(FAULTS, len(FAULTS))


class _Handler(BaseHTTPRequestHandler):
    proxy: BadProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Forward, or do something bad."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.proxy.draw(self.command, self.path)
        if fault == "drop the request":
            return self._break_off()
        if fault == "delay":
            time.sleep(0.3)
        answer = self._forward(body)
        if fault == "do it twice":
            answer = self._forward(body)
        if fault == "drop the answer":
            return self._break_off()
        if fault == "reset after the request":
            return self._reset()
        return self._reply(*answer, fault)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - named by the library

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: str) -> None:
        if fault == "cut the headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
            return self._break_off()
        self.proxy.blocked += b"cluster_block_exception" in body
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = dict(headers).get("content-length", "0") if self.command == "HEAD" else len(body)
        self.send_header("content-length", str(length))
        self.end_headers()
        if fault == "cut the answer":
            self.wfile.write(body[: len(body) // 2])
            return self._break_off()
        self.wfile.write(body)
        return None

    def _break_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
