"""Pruning: which terms stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import ConfigError
from sparse_ir.pruning import (
    Pruning,
    both_prunings,
    keep_mass,
    keep_ratio,
    keep_top_terms,
    parse_pruning,
    prune,
    pruned_further,
)
from sparse_ir.vectors import from_terms, to_terms

VOCABULARY = ["a", "b", "c", "d"]
COLUMNS = {term: i for i, term in enumerate(VOCABULARY)}


def pruned(function, vectors, value):
    return list(to_terms(function(from_terms(vectors, COLUMNS), value), VOCABULARY))


def test_top_terms_keeps_the_heaviest_of_every_row():
    vectors = [{"a": 1.0, "b": 3.0, "c": 2.0}, {}, {"d": 1.0}]
    assert pruned(keep_top_terms, vectors, 2) == [{"b": 3.0, "c": 2.0}, {}, {"d": 1.0}]


def test_top_terms_prefers_the_lower_column_among_equals():
    assert pruned(keep_top_terms, [{"c": 1.0, "a": 1.0, "b": 1.0}], 2) == [{"a": 1.0, "b": 1.0}]


def test_mass_keeps_the_fewest_terms_that_hold_the_share():
    # 4 of 8 is half already; 6 of 8 is needed for three quarters.
    vector = {"a": 4.0, "b": 2.0, "c": 1.0, "d": 1.0}
    assert pruned(keep_mass, [vector], 0.5) == [{"a": 4.0}]
    assert pruned(keep_mass, [vector], 0.75) == [{"a": 4.0, "b": 2.0}]
    assert pruned(keep_mass, [vector], 1.0) == [vector]


def test_mass_is_a_share_of_the_row_and_not_of_the_rows_before_it():
    vectors = [{"a": 8.0, "b": 8.0}, {}, {"a": 1.0, "b": 3.0, "c": 4.0}]
    assert pruned(keep_mass, vectors, 0.5) == [{"a": 8.0}, {}, {"c": 4.0}]
    assert pruned(keep_mass, vectors, 0.8) == [vectors[0], {}, {"b": 3.0, "c": 4.0}]
    assert pruned(keep_mass, [{}], 0.5) == [{}]


def test_fewer_than_one_term_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        pruned(keep_top_terms, [{"a": 1.0}], 0)


def test_ratio_compares_with_the_largest_weight_of_the_same_row():
    vectors = [{"a": 10.0, "b": 1.0, "c": 0.5}, {"a": 1.0, "b": 0.5}]
    assert pruned(keep_ratio, vectors, 0.1) == [{"a": 10.0, "b": 1.0}, {"a": 1.0, "b": 0.5}]


def test_every_rule_that_is_set_applies():
    batch = from_terms([{"a": 4.0, "b": 2.0, "c": 1.0, "d": 1.0}], COLUMNS)
    rule = Pruning(top_k=3, mass=0.99, ratio=0.3)
    assert list(to_terms(prune(batch, rule), VOCABULARY)) == [{"a": 4.0, "b": 2.0}]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(VOCABULARY), st.floats(0.125, 8, width=16)), max_size=5
    ),
    st.integers(1, 4),
)
def test_pruning_never_changes_a_weight_that_stays(vectors, k):
    for before, after in zip(vectors, pruned(keep_top_terms, vectors, k), strict=True):
        assert len(after) == min(k, len(before))
        assert all(before[term] == weight for term, weight in after.items())
        dropped = [w for term, w in before.items() if term not in after]
        assert not dropped or max(dropped) <= min(after.values())


def test_text_and_rules_say_the_same():
    assert parse_pruning("top_k=128, ratio=0.1") == Pruning(top_k=128, ratio=0.1)
    assert str(Pruning(top_k=128, ratio=0.1)) == "top_k=128,ratio=0.1"
    assert parse_pruning("") == Pruning()


@pytest.mark.parametrize(
    "text",
    [
        "top_k=0",
        "top_k=1.5",
        "mass=0",
        "mass=1.2",
        "ratio=-1",
        "ratio=1.5",
        "topk=3",
        "mass",
        "top_k=1=2",
    ],
)
def test_a_wrong_rule_is_one_clear_line(text):
    with pytest.raises(ConfigError, match="pruning"):
        parse_pruning(text)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("", "top_k=2", "top_k=2"),
        ("top_k=2", "", "top_k=2"),
        ("mass=0.9", "mass=0.9", "mass=0.9"),
        ("top_k=3", "top_k=2", "top_k=2"),
        ("top_k=2", "top_k=2", "top_k=2"),
        ("top_k=1", "", "top_k=1"),
        ("ratio=0.2", "ratio=0.2", "ratio=0.2"),
        ("ratio=0.2", "top_k=2", "top_k=2,ratio=0.2"),
        ("mass=0.9", "top_k=2", "top_k=2,mass=0.9"),
        ("ratio=0.1", "mass=0.9", "mass=0.9,ratio=0.1"),
        ("ratio=0.1", "ratio=0.2", "ratio=0.2"),
        ("top_k=2", "top_k=3", None),  # more than is left
        ("ratio=0.2", "ratio=0.1", None),
        ("mass=0.9", "mass=0.8", None),  # a share of a sum that is gone
        ("top_k=2", "mass=0.8", None),
        ("mass=0.9", "ratio=0.1", None),
    ],
)
def test_two_prunings_after_one_another_are_one_or_a_contradiction(first, second, both):
    found = both_prunings(parse_pruning(first), parse_pruning(second))
    assert (None if found is None else str(found)) == both


def test_what_was_done_already_is_not_done_again():
    done = Pruning(top_k=2, mass=0.5, ratio=0.1)
    assert pruned_further(done, done) == Pruning()
    assert pruned_further(Pruning(top_k=1, mass=0.5), done) == Pruning(top_k=1)


def test_the_ends_of_each_range_are_allowed():
    assert parse_pruning("mass=1,ratio=0") == Pruning(mass=1.0, ratio=0.0)
    assert parse_pruning("ratio=1") == Pruning(ratio=1.0)


RULES = st.builds(
    Pruning,
    top_k=st.none() | st.integers(1, 4),
    mass=st.none() | st.sampled_from([0.5, 0.8]),
    ratio=st.none() | st.sampled_from([0.2, 0.5]),
)


@given(
    st.dictionaries(st.sampled_from(VOCABULARY), st.integers(1, 9).map(float), min_size=1),
    RULES,
    RULES,
)
def test_vectors_pruned_further_equal_vectors_pruned_by_both_at_once(vector, first, second):
    both = both_prunings(first, second)
    if both is not None:
        batch = from_terms([vector], COLUMNS)
        further = prune(prune(batch, first), pruned_further(both, first))
        assert further.weights.toarray().tolist() == prune(batch, both).weights.toarray().tolist()
