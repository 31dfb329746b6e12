"""``search``: what is printed of hits."""

from __future__ import annotations

import json

import pytest


def test_ranks_go_on_after_an_offset(sparse_ir, fruit):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    asked = ("search", "fruit", "-k", "2", "--offset", "1")  # three documents have the word
    assert [hit["rank"] for hit in json.loads(sparse_ir(*asked, "--json").out)["hits"]] == [2, 3]
    shown = sparse_ir(*asked).out
    assert " 2. " in shown
    assert " 3. " in shown
    assert " 1. " not in shown


def test_what_is_left_of_the_matched_terms_is_their_own_sum(sparse_ir, write_jsonl):
    words = ["ape", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "owl", "pig"]
    passage = " ".join(words) + "."
    rows = [{"_id": "d1", "text": f"{passage} {passage}"}, {"_id": "d2", "text": "a road"}]
    how = "each,words=10,overlap=0"  # the score of d1 is twice the sum of its best passage
    corpus = write_jsonl("animals.jsonl", rows)
    sparse_ir("index", "--corpus", corpus, "--model", "bm25", "--passages", how)
    asked = ("search", " ".join(words), "--explain", "--group", "sum")
    (hit,) = json.loads(sparse_ir(*asked, "--json").out)["hits"]
    adds = [term["contribution"] for term in hit["terms"]]
    assert len(adds) == 10
    assert hit["score"] == pytest.approx(2 * sum(adds), rel=1e-4)
    assert f"2 more {sum(adds[8:]):.2f}" in sparse_ir(*asked).out


def test_a_filter_on_a_field_that_no_document_has_is_named(sparse_ir, fruit):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    said = " ".join(sparse_ir("search", "fruit", "--filter", "jahr>=2020").out.split())
    assert "no document looked at has a field 'jahr' to filter by (there are" in said
    said = " ".join(sparse_ir("search", "nothing", "--filter", "year>=2020").out.split())
    assert "No hit: the query has no term" in said or "shares a term" in said


def test_bm25_cannot_be_named_as_the_model_of_a_search(sparse_ir, fruit):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    outcome = sparse_ir("search", "fruit", "--model", "bm25")
    assert outcome.exit_code == 4
    assert "bm25 is made of a corpus" in outcome.err
