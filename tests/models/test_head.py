from __future__ import annotations

import pytest
import torch

from sparse_ir.models import head
from sparse_ir.models.head import OutputLayer, term_weights

BATCH, TOKENS, WIDTH, SIZE = 3, 7, 8, 200


@pytest.fixture
def layer():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(SIZE, WIDTH, generator=generator)
    return OutputLayer(weight, torch.randn(SIZE, generator=generator))


@pytest.fixture
def hidden():
    return torch.randn(BATCH, TOKENS, WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def mask():
    return torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0]])


def whole(hidden, mask, layer, pooling, activation):
    """The formula as the papers have it, with all logits at once."""
    values = torch.log1p((hidden.float() @ layer.weight.T + layer.bias).relu())
    if activation == "log1p_log1p":
        values = torch.log1p(values)
    values = values * mask.unsqueeze(-1)
    return values, (values.amax(dim=1) if pooling == "max" else values.sum(dim=1))


@pytest.mark.parametrize("tile", [1, 700, 10**9])
@pytest.mark.parametrize("activation", ["log1p", "log1p_log1p"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_weights_are_those_of_the_whole_logits(
    hidden, mask, layer, pooling, activation, tile, monkeypatch
):
    monkeypatch.setattr(head, "TILE_NUMBERS", tile)
    found = term_weights(hidden, mask, layer, pooling=pooling, activation=activation)
    expected = whole(hidden, mask, layer, pooling, activation)[1]
    assert (expected == 0).any()
    torch.testing.assert_close(found.weights, expected, rtol=1e-5, atol=1e-6)
    assert found.positions is None


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_positions_name_the_token_of_the_largest_contribution(hidden, mask, layer, pooling):
    found = term_weights(hidden, mask, layer, pooling=pooling, positions=True)
    values, weights = whole(hidden, mask, layer, pooling, "log1p")
    won = weights > 0
    assert torch.equal(found.positions[won], values.argmax(dim=1)[won])
    assert mask.gather(1, found.positions).all()


def test_a_text_without_tokens_that_count_weighs_nothing(hidden, layer):
    mask = torch.zeros(BATCH, TOKENS)
    for pooling in ("max", "sum"):
        assert term_weights(hidden, mask, layer, pooling=pooling).weights.count_nonzero() == 0


def test_what_lies_in_padding_does_not_matter(hidden, mask, layer):
    expected = term_weights(hidden, mask, layer).weights
    hidden[mask == 0] = 1e6
    torch.testing.assert_close(term_weights(hidden, mask, layer).weights, expected)


def test_hidden_states_of_16_bits_are_multiplied_in_32(hidden, mask, layer):
    found = term_weights(hidden.bfloat16(), mask, layer).weights
    expected = whole(hidden.bfloat16(), mask, layer, "max", "log1p")[1]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_no_tensor_holds_logits_of_the_whole_batch(pooling, monkeypatch, largest_tensor):
    monkeypatch.setattr(head, "TILE_NUMBERS", 64 * 64)
    batch, tokens, size = 4, 16, 5_000
    layer = OutputLayer(torch.randn(size, WIDTH), torch.zeros(size))
    hidden, mask = torch.randn(batch, tokens, WIDTH), torch.ones(batch, tokens)
    with largest_tensor() as largest:
        term_weights(hidden, mask, layer, pooling=pooling, positions=True)
    assert largest.numbers <= size * max(WIDTH, batch)  # the layer or the weights, no logits
    assert size * max(WIDTH, batch) < batch * tokens * size
