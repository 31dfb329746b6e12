"""Elasticsearch 7.17 through elasticsearch7, the client of its time; needs that extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elasticsearch7.connection import Urllib3HttpConnection
from elasticsearch7.exceptions import ConnectionError as LostError

from sparse_ir.engines.legacy_nodes import LegacyNode, Quiet, connection_settings
from sparse_ir.engines.nodes import CONNECTIONS_PER_NODE

if TYPE_CHECKING:
    import ssl

    from sparse_ir.engines.credentials import Credentials


class _Connection(Quiet, Urllib3HttpConnection):
    """The client's connection, quiet."""


class SevenNode(LegacyNode):
    """One node through elasticsearch7."""

    def __init__(self, url: str, credentials: Credentials, context: ssl.SSLContext | None) -> None:
        """Nothing is sent yet."""
        settings = connection_settings(url, credentials, context)
        super().__init__(url, _Connection(maxsize=CONNECTIONS_PER_NODE, **settings), LostError)
