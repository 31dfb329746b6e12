"""The head of ``head.py`` with gradients, still without batch x length x vocabulary numbers.

Only the tokens that won a term with a positive logit take part in max pooling's gradient: with G
the sparse matrix of upstream gradients at the winners, (batch x length) x vocabulary, the
gradients are products of it, dH = G W, dW = Gᵀ H and db = the column sums of G. Sum pooling has a
gradient at every positive logit; its tiles are computed again on the way back. Both equal
autograd through the full logits. A related kernel: Sparton, 2026, https://arxiv.org/abs/2603.25011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sparse_ir.models.head import activate, tiles

if TYPE_CHECKING:
    from torch import Tensor

_FEW = 0.05  # winners per number of a tile: above it one pass over the tile finds them quicker


def trained_weights(
    hidden: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    pooling: str = "max",
    activation: str = "log1p",
    revived: Tensor | None = None,
) -> Tensor:
    """Weigh every term for every text, with gradients for hidden states, weight and bias.

    Logits have the type that autocast asks for, everything else is float32.

    Args:
        hidden: Inputs of the output layer, (batch, tokens, width).
        mask: True for the tokens that count, (batch, tokens).
        weight: (vocabulary, width).
        bias: (vocabulary,).
        pooling: "max" or "sum" over the tokens.
        activation: "log1p" or "log1p_log1p".
        revived: With max pooling, terms of a text that cannot fall silent for good: where their
            weight is 0, a gradient that would raise it passes as if it were just above 0. Bool,
            (batch, vocabulary).

    Returns:
        Weights >= 0, float32, (batch, vocabulary).
    """
    device = hidden.device.type
    dtype = torch.float32
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    with torch.autocast(device, enabled=False):
        inputs = (hidden.to(dtype), mask.bool(), weight, bias, activation)
        weights: Tensor = (
            _SumPooled.apply(*inputs) if pooling == "sum" else _MaxPooled.apply(*inputs, revived)
        )
    return weights


def _slope(weights: Tensor, activation: str) -> Tensor:
    """The derivative of the activation at x > 0, written with its value: w = log(1 + x)."""
    if activation == "log1p_log1p":
        return torch.exp(-weights - torch.expm1(weights))
    return torch.exp(-weights)


class _MaxPooled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor,
        activation: str,
        revived: Tensor | None,
    ) -> Tensor:
        first = mask.int().argmax(dim=1)
        stand_in = hidden[torch.arange(len(hidden), device=hidden.device), first]
        filled = torch.where(mask.unsqueeze(-1), hidden, stand_in.unsqueeze(1))
        some = mask.any(dim=1)
        pooled, winners = _winners(filled, some, weight, bias, revived)
        texts, tokens, terms = winners
        tokens = torch.where(mask[texts, tokens], tokens, first[texts])
        weights = activate(pooled, activation)
        weights[~some] = 0.0
        ctx.activation = activation
        rows = texts * hidden.shape[1] + tokens
        ctx.save_for_backward(hidden, weight, weights[texts, terms], texts, rows, terms)
        return weights

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, weights, texts, rows, terms = ctx.saved_tensors
        pull = upstream[texts, terms]
        pull = torch.where(weights > 0, pull, pull.clamp_max(0.0))  # revived: upwards alone
        slopes = pull * _slope(weights, ctx.activation)
        flat = hidden.flatten(0, 1)
        d_hidden = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            product = _sparse_product(rows, terms, slopes, len(flat), weight)
            d_hidden = product.view(hidden.shape).to(hidden.dtype)
        if ctx.needs_input_grad[2]:
            d_weight = _sparse_product(terms, rows, slopes, len(weight), flat)
        if ctx.needs_input_grad[3]:
            d_bias = slopes.new_zeros(len(weight)).index_add_(0, terms, slopes)
        return d_hidden, None, d_weight, d_bias, None, None


def _winners(
    hidden: Tensor, some: Tensor, weight: Tensor, bias: Tensor, revived: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """The largest logit of each text and term, and where it stands if it is above 0 or revived.

    Returns:
        Logits, float32, (batch, vocabulary), and the text, token and term of each winner.
    """
    batch, tokens, _ = hidden.shape
    flat = hidden.flatten(0, 1)
    pooled = torch.empty((batch, len(weight)), dtype=torch.float32, device=hidden.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for start, stop in tiles(len(weight), len(flat)):
        logits = (flat @ weight[start:stop].to(flat.dtype).T).view(batch, tokens, stop - start)
        tile = pooled[:, start:stop]
        # The bias is the same for all tokens: added after the maximum, and in float32.
        torch.add(logits.amax(dim=1), bias[start:stop], out=tile)
        wanted = tile > 0
        if revived is not None:
            wanted |= revived[:, start:stop]
        texts, terms = (wanted & some.unsqueeze(1)).nonzero(as_tuple=True)
        if len(texts) <= _FEW * tile.numel():
            where = logits[texts, :, terms].argmax(dim=1)
        else:
            where = logits.argmax(dim=1)[texts, terms]
        found.append((texts, where, terms + start))
    texts, where, terms = (torch.cat(parts) for parts in zip(*found, strict=True))
    return pooled, (texts, where, terms)


def _sparse_product(
    rows: Tensor, columns: Tensor, values: Tensor, height: int, dense: Tensor
) -> Tensor:
    """Multiply a sparse matrix of (row, column, value) by a dense one: float32, (height, width)."""
    dense = dense.to(torch.float32)
    order = torch.argsort(rows * len(dense) + columns)
    matrix = torch.sparse_coo_tensor(
        torch.stack([rows[order], columns[order]]),
        values[order],
        (height, len(dense)),
        is_coalesced=True,
        check_invariants=False,
    )
    product: Tensor = torch.sparse.mm(matrix, dense)
    return product


class _SumPooled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, activation: str
    ) -> Tensor:
        batch, tokens, _ = hidden.shape
        flat = hidden.flatten(0, 1)
        weights = torch.empty((batch, len(weight)), dtype=torch.float32, device=hidden.device)
        for start, stop in tiles(len(weight), len(flat)):
            logits = _logits(flat, weight[start:stop], bias[start:stop])
            values = activate(logits, activation).masked_fill_(~mask.view(-1, 1), 0.0)
            weights[:, start:stop] = values.view(batch, tokens, stop - start).sum(dim=1)
        ctx.activation = activation
        ctx.save_for_backward(hidden, mask, weight, bias)
        return weights

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, mask, weight, bias = ctx.saved_tensors
        flat, tokens = hidden.flatten(0, 1), hidden.shape[1]
        d_hidden = torch.zeros(flat.shape, dtype=torch.float32, device=flat.device)
        d_weight = torch.empty_like(weight, dtype=torch.float32)
        d_bias = torch.empty_like(bias, dtype=torch.float32)
        for start, stop in tiles(len(weight), len(flat)):
            part = weight[start:stop]
            logits = _logits(flat, part, bias[start:stop])
            counts = (logits > 0) & mask.view(-1, 1)
            slope = _slope(activate(logits, ctx.activation), ctx.activation)
            slope *= upstream[:, start:stop].repeat_interleave(tokens, dim=0)
            slope.masked_fill_(~counts, 0.0)
            d_bias[start:stop] = slope.sum(dim=0)
            slope = slope.to(flat.dtype)
            d_hidden += slope @ part.to(flat.dtype)
            d_weight[start:stop] = slope.T @ flat
        return d_hidden.view(hidden.shape).to(hidden.dtype), None, d_weight, d_bias, None


def _logits(flat: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (flat @ weight.to(flat.dtype).T).to(torch.float32).add_(bias)
