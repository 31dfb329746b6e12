"""What every engine promises, whatever it stores its vectors in."""

from __future__ import annotations

import pytest

from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.stamp import Stamp
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

VOCABULARY = ("apple", "3.5%", "ü", "pear", "a b")


def make_stamp(vocabulary=VOCABULARY, **changes):
    values = {
        "model": "tiny",
        "fingerprint": "f" * 64,
        "query_fingerprints": ("q" * 64,),
        "vocabulary_hash": vocabulary_hash(vocabulary),
        "vocabulary_size": len(vocabulary),
        "document_pruning": "",
        "corpus": "corpus.jsonl",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.0.0",
    }
    return Stamp(**{**values, **changes})


def entry(doc_id, vector=None, **metadata):
    return Entry(Document(doc_id, f"text of {doc_id}", "title", metadata), vector or {"apple": 1.0})


@pytest.fixture(params=["embedded", "memory", "memory::"])
def engine(request):
    with open_engine(request.param) as opened:
        yield opened


@pytest.fixture
def fill(engine):
    def fill(*entries, name="fruit"):
        physical = engine.create(name, make_stamp(), VOCABULARY)
        failures = list(engine.add(physical, entries))
        engine.publish(name, physical)
        return failures

    return fill


def found(engine, terms, index="fruit", **options):
    hits = engine.search(index, [SearchRequest(terms, **options)])[0]
    return [(hit.doc_id, hit.score) for hit in hits]


def test_scores_are_dot_products_and_order_is_by_score(engine, fill):
    fill(
        entry("a", {"apple": 1.0, "pear": 2.0}),
        entry("b", {"apple": 3.0}),
        entry("c", {"ü": 9.0}),
    )
    assert found(engine, {"apple": 2.0, "pear": 0.5}) == [("b", 6.0), ("a", 3.0)]
