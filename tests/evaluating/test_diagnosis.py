"""What each term did, and where two systems part; all figures by hand."""

import math

import pytest

from sparse_ir.evaluating.diagnosis import (
    Answered,
    Named,
    differences,
    expected_products,
    telling_documents,
    term_uses,
    written,
)

# Searched for "red apple" and expanded by "fruit": d2 is relevant and comes second.
QUERIES = {"q1": {"apple": 2.0, "fruit": 1.0, "red": 0.5}, "q2": {"apple": 1.0}}
VECTORS = {
    "d1": {"apple": 1.0, "fruit": 1.0},  # q1: 2 + 1 = 3
    "d2": {"apple": 1.0, "red": 1.0},  # q1: 2 + 0.5 = 2.5
}
RUN = {"q1": {"d1": 3.0, "d2": 2.5}, "q2": {"d1": 1.0, "d2": 1.0}}
QRELS = {"q1": {"d2": 1}, "q2": {"d9": 1}, "q3": {"d1": 1}}
TEXTS = {"q1": "red apple", "q2": "apple"}
SECOND = 1 / math.log2(3)  # nDCG@10 of a relevant document at rank 2


def answered(values=None):
    return Answered(QUERIES, RUN, VECTORS, values or {"q1": SECOND, "q2": 0.0})


def test_a_term_is_worth_what_the_same_hits_lose_without_it():
    uses = {use.term: use for use in term_uses(answered(), TEXTS, QRELS, {"apple": 0.5})}
    # Without fruit d1 falls to 2 and d2 is first: the term costs 1 - SECOND.
    assert uses["fruit"].gain == pytest.approx(SECOND - 1)
    # Without red or apple the order stays; q2 has nothing to lose.
    assert uses["red"].gain == pytest.approx(0.0)
    assert uses["apple"].gain == pytest.approx(0.0)


def test_shares_are_of_judged_queries_and_of_documents():
    uses = term_uses(answered(), TEXTS, QRELS, {"apple": 0.5})
    assert [use.term for use in uses] == ["apple", "fruit", "red"]  # two queries, then by name
    assert [use.queries for use in uses] == [1.0, 0.5, 0.5]
    assert [use.documents for use in uses] == [0.5, 0.0, 0.0]
    assert [use.expanded for use in uses] == [0.0, 1.0, 0.0]
    assert [use.weight for use in uses] == [1.0, 0.5, 0.25]  # of 2 in q1, of 1 in q2


def test_only_the_commonest_terms_are_looked_at():
    assert [use.term for use in term_uses(answered(), TEXTS, QRELS, {}, most=1)] == ["apple"]


def test_a_piece_of_a_word_is_written_where_the_word_is():
    assert written("##ple", "An Apple")
    assert written("Apple", "an apple")
    assert written("appl", "apples")  # a stem
    assert written("京", "東京都")
    assert written("?", "why?")
    assert not written("fruit", "an apple")
    assert not written("art", "the party")
    assert not written("##apple", "an apple")


def test_wins_and_losses_name_the_document_and_the_terms_that_tell():
    other = Answered(
        {"q1": {"red": 1.0}, "q2": {}},
        {"q1": {"d2": 1.0}, "q2": {}},
        {"d2": {"red": 1.0}},
        {"q1": 1.0, "q2": 0.0},
    )
    (found,) = differences(
        "fruit", Named("sparse", answered()), Named("BM25", other), QRELS, titles={"d2": "Red ones"}
    )
    assert (found.query_id, found.system, found.baseline) == ("q1", "sparse", "BM25")
    assert found.values == (SECOND, 1.0)
    assert (found.doc_id, found.title, found.ranks) == ("d2", "Red ones", (2, 1))
    assert [(s.term, s.query, s.document) for s in found.terms] == [
        ("apple", 2.0, 1.0),
        ("red", 0.5, 1.0),
    ]
    assert [s.term for s in found.baseline_terms] == ["red"]


def test_wins_come_first_and_the_largest_of_each_first():
    values = {"a": 0.9, "b": 0.5, "c": 0.1, "d": 0.0, "e": 0.3}
    base = {"a": 0.5, "b": 0.4, "c": 0.2, "d": 0.9, "e": 0.3}
    qrels = {q: {"x": 1} for q in values}
    runs = [Answered({}, {}, {}, v) for v in (values, base)]
    found = differences("", Named("s", runs[0]), Named("b", runs[1]), qrels, titles={})
    assert [d.query_id for d in found] == ["a", "b", "d", "c"]
    found = differences("", Named("s", runs[0]), Named("b", runs[1]), qrels, titles={}, each=1)
    assert [d.query_id for d in found] == ["a", "d"]
    assert found[0].ranks == (None, None)


def test_the_document_that_tells_is_the_one_whose_reciprocal_rank_differs_most():
    ours = Answered({}, {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {}, {"q": 1.0})
    theirs = Answered({}, {"q": {"b": 3.0, "c": 2.0}}, {}, {"q": 0.5})
    qrels = {"q": {"b": 1, "c": 1, "z": 1, "a": 0}}
    # b: 1/2 against 1; c: 1/3 against 1/2; z is found by neither; a is not relevant.
    assert telling_documents(Named("s", ours), Named("b", theirs), qrels) == {"b"}


def test_flops_are_the_products_a_pair_needs_on_average():
    # apple in both queries and half of the documents, fruit in one and in a quarter.
    shares = {"apple": 0.5, "fruit": 0.25}
    queries = [{"apple": 1.0, "fruit": 1.0}, {"apple": 1.0, "unknown": 1.0}]
    assert expected_products(queries, shares) == pytest.approx(1.0 * 0.5 + 0.5 * 0.25)
    assert expected_products([], shares) == 0.0
