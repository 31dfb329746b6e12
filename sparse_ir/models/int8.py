"""Linear layers in int8, for CPUs with VNNI.

Weights have a scale for each output, states one for each token, measured as they come: a text's
vector does not depend on its batch. One scale for all, as torch's dynamic quantisation has it,
loses eight times as many terms of a SPLADE model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sparse_ir.errors import ConfigError
from sparse_ir.models.screening import can_screen, scale_of

if TYPE_CHECKING:
    from torch import Tensor


class Int8Linear(torch.nn.Module):
    """A linear layer whose products are of int8 numbers; inputs and outputs are float32."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        """Copy a layer's weights, rounded to 127 steps on either side of 0."""
        super().__init__()
        weight = layer.weight.detach()
        self.scale = scale_of(weight.abs().amax(dim=1))
        self.weight = (weight / self.scale.unsqueeze(1)).round_().to(torch.int8)
        self.bias = layer.bias

    def forward(self, states: Tensor) -> Tensor:
        """Return states @ weight.T + bias, (..., outputs), for states (..., inputs)."""
        flat = states.reshape(-1, states.shape[-1])
        scale = scale_of(flat.abs().amax(dim=1, keepdim=True))
        rounded = (flat / scale).round_().to(torch.int8)
        products = torch._int_mm(rounded, self.weight.T).to(torch.float32)
        products.mul_(scale).mul_(self.scale)
        if self.bias is not None:
            products.add_(self.bias)
        return products.view(*states.shape[:-1], -1)


def use_int8(
    model: torch.nn.Module, device: torch.device, *, spare: torch.nn.Module | None = None
) -> None:
    """Put int8 layers in the place of a module's linear layers but one, for inference.

    Raises:
        ConfigError: int8 products are slow or wrong on the device.
    """
    if not can_screen(device):
        raise ConfigError(
            "precision is 'int8', which needs a CPU with VNNI instructions. Use fp32, or bf16 on "
            "a GPU."
        )
    for name, child in model.named_children():
        if child is spare:
            continue
        if isinstance(child, torch.nn.Linear):
            setattr(model, name, Int8Linear(child))
        else:
            use_int8(child, device, spare=spare)
