"""Elasticsearch through its own clients: the 8.x transport for servers 8 and 9, elasticsearch7.

The clients' lowest layer is used, one object for each node: it sends bytes as they are and returns
the answer as it came, whatever its status. The layers above parse with a slower JSON library, make
errors of statuses, retry, and ask ``GET /`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from elastic_transport import HttpHeaders, NodeConfig, TransportError, Urllib3HttpNode

from sparse_ir.engines.credentials import far
from sparse_ir.engines.nodes import (
    CONNECT_TIMEOUT,
    CONNECTIONS_PER_NODE,
    DEFAULT_TIMEOUT,
    NodeFailedError,
    NodesTransport,
    tls_context,
)
from sparse_ir.engines.transport import JSON, NDJSON
from sparse_ir.errors import MissingExtraError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from sparse_ir.engines.credentials import Credentials

# asks a server 9 to behave as 8 does, https://www.elastic.co/docs/reference/elasticsearch/rest-apis/compatibility
COMPATIBLE_8 = {
    JSON: "application/vnd.elasticsearch+json; compatible-with=8",
    NDJSON: "application/vnd.elasticsearch+x-ndjson; compatible-with=8",
}


def elasticsearch_transport(
    urls: Sequence[str],
    credentials: Credentials,
    *,
    major: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> NodesTransport:
    """Open a transport to Elasticsearch.

    Args:
        urls: As in ``ClusterAddress.urls``.
        credentials: Sent with every request.
        major: The server's version; None while it is not known (plain JSON, which all speak).
        timeout: Seconds of silence after which an answer is given up.

    Raises:
        MissingExtraError: the server is a 7 and elasticsearch7 is not installed.
        ConfigError: a certificate cannot be used.
    """
    context = tls_context(urls, credentials)
    if major == 7:
        return NodesTransport(
            [_seven(url, credentials, context) for url in urls], credentials, timeout=timeout
        )
    return NodesTransport(
        [_EightNode(url, credentials, context) for url in urls],
        credentials,
        media_types=COMPATIBLE_8 if major else None,
        timeout=timeout,
    )


class _EightNode:
    """One node through elastic_transport, the lowest layer of elasticsearch-py 8."""

    def __init__(self, url: str, credentials: Credentials, context: ssl.SSLContext | None) -> None:
        self.url = url
        self.compress = far(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
        config = NodeConfig(
            parts.scheme,
            host,
            port,
            path_prefix=parts.path,
            headers=credentials.headers(),
            connections_per_node=CONNECTIONS_PER_NODE,
        )
        self._node = Urllib3HttpNode(config)
        if parts.scheme == "https":
            # a context given through NodeConfig would get all of certifi's authorities added
            self._node.pool = urllib3.HTTPSConnectionPool(
                f"[{host}]" if ":" in host else host,
                port,
                maxsize=CONNECTIONS_PER_NODE,
                block=True,
                ssl_context=context,
            )

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> tuple[int, Mapping[str, str], bytes | str]:
        wait: Any = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
        try:
            meta, raw = self._node.perform_request(
                method, target, body=body, headers=HttpHeaders(headers), request_timeout=wait
            )
        except TransportError as error:
            raise NodeFailedError(error.errors[0] if error.errors else error) from None
        return meta.status, meta.headers, raw

    def close(self) -> None:
        self._node.close()


def _seven(url: str, credentials: Credentials, context: ssl.SSLContext | None) -> Any:
    try:
        from sparse_ir.engines.elasticsearch7 import SevenNode
    except ModuleNotFoundError as error:
        if error.name != "elasticsearch7":
            raise
        raise MissingExtraError("elasticsearch7", extra="elasticsearch7") from None
    return SevenNode(url, credentials, context)
