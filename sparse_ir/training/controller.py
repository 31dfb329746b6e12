"""How hard the regularisers press: at fixed weights, or as hard as a target of terms needs.

Lambda, the weight of a sparsity regulariser, is hard to set: what a value leaves of a vector
depends on the loss, the data, the batch and the backbone. ``SparsityController`` takes the mean
terms per text that are wanted and finds the lambdas while the model is trained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from sparse_ir.errors import ConfigError
from sparse_ir.training.collapse import CollapseAlarm
from sparse_ir.training.regularizers import warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDES = ("query", "document")


class Lambdas(Protocol):
    """The weights of the regularisers over a run.

    At every step the trainer asks for ``lambdas``, then reports what it measured. On several
    devices each is given the same measurements, of the global batch, and so answers the same.
    """

    def lambdas(self, step: int) -> tuple[float, float]:
        """The weight of the query and of the document regulariser at a step, counted from 0."""

    def observe(self, step: int, query_terms: float, document_terms: float) -> None:
        """Take the mean terms per text of the global batch at a step.

        Raises:
            TrainingError: the vectors have collapsed, to nothing or to all terms.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken.

        Raises:
            ConfigError: the state is of the other kind of lambdas.
        """


class FixedLambdas:
    """Lambdas that rise to given values and stay there.

    Args:
        query: Weight of the query regulariser after the warm-up, 0 or more.
        document: Weight of the document regulariser.
        vocabulary: Size of the vocabulary.
        steps: Steps of the whole run.
        warm_up_steps: Steps until the full weights; None: a third of the run.
        warm_up_kind: "linear" or "quadratic".

    Raises:
        ConfigError: a weight below 0, or an unknown kind of warm-up.
    """

    def __init__(
        self,
        query: float,
        document: float,
        *,
        vocabulary: int,
        steps: int,
        warm_up_steps: int | None = None,
        warm_up_kind: str = "quadratic",
    ) -> None:
        for name, value in zip(SIDES, (query, document), strict=True):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"lambda_{name} is {value}. Give a number, 0 or above.")
        self._values = (query, document)
        self._warm_up_steps = steps // 3 if warm_up_steps is None else warm_up_steps
        self._warm_up_kind = warm_up_kind
        warm_up(0, self._warm_up_steps, warm_up_kind)  # complains of an unknown kind now
        self._alarms = [
            _alarm(
                side,
                vocabulary,
                steps,
                self._warm_up_steps,
                sparser=f"a higher lambda_{side} or target_terms",
                denser=f"a lower lambda_{side} or a longer warm-up of it",
            )
            for side in SIDES
        ]

    def lambdas(self, step: int) -> tuple[float, float]:
        """The weight of the query and of the document regulariser at a step, counted from 0."""
        share = warm_up(step, self._warm_up_steps, self._warm_up_kind)
        return self._values[0] * share, self._values[1] * share

    def observe(self, step: int, query_terms: float, document_terms: float) -> None:
        """Watch for collapse only.

        Raises:
            TrainingError: the vectors have collapsed, to nothing or to all terms.
        """
        for alarm, terms in zip(self._alarms, (query_terms, document_terms), strict=True):
            alarm.observe(step, terms)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        states = zip(SIDES, self._alarms, strict=True)
        return {"kind": "fixed", **{side: alarm.state_dict() for side, alarm in states}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken.

        Raises:
            ConfigError: the state is a controller's.
        """
        _require_kind(state, "fixed")
        for side, alarm in zip(SIDES, self._alarms, strict=True):
            alarm.load_state_dict(state[side])


