"""Explanations add up to the score and name the words."""

from __future__ import annotations

import pytest

from sparse_ir.errors import EngineError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.searching.explain import explain_hit, explain_pair
from sparse_ir.searching.search import Searcher, SearchSettings
from sparse_ir.types import Query


def test_a_pair_shares_terms_and_its_contributions_are_the_dot_product():
    encoder = Bm25Encoder.fit(["red apples", "green pears", "red pears"])
    pair = explain_pair("apple pear", "apples and pears in a red bowl", encoder)
    assert {t.term: (t.query_word, t.document_word) for t in pair.shared} == {
        "appl": ("apple", "apples"),
        "pear": ("pear", "pears"),
    }
    assert pair.dot == pytest.approx(sum(t.query_weight * t.document_weight for t in pair.shared))
    assert 0 < pair.cosine < 1


def test_texts_without_a_common_term_have_no_score():
    encoder = Bm25Encoder.fit(["red apples", "green pears"])
    pair = explain_pair("apple", "pear", encoder)
    assert (pair.shared, pair.dot, pair.cosine) == ((), 0, 0)


def test_an_empty_text_has_cosine_zero():
    encoder = Bm25Encoder.fit(["red apples"])
    assert explain_pair("", "apples", encoder).cosine == 0


@pytest.fixture
def searcher(fruit):
    index_corpus(IndexSettings(corpus=str(fruit), model="bm25"))
    with Searcher(SearchSettings(query_pruning="top_k=1")) as searcher:
        yield searcher


def test_a_hit_is_explained_by_what_was_searched_for_after_pruning(searcher):
    (result,) = searcher.search([Query("1", "sweet sweet pear")], vectors=True)
    query = searcher.encoder.explain("sweet sweet pear", query=True)
    assert len(result.terms) == 1
    for hit in result.hits:
        shared = explain_hit(result.terms, query, hit, searcher.encoder)
        assert [t.term for t in shared] == list(result.terms)
        assert sum(t.contribution for t in shared) == pytest.approx(hit.score, rel=1e-5)


def test_a_hit_without_its_vector_cannot_be_explained(searcher):
    (result,) = searcher.search([Query("1", "pear")])
    query = searcher.encoder.explain("pear", query=True)
    with pytest.raises(EngineError, match="vectors=True"):
        explain_hit(result.terms, query, result.hits[0], searcher.encoder)
