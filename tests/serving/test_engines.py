"""The same answers whatever engine holds the index: in this process, or a real server."""

from __future__ import annotations

import pytest

from sparse_ir.data.corpora import read_documents
from sparse_ir.engines.fields import truncate_vector
from sparse_ir.engines.opening import open_engine
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.models.loading import load_encoder
from sparse_ir.searching.search import SearchSettings, search
from sparse_ir.vectors import to_terms

INDEX = "served-fruit"
ASKED = "sweet pears on the road"


@pytest.fixture(params=["memory", "opensearch", "elasticsearch"])
def address(request, tmp_path, fruit):
    """Where an index of four documents lies, weighed by BM25."""
    if request.param == "memory":
        address = f"memory:{tmp_path / 'indexes'}"
    else:
        address = request.getfixturevalue("server_url")(request.param)
    index_corpus(
        IndexSettings(corpus=str(fruit), index=INDEX, model="bm25", engine=address, replace=True)
    )
    yield address
    with open_engine(address) as engine:
        for build in engine.builds(INDEX):
            engine.drop(build)


def dot_products(address, corpus):
    """What the model's own vectors give, a cluster's documents as exact as it keeps them."""
    with open_engine(address) as engine:
        encoder = load_encoder(engine.describe(INDEX).model)
    (query,) = to_terms(encoder.encode_queries([ASKED]), encoder.vocabulary)
    texts = {document.doc_id: document.content for document in read_documents(str(corpus))}
    vectors = to_terms(encoder.encode_documents(list(texts.values())), encoder.vocabulary)
    if address.startswith("http"):
        vectors = map(truncate_vector, vectors)
    found = {
        doc_id: sum(weight * vector.get(term, 0.0) for term, weight in query.items())
        for doc_id, vector in zip(texts, vectors, strict=True)
    }
    return {doc_id: score for doc_id, score in found.items() if score > 0}


def test_a_server_answers_as_search_and_as_the_model_says(start, address, fruit):
    (wanted,) = search(ASKED, SearchSettings(index=INDEX, engine=address))
    scores = {hit.doc_id: pytest.approx(hit.score, rel=1e-6) for hit in wanted.hits}
    server = start(index=(INDEX,), engine=address)
    assert server.get("/health").json == {"status": "ok"}
    (row,) = server.get("/indexes").json["indexes"]
    assert (row["documents"], row["engine"]) == (4, address if "://" in address else "memory")
    assert row["filters"] == [{"field": "year", "values": ["2001", "2002", "2003", "2004"]}]

    hits = server.get("/search", q=ASKED, explain=1).json["hits"]
    assert {hit["doc_id"]: hit["score"] for hit in hits} == scores
    assert {hit["doc_id"]: hit["score"] for hit in hits} == pytest.approx(
        dot_products(address, fruit), rel=1e-5
    )
    assert [hit["doc_id"] for hit in hits] == ["d2", "dé4", "d1"]
    for hit in hits:
        assert sum(m["contribution"] for m in hit["matches"]) == pytest.approx(
            hit["score"], rel=1e-5
        )
        alone = server.get("/explain", q=ASKED, doc_id=hit["doc_id"]).json
        assert alone["score"] == pytest.approx(hit["score"], rel=1e-5)
        assert [m["term"] for m in alone["matches"]] == [m["term"] for m in hit["matches"]]

    middle = server.get("/search", q=ASKED, filter=["year>=2002", "year<2003"]).json["hits"]
    assert {hit["doc_id"]: hit["score"] for hit in middle} == {"d2": scores["d2"]}
    holding = server.get("/search", q=ASKED, require="road").json["hits"]
    assert {hit["doc_id"]: hit["score"] for hit in holding} == {"dé4": scores["dé4"]}
