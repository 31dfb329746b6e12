"""What opensearch-py and elasticsearch7 share: both descend from elasticsearch-py 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from sparse_ir.engines.credentials import far
from sparse_ir.engines.nodes import CONNECT_TIMEOUT, NodeFailedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from sparse_ir.engines.credentials import Credentials

_EVERY_STATUS = range(600)


class Quiet:
    """Mixed into a client's connection: no records, no Python warnings, no text for either.

    The clients log every failure with a traceback at WARNING, which lands on the terminal of a
    program without logging, and make Python warnings of a server's deprecation headers.
    """

    def log_request_success(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: it would decode every bulk body."""

    def log_request_fail(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: whoever called the transport gets the error."""

    def _raise_warnings(self, warning_headers: Any) -> None:
        """Nothing: these are for who writes requests, not for who runs them."""


def connection_settings(
    url: str, credentials: Credentials, context: ssl.SSLContext | None
) -> dict[str, Any]:
    """The arguments of both libraries' ``Urllib3HttpConnection``."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return {
        "host": parts.hostname,
        "port": parts.port,
        "url_prefix": parts.path,
        "use_ssl": secure,
        "ssl_context": context if secure else None,
        "headers": credentials.headers(),
    }


class LegacyNode:
    """One node through such a connection."""

    def __init__(self, url: str, connection: Any, failure: type[Exception]) -> None:
        """Take the connection.

        Args:
            url: As in ``ClusterAddress.urls``.
            connection: A quiet ``Urllib3HttpConnection``.
            failure: The library's ``ConnectionError``.
        """
        self.url = url
        self.compress = far(url)
        self._connection = connection
        self._failure = failure

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> tuple[int, Mapping[str, str], bytes | str]:
        """See ``Node.exchange``."""
        wait = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
        try:
            status, received, raw = self._connection.perform_request(
                method,
                target,
                body=body,
                timeout=wait,
                ignore=_EVERY_STATUS,
                headers=headers,
            )
        except self._failure as error:
            cause = error.args[2] if len(error.args) > 2 else error
            raise NodeFailedError(cause) from None
        return status, received, raw

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()
