"""Chunks that are computed twice: the same masks of dropout both times."""

from __future__ import annotations

import torch

from sparse_ir.training.grad_cache import _RandomState
from sparse_ir.training.model import SpladeTrainee


def test_the_masks_of_dropout_repeat_in_the_second_pass(run, monkeypatch):
    forward = SpladeTrainee.forward
    passes = {False: [], True: []}

    def watched(self, queries, documents):
        found = forward(self, queries, documents)
        rows = next(rows for rows in found if rows is not None)
        passes[torch.is_grad_enabled()].append(rows.detach().clone())
        return found

    monkeypatch.setattr(SpladeTrainee, "forward", watched)
    run(batch__chunk_texts=2, model__dropout=0.5, optimizer__steps=2)
    first, second = passes.values()
    assert len(first) == len(second) == 12
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_states_of_a_device_are_put_back_and_afterwards_as_they_were():
    state = _RandomState(torch.device("cpu"))
    drawn = torch.rand(3)
    now = torch.get_rng_state()
    with state.restored():
        assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(torch.get_rng_state(), now)


def test_the_generator_of_mps_is_put_back_too(monkeypatch):
    mps = [7]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: mps[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda value: mps.__setitem__(0, value))
    state = _RandomState(torch.device("mps"))
    mps[0] = 8
    with state.restored():
        assert mps == [7]
    assert mps == [8]
