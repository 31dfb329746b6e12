"""What must be true of an index after every fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.collection import RELATIVE, VOCABULARY, queries
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine
from sparse_ir.indexing.build import ledger_path

if TYPE_CHECKING:
    from typing import Any

    from faults.collection import Collection
    from sparse_ir.engines.base import Engine

LOADING, SERVING = ("-1", "0"), ("1s", "1")


def require_exact(address: str, index: str, collection: Collection) -> None:
    """Every document is in once with the weights it was given, and nothing else is."""
    engine = open_engine(address)
    try:
        ids = [entry.document.doc_id for entry in engine.scan(index, vectors=False)]
        assert sorted(ids) == sorted(collection.kept)
        assert engine.stats(index).documents == len(collection.kept)
        for query in queries(17, 2, len(VOCABULARY)):  # each sees every weight of every document
            hits = engine.search(index, [SearchRequest(query, k=len(ids), documents=False)])[0]
            found = {hit.doc_id: hit.score for hit in hits}
            assert found == pytest.approx(collection.scores(query), rel=RELATIVE)
            assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
        for query in queries(18, 5, 30):
            hits = engine.search(index, [SearchRequest(query, k=20)])[0]
            best = [score for _, score in collection.top(query, 20)]
            assert [hit.score for hit in hits] == pytest.approx(best, rel=RELATIVE)
        require_serving(engine, index)
        assert not ledger_path(engine, index).exists()
    finally:
        engine.close()


def require_serving(engine: Engine, index: str) -> None:
    """It refreshes and has copies as asked for, as if it had never been loaded."""
    found = index_settings(engine, index)
    assert (found["refresh_interval"], found["number_of_replicas"]) == SERVING


def index_settings(engine: Engine, index: str) -> dict[str, Any]:
    """The settings of an index or of a build."""
    answer = engine.connection.call("GET", f"/{index}/_settings")
    (found,) = answer.values()
    settings: dict[str, Any] = found["settings"]["index"]
    return settings


def builds(address: str, index: str) -> list[str]:
    """Every build of a name."""
    engine = open_engine(address)
    try:
        return engine.builds(index)
    finally:
        engine.close()


def setup_of(address: str, physical: str) -> tuple[str, str]:
    """How often an index refreshes, and how many copies it is to have."""
    engine = open_engine(address)
    try:
        found = index_settings(engine, physical)
        return found["refresh_interval"], found["number_of_replicas"]
    finally:
        engine.close()
