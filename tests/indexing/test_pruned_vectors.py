"""Vectors that were pruned when they were made: the index says so, and keeps to it."""

from __future__ import annotations

import pytest

from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.indexing.changes import update_index
from sparse_ir.indexing.index import IndexSettings, index_corpus

ROWS = [
    {"_id": "a", "text": "apple apple pear plum"},
    {"_id": "b", "text": "cherry cherry pear plum"},
]


@pytest.fixture
def vectors(write_jsonl, tmp_path):
    """Vectors of one term each, and their corpus."""
    corpus = str(write_jsonl("c.jsonl", ROWS))
    out = str(tmp_path / "v")
    encode(EncodeSettings(corpus=corpus, out=out, model="bm25", document_pruning="top_k=1"))
    return {"corpus": corpus, "vectors": out}


def test_an_update_prunes_new_documents_as_the_vectors_were(vectors, write_jsonl):
    index_corpus(IndexSettings(**vectors))
    more = write_jsonl("more.jsonl", [*ROWS, {"_id": "n", "text": "fig cherry cherry pear plum"}])
    assert update_index(IndexSettings(corpus=str(more))).written == 1
    with open_engine("embedded") as engine:
        assert engine.describe("default").document_pruning == "top_k=1"
        terms = {e.document.doc_id: len(e.vector) for e in engine.scan("default")}
    assert terms == {"a": 1, "b": 1, "n": 1}


def test_a_pruning_that_asks_for_more_than_the_vectors_hold_is_refused(vectors):
    with pytest.raises(ConfigError, match="pruned by 'top_k=1', which cannot become 'top_k=2'"):
        index_corpus(IndexSettings(**vectors, document_pruning="top_k=2"))
