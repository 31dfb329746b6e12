"""An index that is replaced while it is served."""

from __future__ import annotations

import json

import pytest

from sparse_ir.indexing.index import IndexSettings, index_corpus


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Index texts as "own", in an engine of its own: ``make({"d1": "text"})``."""
    monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path))
    address = f"embedded:{tmp_path / 'indexes'}"

    def index(texts, **settings):
        corpus = tmp_path / "corpus.jsonl"
        rows = [{"_id": d, "text": t, "kind": d[0]} for d, t in texts.items()]
        corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {"corpus": str(corpus), "index": "own", "model": "bm25", "engine": address}
        index_corpus(IndexSettings(**(given | settings)))
        return address

    return index


def test_a_build_of_the_same_model_is_taken_over(start, make):
    server = start(index=("own",), engine=make({"a1": "An apple.", "a2": "A pear."}))
    assert [h["doc_id"] for h in server.get("/search", q="pear").json["hits"]] == ["a2"]
    model = server.service.indexes["own"].searcher.stamp.model
    make({"a1": "An apple.", "b3": "Another pear."}, model=model, replace=True)
    assert [h["doc_id"] for h in server.get("/search", q="pear").json["hits"]] == ["b3"]
    (row,) = server.get("/indexes").json["indexes"]
    assert row["filters"] == [{"field": "kind", "values": ["a", "b"]}]
    assert server.get("/explain", q="pear", doc_id="b3").json["text"] == "Another pear."


@pytest.mark.parametrize(("path", "query"), [("/search", {}), ("/explain", {"doc_id": "a1"})])
def test_a_build_of_other_passages_is_refused_again_and_again(start, make, caplog, path, query):
    texts = {"a1": "An apple. A pear. A plum."}
    server = start(index=("own",), engine=make(texts))
    assert server.get(path, q="pear", **query).status == 200
    make(texts, passages="each,words=2,overlap=0", replace=True)
    for _ in range(2):
        answer = server.get(path, q="pear", **query)
        assert answer.status == 502
        assert "or one that was read otherwise" in answer.json["error"]
        assert "--passages each,words=2,overlap=0 (before: left away)" in caplog.text


def test_a_document_in_passages_that_shares_no_term_is_explained_by_its_first(start, make):
    address = make({"a1": "An apple. A pear. A plum."}, passages="each,words=2,overlap=0")
    server = start(index=("own",), engine=address)
    found = server.get("/explain", q="truck", doc_id="a1").json
    assert (found["doc_id"], found["text"], found["score"]) == ("a1", "An apple.", 0)
    assert server.get("/explain", q="plum", doc_id="a1").json["text"] == "A plum."
    assert server.get("/explain", q="truck", doc_id="a2").status == 404


def test_a_build_of_another_model_is_refused_again_and_again(start, make):
    server = start(index=("own",), engine=make({"a1": "An apple."}))
    make({"a1": "A pear.", "b2": "An apple."}, replace=True)  # BM25 of another corpus
    for _ in range(2):
        answer = server.get("/search", q="apple")
        assert answer.status == 502
        assert "was replaced by one of another model" in answer.json["error"]
        assert "/" not in answer.json["error"]
