"""The head of ``head.py`` on a CPU: int8 rules terms out, float32 weighs those that are left.

Of 30,000 terms some hundred have a positive logit at any token of a text. Products of int8 numbers,
which such processors make several times as many of, rule out the others; by how much they can be
wrong at most is known, so none is lost. Those left are computed in float32, at every token of
their text: what comes out is what float32 alone gives.

With x̂ the int8 copy of x times its scale, h·w = ĥ·ŵ + (h - ĥ)·w + ĥ·(w - ŵ), so by Cauchy and
Schwarz |h·w - ĥ·ŵ| <= |h - ĥ| |w| + |ĥ| |w - ŵ|. All four norms are measured, not estimated.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch

from sparse_ir.models.head import TermWeights, activate, term_weights, tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sparse_ir.models.head import OutputLayer

_STEPS = 127  # of int8 on either side of 0
_MANY = 0.25  # of all terms left over: then screening is not worth its while
_ROUNDING = 2.0**-23  # of float32, times the width: what sums of that length can be wrong by


def can_screen(device: torch.device) -> bool:
    """Whether int8 products are quick here, and right.

    Processors without VNNI add them up in 16 bits, which may overflow.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())


Weigher: TypeAlias = "Callable[..., TermWeights]"
"""``head.term_weights`` without its layer."""


def weigher(layer: OutputLayer) -> Weigher:
    """Choose the quickest way to weigh terms by an output layer where the layer is."""
    if can_screen(layer.weight.device):
        return ScreenedLayer(layer).term_weights
    return partial(term_weights, layer=layer)


class ScreenedLayer:
    """An output layer with an int8 copy of it, a quarter of its size."""

    def __init__(self, layer: OutputLayer) -> None:
        """Make the copy.

        Args:
            layer: The layer, on the CPU.
        """
        self._layer = layer
        weight = layer.weight
        self._scale = scale_of(weight.abs().amax(dim=1))
        rounded = (weight / self._scale.unsqueeze(1)).round_()
        self._weight = rounded.to(torch.int8)
        self._norm = weight.norm(dim=1)
        self._lost = rounded.mul_(self._scale.unsqueeze(1)).sub_(weight).norm(dim=1)

    def term_weights(
        self,
        hidden: Tensor,
        mask: Tensor,
        *,
        pooling: str = "max",
        activation: str = "log1p",
        positions: bool = False,
    ) -> TermWeights:
        """Weigh every term of the vocabulary for every text of a batch, as ``head.term_weights``.

        Args:
            hidden: Inputs of the output layer, (batch, tokens, width), any float type.
            mask: True for the tokens that count, (batch, tokens).
            pooling: "max" or "sum" over the tokens.
            activation: "log1p" or "log1p_log1p".
            positions: Also return the token that gave each maximum, or the largest part of each
                sum; of a term without weight any token.
        """
        hidden, mask = hidden.to(torch.float32), mask.bool()
        left = self.candidates(hidden, mask)
        options = {"pooling": pooling, "activation": activation}
        if int(left.sum()) > _MANY * left.numel():
            return term_weights(hidden, mask, self._layer, positions=positions, **options)
        weights = torch.zeros(left.shape, dtype=torch.float32)
        where = torch.zeros(left.shape, dtype=torch.int64) if positions else None
        for i, columns in enumerate(_by_row(left)):
            counted = mask[i].nonzero().squeeze(1)
            states = hidden[i].index_select(0, counted)
            for start, stop in tiles(len(columns), len(states)):
                part = columns[start:stop]
                values, tokens = self._exact(states, part, **options)
                weights[i, part] = values
                if where is not None:
                    where[i, part] = counted[tokens]
        return TermWeights(weights, where)

    def candidates(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Find the terms that may have a positive logit at a token of a text.

        Args:
            hidden: Inputs of the output layer, float32, (batch, tokens, width).
            mask: True for the tokens that count, (batch, tokens).

        Returns:
            False for terms that have none, (batch, vocabulary).
        """
        batch, tokens, width = hidden.shape
        hidden = hidden.masked_fill(~mask.unsqueeze(2), 0.0)
        scale = scale_of(hidden.abs().amax(dim=(1, 2))).view(batch, 1)
        rounded = (hidden / scale.unsqueeze(2)).round_()
        flat = rounded.to(torch.int8).view(batch * tokens, width)
        copied = rounded.mul_(scale.unsqueeze(2))
        norm = copied.norm(dim=2).amax(dim=1, keepdim=True)
        lost = (hidden - copied).norm(dim=2).amax(dim=1, keepdim=True)
        lost += width * _ROUNDING * (norm + lost)
        left = torch.empty((batch, len(self._weight)), dtype=torch.bool)
        for start, stop in tiles(len(self._weight), len(flat)):
            products = torch._int_mm(flat, self._weight[start:stop].T)
            most = products.view(batch, tokens, stop - start).amax(dim=1).to(torch.float32)
            most.mul_(scale).mul_(self._scale[start:stop]).add_(self._layer.bias[start:stop])
            most.addcmul_(lost, self._norm[start:stop]).addcmul_(norm, self._lost[start:stop])
            left[:, start:stop] = ~(most <= 0)  # what is not a number stays, to be seen
        left[~mask.any(dim=1)] = False
        return left

    def _exact(
        self, states: Tensor, columns: Tensor, *, pooling: str, activation: str
    ) -> tuple[Tensor, Tensor]:
        logits = states @ self._layer.weight.index_select(0, columns).T
        bias = self._layer.bias[columns]
        if pooling == "sum":
            values = activate(logits.add_(bias), activation)
            return values.sum(dim=0), values.argmax(dim=0)
        most, tokens = logits.max(dim=0)
        return activate(most.add_(bias), activation), tokens


def scale_of(largest: Tensor) -> Tensor:
    """What an int8 step stands for, where the largest of the numbers is this."""
    return torch.where(largest == 0, 1.0, largest / _STEPS)


def _by_row(chosen: Tensor) -> tuple[Tensor, ...]:
    """The columns of each row that are True."""
    counts = chosen.sum(dim=1).tolist()
    return torch.split(chosen.nonzero()[:, 1], counts)
