"""The alarm for vectors that have become all zero, or never stop being all dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping


class CollapseAlarm:
    """Counts the steps in a row at which one side's vectors were empty, or dense.

    Vectors are dense with more terms than half of the vocabulary. That is normal for a model fresh
    from pretraining, so it counts after the warm-up only, and for longer.

    Args:
        side: "query" or "document", for the message.
        vocabulary: Size of the vocabulary.
        after: Steps at which dense vectors are not counted yet (the warm-up).
        zero_steps: Steps in a row without any term that raise the alarm.
        dense_steps: Steps in a row with dense vectors that raise it.
        sparser: What the user can do for sparser vectors, as a clause.
        denser: What the user can do for denser ones.
    """

    def __init__(
        self,
        side: str,
        *,
        vocabulary: int,
        after: int,
        zero_steps: int,
        dense_steps: int,
        sparser: str,
        denser: str,
    ) -> None:
        self.side = side
        self._vocabulary = vocabulary
        self._after = after
        self._limits = (zero_steps, dense_steps)
        self._advice = (denser, sparser)
        self._zero = 0
        self._dense = 0

    def observe(self, step: int, terms: float) -> None:
        """Take the mean terms per text of one step.

        Raises:
            TrainingError: the vectors have collapsed; it says how and what to do.
        """
        self._zero = self._zero + 1 if terms == 0 else 0
        dense = step >= self._after and terms > self._vocabulary / 2
        self._dense = self._dense + 1 if dense else 0
        denser, sparser = self._advice
        if self._zero >= self._limits[0]:
            raise TrainingError(
                f"Step {step}: {self.side} vectors have had no term at all for {self._zero} steps, "
                "and a model cannot learn from empty vectors. Start again (--replace) with a lower "
                f"learning rate, and {denser}."
            )
        if self._dense >= self._limits[1]:
            raise TrainingError(
                f"Step {step}: {self.side} vectors have held {terms:.0f} terms, more than half of "
                f"the vocabulary ({self._vocabulary}), for {self._dense} steps. Start again "
                f"(--replace) with a lower learning rate, and {sparser}; some backbones (RoBERTa) "
                "need a head that starts sparse."
            )

    def state_dict(self) -> dict[str, Any]:
        """The counts, as JSON values."""
        return {"zero": self._zero, "dense": self._dense}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the counts of ``state_dict``."""
        self._zero, self._dense = int(state["zero"]), int(state["dense"])