class SparsityController:
    """Finds the lambdas that give a wanted number of terms per query and document.

    Per side, log lambda is set by proportional-integral control of the error e = log(measured /
    wanted). Put as a rate: log lambda rises by gain · (e / horizon + change of e) a step, so it
    rests while the terms approach the target with the time constant ``horizon``, whatever
    lambda that takes; lambda is a factor, so a start off by a factor of 100 costs time, not
    stability. The measurement is smoothed over some steps; the error and the change of log lambda
    a step are bounded, as a model answers late and a lambda that ran ahead empties its vectors;
    log lambda itself is bounded, so that far below the target it falls to 0 and still comes back.
    During the warm-up it can fall, not rise: the terms do not yet answer to the full weight.

    Args:
        query: Wanted mean terms per query; None leaves queries alone (lambda 0).
        document: Wanted mean terms per document; None leaves documents alone.
        vocabulary: Size of the vocabulary.
        steps: Steps of the whole run; the control is as quick as it has to be for them.
        start: Lambda at the end of the warm-up, if nothing has been learnt by then.
        warm_up_steps: Steps until the full weight; None: a twentieth of the run.
        warm_up_kind: "linear" or "quadratic".

    Raises:
        ConfigError: a target that is not above 0 or more than the vocabulary, a start that is not
            above 0, or an unknown kind of warm-up.
    """

    def __init__(
        self,
        query: float | None,
        document: float | None,
        *,
        vocabulary: int,
        steps: int,
        start: float = 1e-3,
        warm_up_steps: int | None = None,
        warm_up_kind: str = "quadratic",
    ) -> None:
        if not (math.isfinite(start) and start > 0):
            raise ConfigError(f"The starting lambda is {start}. Give a number above 0.")
        self._warm_up_steps = steps // 20 if warm_up_steps is None else warm_up_steps
        self._warm_up_kind = warm_up_kind
        warm_up(0, self._warm_up_steps, warm_up_kind)  # complains of an unknown kind now
        self._sides: dict[str, _Side] = {}
        self._alarms: dict[str, CollapseAlarm] = {}
        for side, target in zip(SIDES, (query, document), strict=True):
            if target is None:
                continue
            if not 0 < target <= vocabulary:
                raise ConfigError(
                    f"target_terms.{side} is {target}. Give a number above 0 and at most "
                    f"{vocabulary}, the size of the vocabulary."
                )
            self._sides[side] = _Side(target, steps, start)
            self._alarms[side] = _alarm(
                side,
                vocabulary,
                steps,
                self._warm_up_steps,
                sparser="a higher starting lambda",
                denser=f"a higher target_terms.{side}, a lower starting lambda or a longer warm-up",
            )

    def lambdas(self, step: int) -> tuple[float, float]:
        """The weight of the query and of the document regulariser at a step, counted from 0."""
        share = warm_up(step, self._warm_up_steps, self._warm_up_kind)
        query, document = (self._sides.get(side) for side in SIDES)
        return (
            query.value * share if query else 0.0,
            document.value * share if document else 0.0,
        )

    def observe(self, step: int, query_terms: float, document_terms: float) -> None:
        """Take the mean terms per text of the global batch at a step, and move the lambdas.

        Raises:
            TrainingError: the vectors have collapsed, to nothing or to all terms.
        """
        for name, terms in zip(SIDES, (query_terms, document_terms), strict=True):
            if name in self._sides:
                self._alarms[name].observe(step, terms)
                self._sides[name].observe(terms, rising=step >= self._warm_up_steps)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {
            "kind": "controller",
            **{
                name: {**side.state_dict(), **self._alarms[name].state_dict()}
                for name, side in self._sides.items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken.

        Raises:
            ConfigError: the state is of fixed lambdas.
        """
        _require_kind(state, "controller")
        for name, side in self._sides.items():
            if name in state:
                side.load_state_dict(state[name])
                self._alarms[name].load_state_dict(state[name])


class _Side:
    """The control of one side's lambda. All times are in steps."""

    GAIN = 2.5
    LOWEST_GAIN = 1.0
    SWING = 0.2  # an error on both sides of the target, in turn, that means: too much gain
    FALL = math.log(1e4)  # lambda below its start by more than this factor is 0
    RISE = math.log(1e7)  # and it rises by no more than this one
    LARGEST_ERROR = 1.0  # further off than a factor of e is no reason to hurry more

    def __init__(self, target: float, steps: int, start: float) -> None:
        self._target = target
        self._centre = math.log(start)
        self._horizon = min(max(steps / 15, 15.0), 400.0)
        self._share = 1 / min(max(steps / 60, 4.0), 30.0)  # of the newest in the smoothed terms
        self._largest_change = max(math.log(100) * 20 / steps, math.log(100) / 400)
        self._log = self._centre
        self._gain = self.GAIN
        self._side = 0
        self._sum = 0.0
        self._sum_of_shares = 0.0
        self._error: float | None = None

    @property
    def value(self) -> float:
        """Lambda after the warm-up."""
        return math.exp(self._log) if self._log > self._centre - self.FALL else 0.0

    def observe(self, terms: float, *, rising: bool) -> None:
        terms = max(terms, self._target / 100)  # no terms: far below, and a logarithm all the same
        self._sum += self._share * (terms - self._sum)
        self._sum_of_shares += self._share * (1 - self._sum_of_shares)
        error = math.log(self._sum / self._sum_of_shares / self._target)
        change = error - (error if self._error is None else self._error)
        self._error = error
        bounded = max(-self.LARGEST_ERROR, min(self.LARGEST_ERROR, error))
        if abs(error) > self.SWING:
            side = 1 if error > 0 else -1
            if side == -self._side:
                self._gain = max(self.LOWEST_GAIN, self._gain * 0.8)
            self._side = side
        move = self._gain * (bounded / self._horizon + change)
        move = max(-self._largest_change, min(self._largest_change if rising else 0.0, move))
        low, high = self._centre - self.FALL, self._centre + self.RISE
        self._log = max(low, min(high, self._log + move))

    def state_dict(self) -> dict[str, Any]:
        return {
            "log_lambda": self._log,
            "sum": self._sum,
            "sum_of_shares": self._sum_of_shares,
            "error": self._error,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._log = float(state["log_lambda"])
        self._sum = float(state["sum"])
        self._sum_of_shares = float(state["sum_of_shares"])
        self._error = None if state["error"] is None else float(state["error"])


def _alarm(
    side: str, vocabulary: int, steps: int, warm_up_steps: int, *, sparser: str, denser: str
) -> CollapseAlarm:
    return CollapseAlarm(
        side,
        vocabulary=vocabulary,
        after=warm_up_steps,
        zero_steps=min(max(20, steps // 50), 200),
        dense_steps=max(100, steps // 4),
        sparser=sparser,
        denser=denser,
    )


def _require_kind(state: Mapping[str, Any], kind: str) -> None:
    if state.get("kind") != kind:
        raise ConfigError(
            f"The checkpoint was made with {_NAMES.get(state.get('kind', ''), 'other lambdas')}, "
            f"this run has {_NAMES[kind]}. Resume with the settings it was started with."
        )


_NAMES = {"fixed": "fixed lambdas", "controller": "target_terms"}
