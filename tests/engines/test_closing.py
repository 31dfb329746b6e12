"""What an engine in a cluster lets go of when it is closed."""

from __future__ import annotations

from types import SimpleNamespace

from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.engines.cluster import ClusterEngine


def test_closing_the_engine_closes_its_connections():
    closed = []
    transport = SimpleNamespace(close=lambda: closed.append(1))
    server = SimpleNamespace(flavour="opensearch", version=(3, 8))
    with ClusterEngine(parse_cluster_address("http://localhost:9200"), transport, server):
        assert closed == []
    assert closed == [1]
