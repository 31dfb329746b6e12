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
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from torch import Tensor

    from sparse_ir.training.tokens import TokenGroup

    _Generator: TypeAlias = tuple[Callable[[], Tensor], Callable[[Tensor], None]]


class _RandomState:
    """The state of the generators before a chunk, to be put back when it is computed again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._states = [read() for read, _ in _generators(device)]

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        generators = _generators(self._device)
        now = [read() for read, _ in generators]
        self._write(generators, self._states)
        try:
            yield
        finally:
            self._write(generators, now)

    @staticmethod
    def _write(generators: list[_Generator], states: list[Tensor]) -> None:
        for (_, write), state in zip(generators, states, strict=True):
            write(state)


def _generators(device: torch.device) -> list[_Generator]:
    """How to read and write the state of whatever a forward pass may draw from."""
    found: list[_Generator] = [(torch.get_rng_state, torch.set_rng_state)]
    if device.type == "cuda":
        cuda = torch.cuda
        found.append((lambda: cuda.get_rng_state(device), lambda s: cuda.set_rng_state(s, device)))
    elif device.type == "mps":
        found.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return found


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
    leaves = _Leaves([sum(len(group["ids"]) for group in groups) for groups in sides])
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for side, groups in enumerate(sides):
            for group in groups:
                states[side].append(_RandomState(device))
                leaves.put(_forward(model, group, queries=side == 0), group["order"])
    mine = leaves.weights()
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


class _Leaves:
    """The rows of all chunks in the order of the batch: what gradients are collected in."""

    def __init__(self, texts: list[int]) -> None:
        """Take the numbers of queries and documents."""
        self._texts = dict(zip(Weights._fields, (texts[0], texts[0], texts[1]), strict=True))
        self._rows: dict[str, Tensor] = {}

    def put(self, chunk: Weights, order: Tensor) -> None:
        """Copy the rows of a chunk to their places."""
        for name, rows in chunk._asdict().items():
            if rows is not None:
                if name not in self._rows:
                    self._rows[name] = rows.new_empty((self._texts[name], rows.shape[1]))
                self._rows[name][order] = rows

    def weights(self) -> Weights:
        """The whole batch."""
        found = {name: rows.requires_grad_() for name, rows in self._rows.items()}
        return Weights(*(found.get(name) for name in Weights._fields))


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
