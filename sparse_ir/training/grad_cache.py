"""Batches larger than the memory: every text is computed twice, the second time with gradients.

Gao et al., 2021, https://arxiv.org/abs/2101.06983. First all weights without gradients, then the
loss and its gradient for each weight, then chunk by chunk forward again and backward from there.
Random states are kept, so that dropout repeats itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from sparse_ir.training.gather import world_size
from sparse_ir.training.objective import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from sparse_ir.training.tokens import TokenGroup


class _RandomState:
    """The state of the generators before a chunk, to be put back when it is computed again."""

    def __init__(self, device: torch.device) -> None:
        self._cpu = torch.get_rng_state()
        self._device = device
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def restored(self) -> Any:
        devices = [self._device] if self._cuda is not None else []
        with torch.random.fork_rng(devices):
            torch.set_rng_state(self._cpu)
            if self._cuda is not None:
                torch.cuda.set_rng_state(self._cuda, self._device)
            yield


def cached_step(trainer: Any, model: Any, inputs: dict[str, Any]) -> Tensor:
    """Forward and backward of a batch, one chunk's graph in memory at a time.

    Args:
        trainer: The ``SpladeTrainer``.
        model: As the Trainer prepared it.
        inputs: One item of ``Batches``, on the device.

    Returns:
        The loss, without gradients.
    """
    sides = (inputs["queries"], inputs["documents"])
    device = sides[1][0]["ids"].device
    states: list[list[_RandomState]] = [[], []]
    rows: list[list[Weights]] = [[], []]
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for side, groups in enumerate(sides):
            for group in groups:
                states[side].append(_RandomState(device))
                rows[side].append(_forward(model, group, queries=side == 0))
    mine = Weights(
        _joined(sides[0], [w.queries for w in rows[0]]),
        _joined(sides[0], [w.table for w in rows[0]]),
        _joined(sides[1], [w.documents for w in rows[1]]),
    )
    scale = 1 / trainer.current_gradient_accumulation_steps
    loss: Tensor = trainer.global_objective(mine, inputs) + trainer.anchor_loss(mine, inputs)
    trainer.accelerator.backward(loss * scale)
    no_sync = getattr(model, "no_sync", contextlib.nullcontext)
    for side, groups in enumerate(sides):
        for group, state in zip(groups, states[side], strict=True):
            with state.restored(), no_sync(), trainer.compute_loss_context_manager():
                again = _forward(model, group, queries=side == 0)
                _backward(again, mine, group, queries=side == 0)
    _sum_gradients(model)
    detached: Tensor = loss.detach() * scale
    return detached


def _forward(model: Any, group: TokenGroup, *, queries: bool) -> Weights:
    places = torch.arange(len(group["ids"]), device=group["ids"].device)
    alone: Any = [{**group, "order": places}]
    return Weights(*(model(alone, []) if queries else model([], alone)))


def _joined(groups: list[TokenGroup], rows: list[Tensor | None]) -> Tensor | None:
    """Rows of all chunks in the order of the batch, as a leaf that collects gradients."""
    if rows[0] is None:
        return None
    order = torch.cat([group["order"] for group in groups]).argsort()
    stacked = torch.cat([row for row in rows if row is not None])
    return stacked[order].detach().requires_grad_()


def _backward(again: Weights, mine: Weights, group: TokenGroup, *, queries: bool) -> None:
    pairs = (
        [(again.queries, mine.queries), (again.table, mine.table)]
        if queries
        else [(again.documents, mine.documents)]
    )
    outputs, gradients = [], []
    for rows, leaf in pairs:
        if rows is not None and rows.requires_grad and leaf is not None and leaf.grad is not None:
            outputs.append(rows)
            gradients.append(leaf.grad[group["order"]])
    if outputs:
        torch.autograd.backward(outputs, gradients)


def _sum_gradients(model: Any) -> None:
    """Add up the gradients of all devices; each holds those of its own rows."""
    if world_size() == 1:
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
