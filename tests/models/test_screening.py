"""Screening in int8 gives what float32 gives, and loses no term."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.models import screening
from sparse_ir.models.head import OutputLayer, term_weights
from sparse_ir.models.screening import ScreenedLayer, can_screen

pytestmark = pytest.mark.skipif(
    not can_screen(torch.device("cpu")), reason="this processor has no VNNI"
)
TERMS = 700


def parts(batch=3, tokens=11, width=48, *, bias=-2.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, tokens, width, generator=generator)
    mask = torch.rand(batch, tokens, generator=generator) < 0.8
    weight = torch.randn(TERMS, width, generator=generator) / width**0.5
    return hidden, mask, OutputLayer(weight, torch.full((TERMS,), bias))


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["log1p", "log1p_log1p"])
def test_it_gives_the_weights_of_float32(pooling, activation):
    hidden, mask, layer = parts()
    options = {"pooling": pooling, "activation": activation}
    found = ScreenedLayer(layer).term_weights(hidden, mask, positions=True, **options)
    expected = term_weights(hidden, mask, layer, positions=True, **options)
    assert 0 < int((expected.weights > 0).sum()) < 0.1 * expected.weights.numel()
    assert torch.equal(found.weights > 0, expected.weights > 0)
    torch.testing.assert_close(found.weights, expected.weights)
    weighed = expected.weights > 0
    assert torch.equal(found.positions[weighed], expected.positions[weighed])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.integers(1, 40),
    st.sampled_from([8, 33, 128]),
    st.floats(-8, -1),
    st.floats(-6, 6),
)
def test_no_positive_term_is_ruled_out(seed, batch, tokens, width, bias, exponent):
    hidden, mask, layer = parts(batch, tokens, width, bias=bias, seed=seed)
    # States of wild lengths and one outlying dimension, as transformers have them.
    hidden = hidden * 10**exponent
    hidden[..., 0] *= 30
    logits = torch.einsum("btw,vw->btv", hidden.double(), layer.weight.double())
    logits = (logits + layer.bias).masked_fill(~mask.unsqueeze(2), -1.0)
    left = ScreenedLayer(layer).candidates(hidden, mask)
    assert not ((logits.amax(dim=1) > 0) & ~left).any()


def test_it_rules_out_what_is_far_from_positive():
    hidden, mask, layer = parts(bias=-5.0)
    assert int(ScreenedLayer(layer).candidates(hidden, mask).sum()) < 0.01 * 3 * TERMS


def test_a_dense_head_goes_to_float32(monkeypatch):
    hidden, mask, layer = parts(bias=0.5)
    calls = []
    monkeypatch.setattr(
        screening, "term_weights", lambda *a, **k: calls.append(1) or term_weights(*a, **k)
    )
    found = ScreenedLayer(layer).term_weights(hidden, mask).weights
    torch.testing.assert_close(found, term_weights(hidden, mask, layer).weights)
    assert calls == [1]


def test_texts_of_nothing_and_states_of_zero_have_no_weights():
    hidden, mask, layer = parts()
    mask[0] = False
    hidden[1] = 0.0
    found = ScreenedLayer(layer).term_weights(hidden, mask).weights
    assert found[:2].count_nonzero() == 0
    assert found[2].count_nonzero() > 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_not_hidden(wrong):
    hidden, mask, layer = parts()
    hidden[1, mask[1].int().argmax(), 5] = wrong
    found = ScreenedLayer(layer).term_weights(hidden, mask).weights
    assert not torch.isfinite(found[1]).all()
    torch.testing.assert_close(found[0], term_weights(hidden, mask, layer).weights[0])
