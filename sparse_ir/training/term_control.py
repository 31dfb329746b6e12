"""Steering one lambda so that texts come to have a wanted number of terms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class TermControl:
    """Proportional-integral control of log lambda by the error e = log(measured / wanted).

    Put as a rate, log lambda moves by gain · (e / horizon + change of e) a step: it rests while the
    terms approach the target with the time constant ``horizon``, whatever lambda that takes. A
    start off by a factor of 100 costs time, not stability. What keeps it steady:

    - The measurement is a running mean. The error that drives, and a step's move, are bounded.
    - A model answers late, and slowly where the optimiser limits its steps. While the terms are
      far above the target and already falling fast enough, lambda does not rise (it would run
      ahead of them and empty the vectors).
    - Swings across the target mean that this model answers strongly: they lower the gain.
    - Log lambda is bounded. Far below the target lambda falls to 0, and comes back.

    All times are in steps and scale with the length of the run.

    Args:
        target: Wanted mean terms per text, above 0.
        steps: Steps of the whole run.
        start: Lambda to begin with, above 0.
    """

    GAIN, LOWEST_GAIN = 2.5, 1.0
    LARGEST_ERROR = 0.7
    SWING = 0.2  # an error beyond it on both sides in turn is a swing; noise stays within it
    PATIENCE = 1.5  # terms that reach the target within so many horizons fall fast enough
    FALL = math.log(1e4)  # lambda below its start by this factor is 0
    RISE = math.log(1e7)

    def __init__(self, target: float, *, steps: int, start: float) -> None:
        self._target = target
        self._first = math.log(start)
        # A fifteenth of a short run; less of a long one, whose model has the time to answer.
        self._horizon = min(max(steps / 15, 20.0), 65.0 + steps / 60, 250.0)
        self._share = 1 / min(max(steps / 60, 4.0), 30.0)  # of the newest in a running mean
        self._largest_move = max(math.log(100) * 20 / steps, 0.1)
        self._log_lambda = self._first
        self._gain = self.GAIN
        self._above = 0.0  # 1 after an error above SWING, -1 after one below
        self._sum = self._sum_of_shares = 0.0
        self._error: float | None = None
        self._slope = 0.0  # running mean of the change of the error

    @property
    def value(self) -> float:
        """Lambda."""
        return math.exp(self._log_lambda) if self._log_lambda > self._first - self.FALL else 0.0

    def observe(self, terms: float, *, may_rise: bool = True) -> None:
        """Take the mean terms per text at a step, and move lambda."""
        change = self._measure(terms)
        error = self._error or 0.0
        if abs(error) > self.SWING:
            above = math.copysign(1.0, error)
            if above == -self._above:
                self._gain = max(self.LOWEST_GAIN, self._gain * 0.8)
            self._above = above
            if 0 < error < -self._slope * self.PATIENCE * self._horizon:
                may_rise = False
        bounded = max(-self.LARGEST_ERROR, min(self.LARGEST_ERROR, error))
        move = self._gain * (bounded / self._horizon + change)
        move = max(-self._largest_move, min(self._largest_move if may_rise else 0.0, move))
        low, high = self._first - self.FALL, self._first + self.RISE
        self._log_lambda = max(low, min(high, self._log_lambda + move))

    def _measure(self, terms: float) -> float:
        """Update the error; return its change."""
        terms = max(terms, self._target / 100)  # no term at all has no logarithm
        self._sum += self._share * (terms - self._sum)
        self._sum_of_shares += self._share * (1 - self._sum_of_shares)
        error = math.log(self._sum / self._sum_of_shares / self._target)
        change = 0.0 if self._error is None else error - self._error
        self._error = error
        self._slope += self._share * (change - self._slope)
        return change

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as JSON values."""
        return {
            "log_lambda": self._log_lambda,
            "gain": self._gain,
            "above": self._above,
            "sum": self._sum,
            "sum_of_shares": self._sum_of_shares,
            "error": self._error,
            "slope": self._slope,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken."""
        self._log_lambda, self._gain = float(state["log_lambda"]), float(state["gain"])
        self._above, self._slope = float(state["above"]), float(state["slope"])
        self._sum, self._sum_of_shares = float(state["sum"]), float(state["sum_of_shares"])
        self._error = None if state["error"] is None else float(state["error"])
