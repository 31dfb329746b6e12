"""Batches: what they promise, dot products, exact top k."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.vectors import (
    concatenate,
    from_terms,
    make_batch,
    scores,
    select,
    to_terms,
    top_k,
    vocabulary_hash,
)

COLUMNS = {"apple": 0, "pear": 1, "plum": 2}
VOCABULARY = list(COLUMNS)

vectors = st.lists(
    st.dictionaries(st.sampled_from(VOCABULARY), st.floats(0.125, 8, width=16), max_size=3),
    min_size=1,
    max_size=6,
)


def test_terms_go_in_and_come_out_the_same():
    terms = [{"apple": 1.0, "plum": 0.5}, {}, {"pear": 2.0}]
    assert list(to_terms(from_terms(terms, COLUMNS), VOCABULARY)) == terms


def test_terms_outside_the_vocabulary_are_left_out():
    assert list(to_terms(from_terms([{"kiwi": 1.0, "pear": 2.0}], COLUMNS), VOCABULARY)) == [
        {"pear": 2.0}
    ]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_and_positive_is_refused_by_name(weight):
    with pytest.raises(ValueError, match="'d2'"):
        make_batch(["d1", "d2"], np.array([[1.0, 0.0], [weight, 1.0]]))


def test_as_many_ids_as_rows():
    with pytest.raises(ValueError, match="1 ids for 2 vectors"):
        make_batch(["d1"], np.eye(2))


def test_scores_are_dot_products():
    queries = from_terms([{"apple": 2.0, "pear": 1.0}], COLUMNS)
    documents = from_terms([{"apple": 3.0}, {"pear": 4.0, "plum": 9.0}, {"plum": 1.0}], COLUMNS)
    assert scores(queries, documents).tolist() == [[6.0, 4.0, 0.0]]


def test_top_k_leaves_out_documents_that_share_no_term():
    queries = from_terms([{"apple": 1.0}], COLUMNS)
    documents = from_terms([{"apple": 1.0}, {"plum": 1.0}], COLUMNS, ids=["a", "b"])
    assert top_k(queries, documents, 10) == [[("a", 1.0)]]


def test_top_k_orders_ties_by_id_also_at_the_cut():
    queries = from_terms([{"apple": 1.0}], COLUMNS)
    documents = from_terms([{"apple": 1.0}] * 3, COLUMNS, ids=["c", "a", "b"])
    assert top_k(queries, documents, 2) == [[("a", 1.0), ("b", 1.0)]]


def test_k_below_one_is_a_mistake():
    batch = from_terms([{"apple": 1.0}], COLUMNS)
    with pytest.raises(ValueError, match="at least 1"):
        top_k(batch, batch, 0)


@given(vectors, vectors, st.integers(1, 4))
def test_top_k_is_the_head_of_the_sorted_scores(queries, documents, k):
    q = from_terms(queries, COLUMNS)
    d = from_terms(documents, COLUMNS)
    for row, found in zip(scores(q, d), top_k(q, d, k), strict=True):
        expected = sorted(
            ((i, s) for i, s in zip(d.ids, row.tolist(), strict=True) if s > 0),
            key=lambda hit: (-hit[1], hit[0]),
        )
        assert found == expected[:k]


def test_concatenate_and_select_keep_ids_beside_their_rows():
    first = from_terms([{"apple": 1.0}], COLUMNS, ids=["a"])
    second = from_terms([{"pear": 2.0}, {}], COLUMNS, ids=["b", "c"])
    both = concatenate([first, second])
    assert both.ids == ("a", "b", "c")
    assert list(to_terms(select(both, [2, 1]), VOCABULARY)) == [{}, {"pear": 2.0}]
    assert select(both, [2, 1]).ids == ("c", "b")


def test_vocabulary_hash_tells_where_one_term_ends():
    assert vocabulary_hash(["ab", "c"]) != vocabulary_hash(["a", "bc"])
