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
from sparse_ir.training.term_control import TermControl

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

    Each side has its ``TermControl``. During the warm-up a lambda can fall, not rise: the terms do
    not yet answer to its full weight.

    Args:
        query: Wanted mean terms per query; None leaves queries alone (lambda 0).
        document: Wanted mean terms per document; None leaves documents alone.
        vocabulary: Size of the vocabulary.
        steps: Steps of the whole run; the control is as quick as it has to be for them.
        start: The lambdas of query and document that the control begins with.
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
        start: tuple[float, float] = (0.01, 0.01),
        warm_up_steps: int | None = None,
        warm_up_kind: str = "quadratic",
    ) -> None:
        self._warm_up_steps = steps // 20 if warm_up_steps is None else warm_up_steps
        self._warm_up_kind = warm_up_kind
        warm_up(0, self._warm_up_steps, warm_up_kind)  # complains of an unknown kind now
        self._sides: dict[str, TermControl] = {}
        self._alarms: dict[str, CollapseAlarm] = {}
        for side, target, first in zip(SIDES, (query, document), start, strict=True):
            if target is None:
                continue
            if not (math.isfinite(first) and first > 0):
                raise ConfigError(f"lambda_{side} starts at {first}. Give a number above 0.")
            if not 0 < target <= vocabulary:
                raise ConfigError(
                    f"target_terms.{side} is {target}. Give a number above 0 and at most "
                    f"{vocabulary}, the size of the vocabulary."
                )
            self._sides[side] = TermControl(target, steps=steps, start=first)
            self._alarms[side] = _alarm(
                side,
                vocabulary,
                steps,
                self._warm_up_steps,
                sparser=f"a higher starting lambda_{side}",
                denser=f"a higher target_terms.{side} or a lower starting lambda_{side}",
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
                self._sides[name].observe(terms, may_rise=step >= self._warm_up_steps)

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


def _alarm(
    side: str, vocabulary: int, steps: int, warm_up_steps: int, *, sparser: str, denser: str
) -> CollapseAlarm:
    return CollapseAlarm(
        side,
        vocabulary=vocabulary,
        after=warm_up_steps,
        zero_steps=min(max(20, steps // 50), 200),
        dense_steps=max(100, steps // 3),
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
