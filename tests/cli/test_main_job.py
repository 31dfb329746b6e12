"""The commands as a user types them, on a corpus that a reader can check by hand."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def indexed(sparse_ir, fruit):
    assert sparse_ir("index", "--corpus", fruit, "--model", "bm25").exit_code == 0
    return fruit


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_what_is_indexed_is_found(sparse_ir, fruit, engine):
    done = sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--engine", engine)
    assert done.exit_code == 0, done.err
    assert "holds 4 documents" in done.out
    found = sparse_ir("search", "sweet", "apple", "--engine", engine, "--json")
    hits = json.loads(found.out)["hits"]
    assert [hit["doc_id"] for hit in hits] == ["d1", "d2"]
    assert hits[0]["title"] == "Apple"
    assert hits[0]["metadata"] == {"year": 2001}


def test_search_prints_headline_and_text(sparse_ir, indexed):
    found = sparse_ir("search", "blue plum")
    assert "d 3" in found.out
    assert "A plum is a blue stone fruit." in found.out


def test_filters_apply(sparse_ir, indexed):
    found = sparse_ir(
        "search", "fruit", "--filter", "year>=2002", "--filter", "year<2003", "--json"
    )
    assert [hit["doc_id"] for hit in json.loads(found.out)["hits"]] == ["d2"]


def test_explain_names_the_words_that_matched_and_adds_up(sparse_ir, indexed):
    found = sparse_ir("search", "trucks on the road", "--explain", "--json")
    hit = json.loads(found.out)["hits"][0]
    assert hit["doc_id"] == "dé4"
    words = {t["term"]: (t["query_word"], t["document_word"]) for t in hit["terms"]}
    assert words["truck"] == ("trucks", "trucks")
    assert words["road"] == ("road", "roads")
    assert sum(t["contribution"] for t in hit["terms"]) == pytest.approx(hit["score"], rel=1e-5)
    assert "truck" in sparse_ir("search", "trucks on the road", "--explain").out


def test_a_file_of_queries_becomes_a_run(sparse_ir, indexed, tmp_path, write_jsonl):
    queries = write_jsonl("q.jsonl", [{"_id": "q1", "text": "pear"}, {"_id": "q2", "text": "car"}])
    run = tmp_path / "run.trec"
    assert sparse_ir("search", "--queries", queries, "--save-run", run).exit_code == 0
    lines = [line.split("\t" if "\t" in line else " ") for line in run.read_text().splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("q1", "d2"), ("q2", "dé4")]


def test_evaluate_scores_an_index_and_a_run_alike(sparse_ir, indexed, tmp_path, write_jsonl):
    queries = write_jsonl("q.jsonl", [{"_id": "q1", "text": "pear"}, {"_id": "q2", "text": "kiwi"}])
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td1\t1\n")
    run = tmp_path / "run.trec"
    by_index = sparse_ir(
        "evaluate", "--index", "default", "--queries", queries, "--qrels", qrels,
        "--metrics", "ndcg@10,mrr@10", "--save-run", run, "--json",
    )  # fmt: skip
    result = json.loads(by_index.out)
    assert result["ndcg@10"] == pytest.approx(0.5)  # q1 perfect, q2 unanswered counts as 0
    assert result["queries"] == 2
    by_run = sparse_ir(
        "evaluate", "--run", run, "--qrels", qrels, "--metrics", "ndcg@10,mrr@10", "--json"
    )
    assert json.loads(by_run.out) == result


def test_vectors_encoded_first_make_the_same_index(sparse_ir, fruit, tmp_path):
    out = tmp_path / "vectors"
    assert sparse_ir("encode", "--corpus", fruit, "--out", out, "--model", "bm25").exit_code == 0
    for name, source in (("direct", ("--model", "bm25")), ("rebuilt", ("--vectors", out))):
        done = sparse_ir("index", "--corpus", fruit, "--index", name, *source)
        assert done.exit_code == 0, done.err
    answers = [
        json.loads(sparse_ir("search", "sweet fruit", "--index", name, "--json").out)
        for name in ("direct", "rebuilt")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]["hits"]) == 3


def test_export_writes_term_dicts(sparse_ir, indexed, tmp_path):
    out = tmp_path / "export.jsonl"
    assert sparse_ir("export", "--index", "default", "--out", out).exit_code == 0
    rows = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert set(rows) == {"d1", "d2", "d 3", "dé4"}
    assert set(rows["d2"]["vector"]) >= {"pear", "sweet", "green", "fruit"}


def test_inspect_shows_what_made_an_index(sparse_ir, indexed):
    found = json.loads(sparse_ir("inspect", "default", "--json").out)
    assert (found["kind"], found["documents"]) == ("index", 4)
    listed = json.loads(sparse_ir("inspect", "--json").out)
    assert [row["index"] for row in listed] == ["default"]


def test_explain_two_texts_without_a_shared_term_names_what_is_missing(sparse_ir):
    found = sparse_ir("explain", "car", "automobile", "--model", "bm25")
    assert found.exit_code == 0
    assert "No shared term" in found.out
    assert "automobil" in found.out


def test_explain_shows_the_word_behind_a_term(sparse_ir):
    found = sparse_ir("explain", "running quickly", "--model", "bm25", "--json")
    (row,) = json.loads(found.out)
    assert {t["term"]: t["word"] for t in row["terms"]} == {"run": "running", "quick": "quickly"}
