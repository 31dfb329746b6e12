"""The weights of all devices as one batch.

A regulariser of means is not the mean of regularisers, and negatives live on all devices: losses
are computed over the global batch, the same on every device. A device's gradient reaches its own
rows only; the sum over devices is then the whole gradient. Data-parallel training averages
gradients instead, so the loss is multiplied by the number of devices (``scale``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from sparse_ir.errors import ConfigError, SparseIRError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def world_size() -> int:
    """Number of devices that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This device's number."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def first_alone(act: Callable[[], None]) -> None:
    """Let the first process do something; where it is refused, none of them goes on.

    Raises:
        SparseIRError: what ``act`` raised; in the other processes a ConfigError that says the same.
    """
    said: list[str | None] = [None]
    refusal: SparseIRError | None = None
    if rank() == 0:
        try:
            act()
        except SparseIRError as error:
            refusal = error
            said = [str(error)]
    if world_size() > 1:
        dist.broadcast_object_list(said, src=0)
    if refusal is not None:
        raise refusal
    if said[0] is not None:
        raise ConfigError(said[0])


def gather(mine: Tensor, sizes: list[int]) -> Tensor:
    """Stack the rows of all devices, with gradients for one's own.

    Args:
        mine: This device's rows, (n, width).
        sizes: Rows of each device.

    Returns:
        (sum of sizes, width).
    """
    if len(sizes) == 1:
        return mine
    longest = max(sizes)
    padded = mine.detach().new_zeros((longest, mine.shape[1]))
    padded[: len(mine)] = mine.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    rows = [part[:n] for part, n in zip(parts, sizes, strict=True)]
    rows[rank()] = mine
    return torch.cat(rows)
