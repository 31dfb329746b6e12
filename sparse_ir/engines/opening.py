"""From an address to an engine."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sparse_ir.engines.addresses import in_message, is_cluster, merge, parse_cluster_address
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine
    from sparse_ir.engines.foreign import ForeignIndex
    from sparse_ir.engines.options import ClusterOptions

SCHEMES = ("embedded", "memory", "elasticsearch", "opensearch")


def open_engine(
    address: str | None = None, *, url: str | None = None, options: ClusterOptions | None = None
) -> Engine:
    """Open the engine that an address names.

    Args:
        address: ``embedded``, the default, or ``memory`` (kept below ``resources.home()``), either
            with a folder as in ``embedded:./indexes``, or ``memory::`` for one that is never
            written. A cluster:
            ``http://HOST:PORT``, ``opensearch:URL[,URL...]``, ``elasticsearch:URL[,URL...]`` or
            ``elasticsearch:cloud:ID``.
        url: Of a cluster's node, where the address names the flavour or nothing.
        options: How an index is laid out in a cluster and written to.

    Raises:
        ConfigError: no engine has such an address.
        EngineError: the cluster cannot be reached, or refuses the credentials.
    """
    if address is None or url is not None:
        address = merge(address, url)
    if is_cluster(address):
        return _open_cluster(address, options)
    scheme, colon, path = address.strip().partition(":")
    if scheme not in SCHEMES or (colon and not path):
        raise ConfigError(f"engine {in_message(address)} is not known. {_advice(scheme)}")
    # the chosen engine only is imported: the other's packages cost start-up time
    if scheme == "embedded":
        from sparse_ir.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(path or None)
    from sparse_ir.engines.memory import MemoryEngine, default_path

    if path == ":":
        return MemoryEngine()
    return MemoryEngine(path or default_path())


def open_foreign(address: str, index: str) -> ForeignIndex:
    """Open an index that other code made in a cluster, to look at it.

    Args:
        address: Of the cluster, as ``open_engine`` takes it.
        index: Its name, or an alias of it.

    Raises:
        ConfigError: that is no cluster's address.
        EngineError: the cluster cannot be reached, or refuses the credentials.
    """
    if not is_cluster(address):
        raise ConfigError(
            f"engine {in_message(address)} is no cluster. Give the cluster with --url URL."
        )
    from sparse_ir.engines.connecting import connect
    from sparse_ir.engines.connection import Connection
    from sparse_ir.engines.foreign import ForeignIndex

    parsed = parse_cluster_address(address)
    transport, server = connect(parsed)
    return ForeignIndex(Connection(transport, str(parsed)), server, index)


def _open_cluster(text: str, options: ClusterOptions | None) -> Engine:
    from sparse_ir.engines.cluster import ClusterEngine
    from sparse_ir.engines.connecting import connect

    address = parse_cluster_address(text)
    transport, server = connect(address)
    return ClusterEngine(address, transport, server, options)


def _advice(scheme: str) -> str:
    near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1)
    if near and near[0] != scheme:
        return f"Did you mean {near[0]!r}?"
    return (
        "Use 'embedded' or 'memory', either with a folder as in 'embedded:PATH', or the URL of a "
        "cluster."
    )
