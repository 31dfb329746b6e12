"""A server that finishes what it began before it ends."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from sparse_ir.serving.connections import guarded_protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.serving.service import Service

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_KEEP_ALIVE_SECONDS = 15


def configuration(app: Any, service: Service) -> uvicorn.Config:
    """What uvicorn is told."""
    settings = service.settings
    return uvicorn.Config(
        app,
        http=guarded_protocol(settings, service.metrics),
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.write_timeout) + 1,
        h11_max_incomplete_event_size=settings.max_head_bytes,
    )


class DrainingServer(uvicorn.Server):
    """Told to stop, it takes no new work, answers what is in flight, and ends.

    While it does, it listens, so that ``/health`` says so. Told twice, it ends at once.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, started: Callable[[], None]
    ) -> None:
        """Keep whose requests are waited for, and whom to tell that it answers."""
        super().__init__(config)
        self._service = service
        self._tell = started
        self._deadline = float("inf")

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self._tell()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether it is time to end."""
        drained = self._service.draining and not self._service.in_flight
        if drained or time.monotonic() > self._deadline:
            self.should_exit = True
        return await super().on_tick(counter)

    def drain(self) -> None:
        """Begin to end; any thread may call it."""
        self._deadline = time.monotonic() + self._service.settings.timeout + 1
        self._service.draining = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on SIGTERM and SIGINT, which are not raised again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal."""
        del sig, frame
        if self._service.draining:
            self.should_exit = self.force_exit = True
        else:
            self.drain()
