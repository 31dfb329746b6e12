"""Quality gates: the least that a metric must reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.errors import ConfigError, VerificationError
from sparse_ir.evaluating.metrics import check_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ROUNDING = 1e-9  # a mean that should be the bound itself may miss it by so much


class Bound(NamedTuple):
    """What a metric must reach.

    Attributes:
        metric: As ``score_run`` takes it.
        lowest: The least mean that will do, from 0 to 1.
    """

    metric: str
    lowest: float


def parse_bounds(texts: Iterable[str]) -> tuple[Bound, ...]:
    """Read bounds such as "ndcg@10=0.45", each text one or several with commas between.

    Raises:
        ConfigError: a text of another form, an unknown metric, a number that is not from 0 to 1.
    """
    written = [part.strip() for text in texts for part in text.split(",")]
    return tuple(_parse(part) for part in written if part)


def with_bounds(metrics: Sequence[str], bounds: Iterable[Bound]) -> tuple[str, ...]:
    """Add the bounds' metrics to those that are asked for anyway."""
    return tuple(dict.fromkeys([*metrics, *(bound.metric for bound in bounds)]))


def require_bounds(mean: Mapping[str, float], bounds: Iterable[Bound]) -> None:
    """Check that every metric reaches its bound.

    Args:
        mean: Metric -> mean, with every bound's metric.
        bounds: What must be reached.

    Raises:
        VerificationError: some do not; the message names each with its value and bound.
    """
    missed = [bound for bound in bounds if mean[bound.metric] < bound.lowest - _ROUNDING]
    if missed:
        told = "; ".join(
            f"{metric} is {_shown(mean[metric], lowest)}, below {lowest:g}"
            for metric, lowest in missed
        )
        raise VerificationError(f"the quality gate failed: {told}.")


def _parse(text: str) -> Bound:
    metric, equals, written = (part.strip() for part in text.partition("="))
    if not equals or not metric or not written:
        raise ConfigError(f"{text!r} is no bound. Write METRIC=VALUE, as in ndcg@10=0.45.")
    check_metrics([metric])
    try:
        lowest = float(written)
    except ValueError:
        raise ConfigError(f"{text!r}: the bound {written!r} is not a number.") from None
    if not 0 <= lowest <= 1:
        raise ConfigError(f"{text!r}: metrics go from 0 to 1, and so must the bound.")
    return Bound(metric, lowest)


def _shown(value: float, lowest: float) -> str:
    """With as many digits as it takes to see that it is lower."""
    digits = 4
    while digits < 10 and float(f"{value:.{digits}f}") >= lowest:
        digits += 1
    return f"{value:.{digits}f}"
