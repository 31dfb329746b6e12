"""From hidden states to term weights, one tile of the vocabulary at a time.

A SPLADE weight is a maximum (or sum) over tokens of log(1 + relu(logit)). The logits of a batch
fill batch x length x vocabulary numbers, a gigabyte for 32 texts of 256 tokens; nobody needs them
at once. Here they exist for one tile of the vocabulary only, and only their pooled values stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

TILE_NUMBERS = 1 << 22
"""Logits held at once: 16 MiB of float32."""


class OutputLayer(NamedTuple):
    """The last layer of a masked LM: logits = hidden @ weight.T + bias.

    Attributes:
        weight: (vocabulary, width), float32.
        bias: (vocabulary,), float32.
    """

    weight: Tensor
    bias: Tensor


class TermWeights(NamedTuple):
    """Pooled weights of a batch.

    Attributes:
        weights: >= 0, float32, (batch, vocabulary).
        positions: The token that gave each weight, (batch, vocabulary); None unless asked for.
    """

    weights: Tensor
    positions: Tensor | None = None

    def of_one(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights and positions of the first text, (vocabulary,); they must have been asked for."""
        if self.positions is None:
            raise ValueError("no positions were asked for")
        return self.weights[0].cpu().numpy(), self.positions[0].cpu().numpy()


def activate(logits: Tensor, activation: str) -> Tensor:
    """Apply log(1 + relu(x)), twice the logarithm for "log1p_log1p", in place."""
    logits.relu_().log1p_()
    return logits.log1p_() if activation == "log1p_log1p" else logits


def term_weights(
    hidden: Tensor,
    mask: Tensor,
    layer: OutputLayer,
    *,
    pooling: str = "max",
    activation: str = "log1p",
    positions: bool = False,
) -> TermWeights:
    """Weigh every term of the vocabulary for every text of a batch.

    SPLADE-max: Formal et al., 2021, https://arxiv.org/abs/2109.10086; sum pooling:
    https://arxiv.org/abs/2107.05720; the double logarithm: https://arxiv.org/abs/2504.14839.

    Args:
        hidden: Inputs of the output layer, (batch, tokens, width), any float type; what follows
            is float32.
        mask: True for the tokens that count, (batch, tokens).
        layer: The output layer.
        pooling: "max" or "sum" over the tokens.
        activation: "log1p" or "log1p_log1p".
        positions: Also return the token that gave each maximum, or the largest part of each sum.

    Returns:
        Weights, 0 everywhere for a text without a token that counts.
    """
    hidden, mask = hidden.to(torch.float32), mask.bool()
    first = mask.int().argmax(dim=1)
    if pooling == "sum":
        weights, where = _sum(hidden, mask, layer, activation, positions=positions)
    else:
        # A token that does not count gets the hidden state of one that does: the maximum is
        # then right without another pass over the logits.
        stand_in = hidden[torch.arange(len(hidden), device=hidden.device), first]
        hidden = torch.where(mask.unsqueeze(-1), hidden, stand_in.unsqueeze(1))
        weights, where = _max(hidden, layer, positions=positions)
        # The bias is the same for all tokens and log1p(relu(x)) never decreases: both come last.
        weights = activate(weights.add_(layer.bias), activation)
        weights[~mask.any(dim=1)] = 0.0
    if where is not None:
        where = torch.where(mask.gather(1, where), where, first.unsqueeze(1))
    return TermWeights(weights, where)


def _max(hidden: Tensor, layer: OutputLayer, *, positions: bool) -> tuple[Tensor, Tensor | None]:
    batch, tokens, _ = hidden.shape
    flat = hidden.flatten(0, 1)
    pooled, where = _results(hidden, layer, positions=positions)
    for start, stop in tiles(len(layer.weight), len(flat)):
        logits = (flat @ layer.weight[start:stop].T).view(batch, tokens, stop - start)
        if where is None:
            pooled[:, start:stop] = logits.amax(dim=1)
        else:
            pooled[:, start:stop], where[:, start:stop] = logits.max(dim=1)
    return pooled, where


def _sum(
    hidden: Tensor, mask: Tensor, layer: OutputLayer, activation: str, *, positions: bool
) -> tuple[Tensor, Tensor | None]:
    batch, tokens, _ = hidden.shape
    flat = hidden.flatten(0, 1)
    ignored = ~mask.view(-1, 1)
    pooled, where = _results(hidden, layer, positions=positions)
    for start, stop in tiles(len(layer.weight), len(flat)):
        logits = (flat @ layer.weight[start:stop].T).add_(layer.bias[start:stop])
        values = activate(logits, activation).masked_fill_(ignored, 0.0)
        values = values.view(batch, tokens, stop - start)
        pooled[:, start:stop] = values.sum(dim=1)
        if where is not None:
            where[:, start:stop] = values.argmax(dim=1)
    return pooled, where


def _results(
    hidden: Tensor, layer: OutputLayer, *, positions: bool
) -> tuple[Tensor, Tensor | None]:
    shape, device = (len(hidden), len(layer.weight)), hidden.device
    where = torch.empty(shape, dtype=torch.int64, device=device) if positions else None
    return torch.empty(shape, dtype=torch.float32, device=device), where


def tiles(size: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Split the vocabulary so that a tile's logits stay within TILE_NUMBERS."""
    step = max(64, TILE_NUMBERS // max(1, tokens))
    for start in range(0, size, step):
        yield start, min(size, start + step)
