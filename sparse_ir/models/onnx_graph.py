"""A masked LM with its pooling as one module, which can be traced and exported whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.models.layouts import SpladeLayout


class PooledTerms(nn.Module):
    """Token ids to term weights: the model, its head, pooling, activation and what is dropped.

    It builds batch x tokens x vocabulary, as the formats it is exported to know no other way.
    """

    kept: Tensor
    ignored: Tensor

    def __init__(
        self,
        model: Any,
        layout: SpladeLayout,
        *,
        size: int,
        dropped_positions: Sequence[int],
        dropped_columns: Sequence[int],
        terms: int = 0,
    ) -> None:
        """Wrap a model.

        Args:
            model: A transformers masked LM in float32, in evaluation mode.
            layout: How its logits become weights.
            size: Columns of its logits.
            dropped_positions: Token ids that give no weight to any term.
            dropped_columns: Term ids that are never weighed.
            terms: Keep at most so many of the heaviest terms; 0 for all.
        """
        super().__init__()
        self.model = model
        self._sums = layout.pooling == "sum"
        self._twice = layout.activation == "log1p_log1p"
        self._terms = terms if terms < size else 0
        kept = torch.ones(size)
        kept[list(dropped_columns)] = 0.0
        self.register_buffer("kept", kept)
        self.register_buffer("ignored", torch.tensor(list(dropped_positions), dtype=torch.int64))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh texts.

        Args:
            input_ids: int64, (batch, tokens).
            attention_mask: 1 for tokens, 0 for padding, int64, (batch, tokens).

        Returns:
            Weights of at least 0, float32, (batch, vocabulary), and the position that gave each
            (max: the highest logit; sum: the largest share), int64, the same shape.
        """
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        counted = attention_mask.bool()
        if self.ignored.numel():
            counted = counted & (input_ids.unsqueeze(-1) != self.ignored).all(dim=-1)
        shared = logits.masked_fill(~counted.unsqueeze(-1), float("-inf"))
        positions = shared.argmax(dim=1)
        if self._sums:
            weights = self._activated(shared).sum(dim=1)
        else:
            # log1p and relu never decrease: the maximum may come first
            weights = self._activated(shared.amax(dim=1))
        weights = weights * self.kept
        if self._terms:
            heaviest = weights.topk(self._terms, dim=1).indices
            weights = weights * torch.zeros_like(weights).scatter(1, heaviest, 1.0)
        return weights, positions

    def _activated(self, logits: Tensor) -> Tensor:
        weights = logits.relu().log1p()
        return weights.log1p() if self._twice else weights


class WeightsByName(nn.Module):
    """As OpenSearch's ML Commons calls a sparse encoding model: one dict in, one dict out."""

    def __init__(self, terms: PooledTerms) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weigh texts; "input_ids" and "attention_mask" to "output", (batch, vocabulary)."""
        return {"output": self.terms(inputs["input_ids"], inputs["attention_mask"])[0]}


class WeightsOfBert(nn.Module):
    """As Elasticsearch calls a model with a BERT tokenizer: four tensors in, one out."""

    def __init__(self, terms: PooledTerms) -> None:
        super().__init__()
        self.terms = terms

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
    ) -> Tensor:
        """Weigh texts, (batch, vocabulary); types and positions are those of single texts."""
        del token_type_ids, position_ids
        weights: Tensor = self.terms(input_ids, attention_mask)[0]
        return weights
