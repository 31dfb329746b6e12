"""Connections drop, answers are cut, delayed and lost, requests arrive twice."""

from __future__ import annotations

import pytest

from faults.checks import builds, require_exact
from faults.collection import make_collection
from faults.proxy import FAULTS, BadProxy

OLD, NEW = 100, 800


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_every_document_is_in_once_whatever_the_network_does(
    kind, server_url, free_name, tmp_path, index_whole
):
    address = server_url(kind)
    name = free_name(address)
    old = make_collection(tmp_path / "old", OLD, seed=5)
    new = make_collection(tmp_path / "new", NEW, seed=6)
    index_whole(address, name, old)
    with BadProxy(address, share=0.4, seed=7) as proxy:
        index_whole(proxy.url, name, new, "--replace", "--drop-old", "--bulk-documents", "25")
        assert min(proxy.done[fault] for fault in FAULTS) > 0
    assert len(builds(address, name)) == 1
    require_exact(address, name, new)
