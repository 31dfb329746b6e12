"""Connections that are cut off when the other side is too slow.

uvicorn waits for ever for a request's head, and for a client to read its answer; a few hundred such
clients would take all connections. Here each has a time for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from sparse_ir.serving.metrics import Metrics
    from sparse_ir.serving.settings import ServeSettings

WHEN_LEFT = "sparse_ir.when_left"
"""Where a request's scope holds what is called when its client ends the connection."""

_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 43\r\n\r\n{"error": "the request came in too slowly"}'
)


def guarded_protocol(settings: ServeSettings, metrics: Metrics) -> type[H11Protocol]:
    """The protocol for uvicorn, with the limits of a server."""

    class Guarded(_GuardedProtocol):
        limits = settings
        figures = metrics

    return Guarded


class _GuardedProtocol(H11Protocol):
    limits: ServeSettings
    figures: Metrics
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._cut("too many")
            return
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        if self._reading is None and self.conn.their_state is h11.IDLE:
            self._expect_request()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._reading = _cancel(self._reading)

    def on_response_complete(self) -> None:
        self._reading = _cancel(self._reading)  # a body that nobody waits for
        super().on_response_complete()
        if self.transport.is_closing():
            self._leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._leave()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._writing = _cancel(self._writing)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._leave()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._leave()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading = _cancel(self._reading)
        super().connection_lost(exc)
        self._writing = _cancel(self._writing)
        scope: Mapping[str, Any] = self.scope or {}
        if WHEN_LEFT in scope:
            scope[WHEN_LEFT]()

    def _expect_request(self) -> None:
        self._reading = self.loop.call_later(self.limits.read_timeout, self._too_slow)

    def _leave(self) -> None:
        """Cut the connection soon if the client does not take what is written."""
        if self._writing is None:
            self._writing = self.loop.call_later(
                self.limits.write_timeout, self._cut, "slow to read"
            )

    def _too_slow(self) -> None:
        if self.conn.our_state is h11.IDLE and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
        self._cut("slow to send", at_once=False)
        self._leave()

    def _cut(self, reason: str, *, at_once: bool = True) -> None:
        self.figures.cut(reason)
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer; what is left of it is none."""
    if timer is not None:
        timer.cancel()
    return None
