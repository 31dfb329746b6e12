"""Linear layers in int8: products by hand, their error, and where they are refused."""

import pytest
import torch

from sparse_ir.errors import ConfigError
from sparse_ir.models import int8
from sparse_ir.models.int8 import Int8Linear, use_int8
from sparse_ir.models.screening import can_screen

CPU = torch.device("cpu")
vnni = pytest.mark.skipif(not can_screen(CPU), reason="this processor has no VNNI")


def linear(weight, bias=None):
    weight = torch.tensor(weight)
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


@vnni
def test_numbers_that_fit_127_steps_are_exact():
    layer = Int8Linear(linear([[127.0, -3.0], [0.5, 63.5], [0.0, 0.0]], bias=[1.0, 0.0, -2.0]))
    with torch.inference_mode():
        found = layer(torch.tensor([[[1.27, 0.02]], [[0.0, 254.0]]]))
    # 1.27 x 127 - 0.02 x 3 + 1; 1.27 x 0.5 + 0.02 x 63.5; the rows of zeros give the bias.
    expected = torch.tensor([[[162.23, 1.905, -2.0]], [[-761.0, 16129.0, -2.0]]])
    torch.testing.assert_close(found, expected)


@vnni
def test_errors_are_those_of_rounding_to_127_steps():
    torch.manual_seed(0)
    layer, states = torch.nn.Linear(384, 50), torch.randn(20, 384)
    with torch.inference_mode():
        error = (Int8Linear(layer)(states) - layer(states)).norm() / layer(states).norm()
    assert 1e-4 < error < 0.02


@vnni
def test_a_large_state_does_not_blur_another_token():
    layer = Int8Linear(torch.nn.Linear(16, 4))
    states = torch.randn(2, 16)
    with torch.inference_mode():
        alone = layer(states[:1])
        beside = layer(torch.cat([states[:1], 1e4 * states[1:]]))[:1]
    assert torch.equal(alone, beside)


@vnni
def test_every_linear_layer_is_replaced_but_the_one_spared():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.Linear(4, 4)), torch.nn.Linear(4, 9)
    )
    use_int8(model, CPU, spare=model[2])
    assert [type(m) for m in (model[0], model[1][0], model[2])] == [
        Int8Linear,
        Int8Linear,
        torch.nn.Linear,
    ]


def test_it_is_refused_where_such_products_are_slow_or_wrong(monkeypatch):
    monkeypatch.setattr(int8, "can_screen", lambda device: False)
    with pytest.raises(ConfigError, match=r"int8.*VNNI"):
        use_int8(torch.nn.Sequential(torch.nn.Linear(2, 2)), CPU)
