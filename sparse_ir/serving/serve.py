"""Serve indexes over HTTP until told to stop."""

from __future__ import annotations

import importlib.util
import logging
import secrets
import socket
from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.serving.settings import ServeSettings

_PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


def serve(settings: ServeSettings, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight.

    Args:
        settings: What and where.
        ready: Called with the server's URL once it answers.

    Raises:
        MissingExtraError: the packages of the extra ``serve`` are not installed.
        ConfigError: the address is taken.
        IndexNotFoundError: there is no such index.
        IndexLockedError: another process holds an index.
    """
    require_extra()
    from sparse_ir.serving.app import make_app
    from sparse_ir.serving.draining import DrainingServer, configuration
    from sparse_ir.serving.service import Service

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what strangers send is no news
    with _bound(settings) as listening:  # before a model is loaded for nothing
        service = Service(settings)
        try:
            token = secrets.token_urlsafe(32)
            url = _url(settings.host, listening.getsockname()[1])

            def started() -> None:
                service.announce(_url(_reachable(settings.host), listening.getsockname()[1]), token)
                ready(url)

            config = configuration(make_app(service, token), service)
            DrainingServer(config, service, started).run(sockets=[listening])
        finally:
            service.close()


def require_extra() -> None:
    """See that the packages of the extra ``serve`` are installed.

    Raises:
        MissingExtraError: one is not.
    """
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra="serve")


def _bound(settings: ServeSettings) -> socket.socket:
    host, port = settings.host.strip("[]"), settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"--host {host} --port {port} is no address here ({error}).") from None
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        made.close()
        raise ConfigError(
            f"port {port} of {host} cannot be had ({error}). Choose another with --port."
        ) from None
    return made


def _url(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _reachable(host: str) -> str:
    """Where this machine reaches a server that listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host)  # noqa: S104
