"""Quality gates say which metric missed which bound."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ConfigError, VerificationError
from sparse_ir.evaluating.bounds import Bound, parse_bounds, require_bounds, with_bounds


def test_bounds_are_read_from_several_texts_and_between_commas():
    expected = (Bound("ndcg@10", 0.45), Bound("mrr@10", 0.3), Bound("map", 1.0))
    assert parse_bounds(["ndcg@10=0.45, mrr@10=.3", "map=1"]) == expected
    assert parse_bounds([]) == ()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ndcg@10", "Write METRIC=VALUE"),
        ("=0.4", "Write METRIC=VALUE"),
        ("ndcg@10=", "Write METRIC=VALUE"),
        ("ndgc@10=0.4", "Did you mean ndcg?"),
        ("ndcg@10=much", "'much' is not a number"),
        ("ndcg@10=45", "from 0 to 1"),
        ("ndcg@10=nan", "from 0 to 1"),
        ("ndcg@10>=0.4", "is not a metric"),
    ],
)
def test_what_is_no_bound_is_refused(text, part):
    with pytest.raises(ConfigError) as caught:
        parse_bounds([text])
    assert part in str(caught.value)


def test_metrics_of_bounds_are_added_once():
    bounds = parse_bounds(["map=0.1,ndcg@10=0.2"])
    assert with_bounds(["ndcg@10", "mrr@10"], bounds) == ("ndcg@10", "mrr@10", "map")


def test_every_missed_bound_is_named_with_its_value():
    bounds = [Bound("ndcg@10", 0.45), Bound("mrr@10", 0.3), Bound("map", 0.5)]
    with pytest.raises(VerificationError) as caught:
        require_bounds({"ndcg@10": 0.43211, "mrr@10": 0.3, "map": 0.499999}, bounds)
    assert "ndcg@10 is 0.4321, below 0.45; map is 0.499999, below 0.5" in str(caught.value)


def test_a_mean_that_is_the_bound_but_for_rounding_will_do():
    require_bounds({"ndcg@10": (0.45 + 0.45 + 0.45) / 3 - 1e-16}, [Bound("ndcg@10", 0.45)])
