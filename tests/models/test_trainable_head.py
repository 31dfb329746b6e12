from __future__ import annotations

import pytest
import torch

from sparse_ir.models import head
from sparse_ir.models.trainable_head import trained_weights

BATCH, TOKENS, WIDTH, SIZE = 4, 6, 8, 150


def whole(hidden, mask, weight, bias, pooling, activation):
    """The formula with all logits at once, for autograd."""
    values = torch.log1p((hidden @ weight.T + bias).relu())
    if activation == "log1p_log1p":
        values = torch.log1p(values)
    values = values * mask.unsqueeze(-1)
    return values.amax(dim=1) if pooling == "max" else values.sum(dim=1)


def inputs(bias=0.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(BATCH, TOKENS, WIDTH, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(SIZE, WIDTH, generator=generator).to(dtype).requires_grad_()
    offset = (torch.randn(SIZE, generator=generator) + bias).to(dtype).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0] * 6])
    return hidden, mask, weight, offset


@pytest.mark.parametrize("bias", [-4.0, 0.0, 9.0], ids=["sparse", "half", "dense"])
@pytest.mark.parametrize("activation", ["log1p", "log1p_log1p"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("tile", [1, 10**9], ids=["many tiles", "one tile"])
def test_values_and_gradients_equal_autograd_through_all_logits(
    pooling, activation, bias, tile, monkeypatch
):
    monkeypatch.setattr(head, "TILE_NUMBERS", tile)
    hidden, mask, weight, offset = inputs(bias)
    upstream = torch.randn(BATCH, SIZE, generator=torch.Generator().manual_seed(4))
    wanted = whole(hidden, mask, weight, offset, pooling, activation)
    gradients = torch.autograd.grad((wanted * upstream).sum(), (hidden, weight, offset))
    found = trained_weights(hidden, mask, weight, offset, pooling=pooling, activation=activation)
    ours = torch.autograd.grad((found * upstream).sum(), (hidden, weight, offset))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(ours, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_gradient_worked_by_hand():
    # One text of two tokens, one term: logits 1 and 3, so the weight is log(1 + 3) and its slope
    # 1 / (1 + 3) at the second token, nothing at the first.
    hidden = torch.tensor([[[1.0], [3.0]]], requires_grad=True)
    weight, bias = torch.ones(1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    found = trained_weights(hidden, torch.ones(1, 2), weight, bias)
    found.sum().backward()
    assert found.item() == pytest.approx(1.3862944)
    assert hidden.grad.flatten().tolist() == [0.0, 0.25]
    assert weight.grad.item() == pytest.approx(0.75)
    assert bias.grad.item() == pytest.approx(0.25)


def test_what_needs_no_gradient_gets_none():
    hidden, mask, weight, offset = inputs()
    weight.requires_grad_(False)
    found = trained_weights(hidden, mask, weight, offset)
    found.sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_a_text_without_a_counted_token_has_no_weights_and_no_gradient():
    hidden, mask, weight, offset = inputs(9.0)
    found = trained_weights(hidden, mask, weight, offset)
    found.sum().backward()
    assert not found[3].any()
    assert not hidden.grad[3].any()


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("bias", [-3.0, 50.0], ids=["sparse", "fully dense"])
def test_no_tensor_comes_near_batch_times_length_times_vocabulary(
    pooling, bias, monkeypatch, largest_tensor
):
    monkeypatch.setattr(head, "TILE_NUMBERS", 1 << 16)
    batch, tokens, width, size = 8, 64, 16, 20_000
    hidden = torch.randn(batch, tokens, width, requires_grad=True)
    weight = torch.randn(size, width, requires_grad=True)
    offset = torch.full((size,), bias, requires_grad=True)
    with largest_tensor() as largest:
        weights = trained_weights(
            hidden, torch.ones(batch, tokens), weight, offset, pooling=pooling
        )
        weights.sum().backward()
    assert (weights > 0).all() == (bias > 0)
    # batch x vocabulary, or the gradient of the weights, and not length or width times that
    assert largest.numbers <= 2 * max(batch, width) * size
    assert largest.numbers * 12 < batch * tokens * size


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_all_that_is_held_at_once_stays_far_below_the_logits(pooling, monkeypatch, held_at_once):
    """Of a fully dense head, as an untrained one may be: every term wins at some token.

    The logits would be 8 x 256 x 20,000 numbers of 4 bytes: 164 MB, and autograd holds several
    such. The 8 x 20,000 winners take some 80 bytes each (text, token, term, weight, and what sorts
    them), the gradients 20,000 x 16 x 4 bytes: 14 MB together.
    """
    monkeypatch.setattr(head, "TILE_NUMBERS", 1 << 18)
    batch, tokens, width, size = 8, 256, 16, 20_000
    hidden = torch.randn(batch, tokens, width, requires_grad=True)
    weight = torch.randn(size, width, requires_grad=True)
    offset = torch.full((size,), 50.0, requires_grad=True)
    mask = torch.ones(batch, tokens)
    with held_at_once() as held:
        weights = trained_weights(hidden, mask, weight, offset, pooling=pooling)
        weights.sum().backward()
    assert (weights > 0).all()
    logits = batch * tokens * size * 4
    assert 0 < held.most < logits / 8
    with held_at_once() as naively:
        whole(hidden, mask, weight, offset, pooling, "log1p").sum().backward()
    assert naively.most > 2 * logits


def test_autocast_gives_the_same_within_its_precision():
    hidden, mask, weight, offset = inputs(-1.0)
    exact = trained_weights(hidden, mask, weight, offset)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = trained_weights(hidden, mask, weight, offset)
    assert rough.dtype is torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_gradients_in_bfloat16_are_autograds_but_for_rounding(pooling):
    hidden, mask, weight, offset = inputs(-1.0)
    upstream = torch.rand(BATCH, SIZE, generator=torch.Generator().manual_seed(4))
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float() + offset
    values = torch.log1p(logits.relu()) * mask.unsqueeze(-1)
    wanted = values.amax(dim=1) if pooling == "max" else values.sum(dim=1)
    exact = torch.autograd.grad((wanted * upstream).sum(), (hidden, weight, offset))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = trained_weights(hidden, mask, weight, offset, pooling=pooling)
    assert found.dtype is torch.float32
    rounded = torch.autograd.grad((found * upstream).sum(), (hidden, weight, offset))
    for theirs, ours in zip(exact, rounded, strict=True):
        assert float((theirs - ours).norm() / theirs.norm()) < 0.03


def test_a_silent_term_can_be_revived_but_not_pushed_down():
    # One text of two tokens, three terms. The first has logits -3 and -1; the second is above 0;
    # the third is silent too and not named.
    hidden = torch.tensor([[[1.0], [3.0]]], requires_grad=True)
    weight = torch.tensor([[1.0], [1.0], [1.0]], requires_grad=True)
    bias = torch.tensor([-4.0, 0.0, -4.0], requires_grad=True)
    revived = torch.tensor([[True, True, False]])
    found = trained_weights(hidden, torch.ones(1, 2), weight, bias, revived=revived)
    assert found[0].tolist() == pytest.approx([0.0, 1.3862944, 0.0])
    # Down for the first two: the silent one stays where it is.
    down = torch.autograd.grad(found.sum(), (hidden, weight, bias), retain_graph=True)
    assert down[0].flatten().tolist() == [0.0, 0.25]
    assert down[2].tolist() == [0.0, 0.25, 0.0]
    # Up: as if it were just above 0, at the token where it is highest; never the third.
    up = torch.autograd.grad(-found.sum(), (hidden, weight, bias))
    assert up[0].flatten().tolist() == [0.0, -1.25]
    assert up[1].flatten().tolist() == [-3.0, -0.75, 0.0]
    assert up[2].tolist() == [-1.0, -0.25, 0.0]
