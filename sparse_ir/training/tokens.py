"""A batch's texts as groups of token ids of like length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch

from sparse_ir.models.batches import pad, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_GROUP_TOKENS = 2048  # a smaller group is not worth another pass through the model


class TokenGroup(TypedDict):
    """Texts that go through the model together.

    ``ids`` and ``mask`` are int64, (texts, longest); ``order`` is the place of each text in its
    batch, (texts,).
    """

    ids: Tensor
    mask: Tensor
    order: Tensor


def token_groups(
    tokenizer: Any, texts: Sequence[str], max_length: int, *, chunk_texts: int = 0, split: bool
) -> list[TokenGroup]:
    """Tokenise texts and group those of like length, the longest first.

    Args:
        tokenizer: A transformers tokenizer.
        texts: At least one.
        max_length: Tokens read of a text.
        chunk_texts: Texts of a group at most; 0 for no limit.
        split: Also part a batch where that spares padding; without, one group of all.
    """
    rows = tokenize(tokenizer, texts, max_length).ids
    rows = [row or [tokenizer.pad_token_id or 0] for row in rows]
    order = np.argsort([-len(row) for row in rows], kind="stable")
    groups = []
    for start, stop in _parts([len(rows[i]) for i in order], chunk_texts, split=split):
        chosen = order[start:stop]
        ids, mask = pad([rows[i] for i in chosen], tokenizer.pad_token_id or 0)
        groups.append(
            TokenGroup(
                ids=torch.from_numpy(ids),
                mask=torch.from_numpy(mask),
                order=torch.from_numpy(chosen),
            )
        )
    return groups


def _parts(lengths: list[int], limit: int, *, split: bool) -> list[tuple[int, int]]:
    """Cut a descending list of lengths where the padding spared is worth a group."""
    parts, start = [], 0
    for i in range(1, len(lengths) + 1):
        full = limit and i - start >= limit
        size = (i - start) * lengths[start]
        spared = i < len(lengths) and lengths[i] <= 0.75 * lengths[start]
        if i == len(lengths) or full or (split and spared and size >= _GROUP_TOKENS):
            parts.append((start, i))
            start = i
    return parts
