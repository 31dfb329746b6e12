"""Is one system better than another, or were these queries kind to it: paired tests.

The tests are our own few lines. ranx's randomisation test seeds one of its threads only, so its
p-value changes from run to run, and it counts no exact small cases; scipy's tests take half a
second to import and warn where all differences are equal. Tests compare both with scipy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

ROUNDS = 100_000  # as many as Smucker et al.; the error of a p-value near 0.05 is then 0.0007
_EXACT_QUERIES = 20  # at most so many differences are tried with all their signs: 2^20 sums, 8 MB
_CELLS = 4_000_000  # random signs at a time: 32 MB of doubles
_EQUAL = 1e-12  # figures that are closer differ by the order of summation only


class Comparison(NamedTuple):
    """A system beside the baseline, over the same queries.

    Attributes:
        difference: Mean of the system's values less the baseline's.
        p_value: How likely chance alone gives a difference as large, either way.
        corrected: The p-value after Holm's correction for the number of comparisons.
        wins: Queries where the system is better.
        ties: Queries where both are equal.
        losses: Queries where the baseline is better.
    """

    difference: float
    p_value: float
    corrected: float
    wins: int
    ties: int
    losses: int


def compare_systems(
    baseline: Mapping[str, float],
    others: Mapping[str, Mapping[str, float]],
    *,
    test: str = "randomisation",
) -> dict[str, Comparison]:
    """Compare systems with a baseline, query by query.

    "randomisation" is Fisher's test, two-sided: how often does the mean difference get as large
    when each query's two values are swapped by the toss of a coin? Up to 20 differing queries all
    outcomes are counted, beyond them 100,000 are drawn, the same ones every time. It assumes
    nothing about the values (Smucker et al., 2007, https://doi.org/10.1145/1321440.1321528).
    "t-test" is Student's paired test. Equal values, or a single query, give 1.

    Args:
        baseline: query_id -> value.
        others: System -> query_id -> value, over the same queries.
        test: "randomisation" or "t-test".

    Raises:
        ConfigError: an unknown test.
        InputError: no queries, or others than the baseline's.
    """
    p_value_of = _TESTS[require_test(test)]
    if not baseline:
        raise InputError("there is no query to compare the systems on.")
    differences = {name: _differences(baseline, name, values) for name, values in others.items()}
    p_values = {name: p_value_of(d) for name, d in differences.items()}
    corrected = holm(p_values)
    return {
        name: Comparison(
            difference=float(d.mean()),
            p_value=p_values[name],
            corrected=corrected[name],
            wins=int((d > 0).sum()),
            ties=int((d == 0).sum()),
            losses=int((d < 0).sum()),
        )
        for name, d in differences.items()
    }


def require_test(test: str) -> str:
    """Return the name of a test that there is.

    Raises:
        ConfigError: there is no such test.
    """
    if test not in _TESTS:
        raise ConfigError(
            f"there is no test {test!r}.{nearest(test, _TESTS)} Use {TESTS_IN_WORDS}."
        )
    return test


def holm(p_values: Mapping[Any, float]) -> dict[Any, float]:
    """Correct p-values for their number, after Holm (1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none comes out below one
    that was smaller, or above 1. Of values so corrected, those up to 0.05 hold an error with a
    probability of 0.05 in all.
    """
    corrected: dict[Any, float] = {}
    highest = 0.0
    for i, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - i)))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}


def _differences(
    baseline: Mapping[str, float], name: str, values: Mapping[str, float]
) -> NDArray[Any]:
    """Per query, in an order that does not depend on that of the mappings."""
    if baseline.keys() != values.keys():
        shared = baseline.keys() & values.keys()
        example = min(baseline.keys() ^ values.keys())
        raise InputError(
            f"{name!r} has {len(values):,} queries and the baseline {len(baseline):,}; "
            f"{len(shared):,} are in both, {example!r} is not. Score them on the same queries."
        )
    both = np.array([(values[q], baseline[q]) for q in sorted(baseline)], dtype=np.float64)
    difference = both[:, 0] - both[:, 1]
    difference[np.abs(difference) <= _EQUAL] = 0.0
    return np.asarray(difference)


def _randomisation(differences: NDArray[Any]) -> float:
    changed = np.abs(differences[differences != 0])
    if not changed.size:
        return 1.0
    total = changed.sum()
    # A sum that should equal the observed one may miss it by rounding.
    reached = abs(differences.sum()) - 1e-10 * total
    if changed.size <= _EXACT_QUERIES:
        sums = np.zeros(1)
        for value in changed:
            sums = np.concatenate((sums - value, sums + value))
        return float((np.abs(sums) >= reached).mean())
    rng = np.random.default_rng(0)
    at_once = max(1, _CELLS // changed.size)
    as_large = 0
    for done in range(0, ROUNDS, at_once):
        rounds = min(at_once, ROUNDS - done)
        bits = np.frombuffer(rng.bytes(rounds * ((changed.size + 7) // 8)), dtype=np.uint8)
        swapped = np.unpackbits(bits.reshape(rounds, -1), axis=1, count=changed.size)
        sums = total - 2 * (swapped @ changed)
        as_large += int((np.abs(sums) >= reached).sum())
    # The observed outcome is one of those that chance can give: never 0.
    return (as_large + 1) / (ROUNDS + 1)


def _t_test(differences: NDArray[Any]) -> float:
    n = differences.size
    if n < 2 or not differences.any():
        return 1.0
    mean, deviation = differences.mean(), differences.std(ddof=1)
    if deviation <= _EQUAL:
        return 0.0  # the same gain everywhere: t is infinite
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (deviation / np.sqrt(n))))


_TESTS: dict[str, Callable[[NDArray[Any]], float]] = {
    "randomisation": _randomisation,
    "t-test": _t_test,
}
TESTS_IN_WORDS = " or ".join(_TESTS)
