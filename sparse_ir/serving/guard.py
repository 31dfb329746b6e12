"""Who may ask and how much: the key, the host, sizes, how many at a time, how long."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from sparse_ir.serving.connections import WHEN_LEFT
from sparse_ir.serving.settings import is_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping

    from sparse_ir.serving.service import Service

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

OPEN = ("/", "/health", "/docs", "/openapi.json")
WORK = ("/search", "/encode", "/explain", "/indexes")
PAGE = "/page/"
INTERNAL = "/internal/"
FAILED = "the server failed; its log says how."
CLIENT_LEFT = 499  # in the figures only: nobody is there to be answered
MOST_BODY_BYTES = 8 << 20  # of another process; nobody else sends a body

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        b"require-trusted-types-for 'script'; trusted-types 'none'",
    ),
)


class Refusal(Exception):  # noqa: N818 - an answer rather than an error
    """A request that is not let through."""

    def __init__(
        self, status: int, words: str, *, close: bool = False, retry: bool = False
    ) -> None:
        """Say why.

        Args:
            status: Of the answer.
            words: One line: what is wrong and what to do.
            close: Whether the connection ends with the answer.
            retry: Whether the client may come again in a second.
        """
        super().__init__(words)
        self.status = status
        self.words = words
        self.close = close
        self.retry = retry


class Guard:
    """An ASGI application around another one, which lets through what may be asked."""

    def __init__(self, app: App, service: Service, token: str) -> None:
        """Guard an application.

        Args:
            app: What answers.
            service: Its settings, figures and state.
            token: What other processes of this machine must send.
        """
        self._app = app
        self._service = service
        self._settings = service.settings
        self._key = _digest(service.settings.key) if service.settings.key else None
        self._token = _digest(token)
        self._hosts = self._known_hosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._answer(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            self._service.metrics.answered(_route(scope["path"]), answer.status, seconds)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            headers = {name: value for name, value in scope["headers"]}  # noqa: C416 - the last
            self._require_size(scope, headers)
            self._require_host(headers)
            self._require_key(scope["path"], headers)
            with self._counted(scope["path"]):  # only who may ask takes a place
                await self._work(scope, receive, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except asyncio.TimeoutError:
            if answer.status:
                raise  # half of it is sent: the connection ends
            seconds = self._settings.timeout
            words = f"no answer within {seconds:g} seconds. Try again, or ask for less."
            await answer.refuse(Refusal(504, words))
        except Exception:
            if answer.status and not answer.complete:
                raise
            _log.exception("a request failed")
            if not answer.complete:
                await answer.refuse(Refusal(500, FAILED))

    @contextlib.contextmanager
    def _counted(self, path: str) -> Iterator[None]:
        """Count a request that is work while it is answered, if there is room for it."""
        if _route(path) not in (*WORK, INTERNAL):
            yield
            return
        self._require_room()
        self._service.in_flight += 1
        try:
            yield
        finally:
            self._service.in_flight -= 1

    async def _work(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Let the application answer, unless it takes too long or the client leaves.

        Raises:
            asyncio.TimeoutError: it took too long.
        """
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._app(scope, receive, answer))
        ]
        if scope["path"] in WORK:
            left = asyncio.Event()
            scope[WHEN_LEFT] = left.set  # to wait in receive() would read, and keep, what follows
            tasks.append(asyncio.ensure_future(left.wait()))
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=self._settings.timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in tasks:
                task.cancel()  # of what is done it changes nothing
            await asyncio.gather(*tasks, return_exceptions=True)
        if tasks[0] in done:
            tasks[0].result()
        elif done:
            answer.status = CLIENT_LEFT
        else:
            raise asyncio.TimeoutError

    def _require_size(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        url = len(scope["raw_path"]) + len(scope["query_string"])
        head = url + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        most = self._settings
        if url > most.max_url_bytes:
            words = f"the URL has {url} bytes; at most {most.max_url_bytes} are read."
            raise Refusal(414, words, close=True)
        if head > most.max_head_bytes:
            words = f"URL and headers have {head} bytes; at most {most.max_head_bytes} are read."
            raise Refusal(431, words, close=True)
        inside = scope["path"].startswith(INTERNAL)
        length = headers.get(b"content-length", b"0")
        size = int(length) if length.isdigit() else MOST_BODY_BYTES + 1
        if b"transfer-encoding" in headers or size > (MOST_BODY_BYTES if inside else 0):
            raise Refusal(413, "a request has no body here. Put it all in the URL.", close=True)

    def _known_hosts(self) -> set[str] | None:
        """Names this server goes by; None where any will do.

        Where no key is asked for, a page of another site could make its own name point to this
        machine and read what it searches for (DNS rebinding); so the name must be a known one,
        whatever address the server listens on. An address in the place of a name is always known:
        nobody can make it point elsewhere.
        """
        settings = self._settings
        if settings.key and not settings.allowed_hosts:
            return None
        machine = socket.gethostname()
        own = ("localhost", settings.host, machine, machine.partition(".")[0])
        return {name.lower() for name in (*own, *settings.allowed_hosts) if name}

    def _require_host(self, headers: Mapping[bytes, bytes]) -> None:
        if self._hosts is None:
            return
        given = headers.get(b"host", b"").decode("latin-1").lower()
        name = given if given.endswith("]") else given.rpartition(":")[0] or given
        if name not in self._hosts and not is_address(name):
            raise Refusal(
                421,
                f"this server does not go by the name {name!r}. Start it with "
                f"--allowed-host NAME, or ask for it by its address.",
            )

    def _require_key(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        inside = path.startswith(INTERNAL)
        if not inside and (self._key is None or path in OPEN or path.startswith(PAGE)):
            return
        wanted = self._token if inside else self._key
        if wanted is None or not hmac.compare_digest(_digest_sent(headers), wanted):
            raise Refusal(
                401,
                "the key is missing or wrong. Send the header 'Authorization: Bearer KEY' or "
                "'X-API-Key: KEY'.",
            )

    def _require_room(self) -> None:
        if self._service.draining:
            raise Refusal(503, "the server is stopping.", close=True, retry=True)
        if self._service.in_flight >= self._settings.max_concurrent:
            raise Refusal(503, "too many requests at a time. Try again in a second.", retry=True)


class _Answer:
    """Sends an answer with the headers that all have, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            had = {name.lower() for name, _ in message["headers"]}
            more = [pair for pair in HEADERS if pair[0] not in had]
            message = {**message, "headers": [*message["headers"], *more]}
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        body = json.dumps({"error": refusal.words}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if refusal.close:
            headers.append((b"connection", b"close"))
        if refusal.retry:
            headers.append((b"retry-after", b"1"))
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _digest_sent(headers: Mapping[bytes, bytes]) -> bytes:
    """Of the key that was sent: digests have one length, so comparing them tells nothing of it."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":
        key = headers.get(b"x-api-key", b"")
    return hashlib.sha256(key.strip()).digest()


def _route(path: str) -> str:
    """The route of a path, as the figures name it: few, whatever clients ask for."""
    for prefix in (PAGE, INTERNAL):
        if path.startswith(prefix):
            return prefix
    return path if path in (*OPEN, *WORK, "/metrics") else "other"
