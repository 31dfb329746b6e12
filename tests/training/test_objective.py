"""What a step adds up beside its losses."""

from __future__ import annotations

import torch

from sparse_ir.training.objective import anchor


def test_the_anchor_draws_a_texts_own_tokens_alone():
    # Terms 0 to 3 of two texts; the first holds tokens 1 and 2 and padding, the second token 0.
    weights = torch.tensor([[9.0, 0.5, 3.0, 7.0], [2.0, 5.0, 5.0, 5.0]])
    group = {
        "ids": torch.tensor([[1, 2, 0], [0, 0, 0]]),
        "mask": torch.tensor([[1, 1, 0], [1, 0, 0]]),
        "order": torch.tensor([0, 1]),
    }
    targets = torch.tensor([1.0, 1.0, 0.0, 1.0])  # token 2 has none
    total, count = anchor(weights, [group], targets)
    assert count == 2
    assert float(total) == (0.5 - 1) ** 2 + (2 - 1) ** 2
