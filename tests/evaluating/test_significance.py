"""Paired tests: by hand for few queries, beside scipy for many."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparse_ir.errors import ConfigError, InputError
from sparse_ir.evaluating.significance import compare_systems, holm


def system(values):
    return {f"q{i}": float(value) for i, value in enumerate(values)}


def compared(baseline, other, **options):
    return compare_systems(system(baseline), {"other": system(other)}, **options)["other"]


def random_pair(seed, n):
    rng = np.random.default_rng(seed)
    baseline = rng.random(n)
    return baseline, np.clip(baseline + rng.normal(0.03, 0.2, n), 0, 1)


def test_all_sixteen_sign_patterns_of_four_queries_are_counted():
    # Differences 1, 2, 3, 4 (tenths): only ++++ and ---- reach a sum of 10.
    assert compared([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]).p_value == pytest.approx(2 / 16)
    # 4 + 3 + 2 - 1 = 8: reached by the sums 10, 8, -8 and -10.
    assert compared([0.1, 0, 0, 0], [0, 0.2, 0.3, 0.4]).p_value == pytest.approx(4 / 16)
    # 1 + 4 - 2 - 3 = 0: every pattern reaches that.
    assert compared([0, 0.2, 0.3, 0], [0.1, 0, 0, 0.4]).p_value == 1.0


def test_equal_queries_do_not_change_the_randomisation_test():
    few = compared([0, 0, 0], [0.1, 0.2, 0.3])
    many = compared([0, 0, 0] + [0.5] * 40, [0.1, 0.2, 0.3] + [0.5] * 40)
    assert few.p_value == many.p_value == pytest.approx(2 / 8)
    assert (many.wins, many.ties, many.losses) == (3, 40, 0)


def test_difference_wins_ties_and_losses():
    found = compared([0.5, 0.5, 0.2, 0.0], [0.5, 1.0, 0.1, 1.0])
    assert found.difference == pytest.approx(1.4 / 4)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)


def test_a_difference_of_rounding_is_a_tie():
    found = compared([0.3], [0.1 + 0.2])
    assert (found.difference, found.ties) == (0.0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_randomisation_equals_scipy_s(seed):
    baseline, other = random_pair(seed, 12)
    expected = stats.permutation_test(
        (other, baseline),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert compared(baseline, other).p_value == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_drawn_randomisation_is_near_the_t_test_on_many_queries(seed):
    baseline, other = random_pair(seed, 400)
    drawn = compared(baseline, other).p_value
    assert drawn == pytest.approx(stats.ttest_rel(other, baseline).pvalue, abs=0.01)


def test_the_drawn_randomisation_is_near_the_exact_one():
    # 21 queries are drawn, 20 are counted; the last query changes next to nothing.
    baseline, other = random_pair(3, 20)
    exact = compared(baseline, other).p_value
    drawn = compared([*baseline, 0.5], [*other, 0.5 + 1e-9]).p_value
    assert drawn == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_the_t_test_equals_scipy_s(seed):
    baseline, other = random_pair(seed, 30)
    found = compared(baseline, other, test="t-test")
    assert found.p_value == pytest.approx(stats.ttest_rel(other, baseline).pvalue)


@pytest.mark.parametrize("test", ["randomisation", "t-test"])
@pytest.mark.parametrize("n", [8, 60])
def test_it_does_not_matter_which_system_is_the_baseline(test, n):
    baseline, other = random_pair(7, n)
    one, two = compared(baseline, other, test=test), compared(other, baseline, test=test)
    assert one.p_value == two.p_value
    assert one.difference == -two.difference
    assert (one.wins, one.losses) == (two.losses, two.wins)


def test_neither_repetition_nor_the_order_of_queries_changes_a_p_value():
    baseline, other = map(system, random_pair(1, 50))
    backwards = dict(reversed(other.items()))
    first = compare_systems(baseline, {"other": other})
    assert compare_systems(baseline, {"other": backwards}) == first


@pytest.mark.parametrize("test", ["randomisation", "t-test"])
def test_identical_systems_and_single_queries_are_never_significant(test):
    assert compared([0.1, 0.9, 0.5], [0.1, 0.9, 0.5], test=test).p_value == 1.0
    assert compared([0.1], [0.9], test=test).p_value == 1.0


def test_a_t_test_of_the_same_gain_everywhere_warns_of_nothing():
    assert compared([0.25, 0.5], [0.5, 0.75], test="t-test").p_value == 0.0


def test_no_drawn_p_value_is_zero():
    assert compared(np.zeros(100), np.ones(100)).p_value == pytest.approx(1 / 100_001)


def test_holm_by_hand():
    # By size: .01 x 4, .02 x 3, .03 x 2; .04 x 1 may not fall below the one before.
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.02})
    assert found == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_several_systems_are_corrected_for_their_number():
    baseline = system([0, 0, 0, 0, 0])
    others = {"better": system([0.1] * 5), "odd": system([0.1, 0, 0, 0, 0])}
    found = compare_systems(baseline, others)
    assert found["better"].p_value == pytest.approx(2 / 32)
    assert found["better"].corrected == pytest.approx(4 / 32)
    assert found["odd"].corrected == 1.0


def test_other_queries_are_refused_with_their_overlap():
    with pytest.raises(InputError, match="'b' has 2 queries and the baseline 2; 1 are in both"):
        compare_systems({"q1": 0.1, "q2": 0.2}, {"b": {"q2": 0.1, "q3": 0.2}})


def test_no_query_at_all_is_refused():
    with pytest.raises(InputError, match="no query"):
        compare_systems({}, {"b": {}})


def test_an_unknown_test_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean randomisation"):
        compare_systems({"q": 0.1}, {"b": {"q": 0.1}}, test="randomization")
