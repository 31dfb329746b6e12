"""Texts through a model in batches of like length: what all encoders with a network share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import EncodingError, ModelError
from sparse_ir.models.base import Explanation, TermOrigin
from sparse_ir.models.batches import (
    own_tokens,
    pad,
    text_ids,
    token_batches,
    tokenize,
    vocabulary_terms,
    warn_of_cut,
)
from sparse_ir.models.memory import is_out_of_memory
from sparse_ir.models.origins import token_words
from sparse_ir.models.tokens_ahead import TokensAhead
from sparse_ir.vectors import SparseBatch, concatenate, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

BATCH_TOKENS = 4096
"""Texts times longest text of a batch."""

_log = logging.getLogger(__name__)


class BatchedEncoder(ABC):
    """Weighs texts of any number and length, at the memory of a batch.

    Attributes:
        name: What ``load_encoder`` takes to load it again.
        tokenizer: The model's tokenizer.
        max_length: Tokens read of a text, special ones included.
        batch_tokens: Upper bound of texts times longest text in a batch; halved where memory
            runs out.
    """

    name: str
    tokenizer: Any
    max_length: int
    batch_tokens: int
    _device: torch.device | str

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of terms."""

    @abstractmethod
    def _weigh_batch(self, ids: NDArray[Any], mask: NDArray[Any]) -> sparse.csr_array:
        """Weigh a padded batch of token ids: (texts, vocabulary)."""

    @abstractmethod
    def _weigh_one(
        self, ids: NDArray[Any], mask: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The weights of a batch of one text, and the token that gave each, (vocabulary,)."""

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The term of every column; a column without a token of its own is "[id:N]"."""
        return vocabulary_terms(self.tokenizer, self.size)

    @cached_property
    def _ahead(self) -> TokensAhead:
        return TokensAhead(self.tokenizer, self.max_length)

    def text_terms(self, text: str) -> list[str]:
        """List the tokens of a text, as far as they are read; see ``SparseEncoder``."""
        found = own_tokens(self.tokenizer, text, self.max_length)
        return [self.vocabulary[i] for i in found]

    def _explain(self, text: str, prompt: str, kept: int) -> Explanation:
        """Weigh one text, and name the word behind each of the ``kept`` heaviest terms."""
        tokens = tokenize(self.tokenizer, [prompt + text], self.max_length)
        row = tokens.ids[0]
        if not row:
            return Explanation(text, (), tokens.cut[0])
        weights, positions = self._weigh_one(*pad([row], 0))
        words = token_words(self.tokenizer, text, row, prompt=prompt)
        columns = np.flatnonzero(weights)
        columns = columns[np.argsort(-weights[columns], kind="stable")][: kept or None]
        origins = (
            TermOrigin(self.vocabulary[c], float(weights[c]), *words[positions[c]])
            for c in columns.tolist()
        )
        return Explanation(text, tuple(origins), tokens.cut[0])

    def _encode(
        self,
        texts: Sequence[str],
        prompt: str,
        ids: Sequence[str] | None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh texts in the order given, at the memory of a window."""
        names, window = text_ids(texts, ids), self._ahead.window
        cut = 0
        batches = [SparseBatch((), sparse.csr_array((0, self.size), dtype=np.float32))]
        for start in range(0, len(texts), window):
            found = self._ahead.take(texts, start, prompt)
            cut += sum(found.cut)
            part = names[start : start + window]
            batches.append(self._encode_tokens(found.ids, part, advance))
        if cut and on_cut is not None:
            on_cut(cut)
        elif cut:
            warn_of_cut(cut, len(texts), self.max_length)
        return batches[-1] if len(batches) <= 2 else concatenate(batches)

    def _encode_tokens(
        self, rows: list[list[int]], ids: Sequence[str], advance: Callable[[int], None]
    ) -> SparseBatch:
        done: list[SparseBatch] = []
        order: list[int] = []
        for batch, weights in self._in_batches(rows):
            done.append(SparseBatch(tuple(ids[i] for i in batch), weights))
            order.extend(batch)
            advance(len(batch))
        return select(concatenate(done), np.argsort(order))

    def _in_batches(self, rows: list[list[int]]) -> Iterator[tuple[list[int], sparse.csr_array]]:
        """Weigh all rows, in batches of half the size from where memory runs out."""
        left = list(range(len(rows)))
        while left:
            batches = token_batches([len(rows[i]) for i in left], batch_tokens=self.batch_tokens)
            done: set[int] = set()
            try:
                for batch in batches:
                    chosen = [left[i] for i in batch]
                    weights = self.encode_batch([rows[i] for i in chosen])
                    done.update(chosen)
                    yield chosen, weights
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                lengths = [len(rows[i]) for i in chosen]
                self.batch_tokens = halved(self.batch_tokens, lengths, self._device, error)
                left = [i for i in left if i not in done]

    def encode_batch(self, rows: Sequence[Sequence[int]]) -> sparse.csr_array:
        """Weigh one batch of token ids, (batch, vocabulary).

        Raises:
            ModelError: the model gives a weight that is not a number.
        """
        input_ids, mask = pad(rows, self.tokenizer.pad_token_id or 0)
        if input_ids.size == 0:  # a tokenizer without special tokens leaves nothing of ""
            return sparse.csr_array((len(rows), self.size), dtype=np.float32)
        found = self._weigh_batch(input_ids, mask)
        if not np.isfinite(found.data).all():
            raise ModelError(
                f"{self.name} gives weights that are not finite numbers. If you asked for fp16, "
                "use bf16 or fp32."
            )
        return found


def halved(
    batch_tokens: int, lengths: Sequence[int], device: torch.device | str, error: Exception
) -> int:
    """Say how large batches are from here on: half of the one that was too large.

    Args:
        batch_tokens: The bound that was in force.
        lengths: Tokens of each text of the batch for which memory ran out.
        device: Where it ran out.
        error: What said so.

    Raises:
        EncodingError: the batch was a single text.
    """
    if len(lengths) == 1:
        raise EncodingError(
            f"memory ran out on {device} with a single text of {lengths[0]} tokens. Use "
            "--precision bf16 or fp16, another device, or --passages, which read less at a time."
        ) from error
    bound = min(batch_tokens, len(lengths) * max(lengths)) // 2
    _log.warning("memory ran out on %s; from here on batches have %d tokens", device, bound)
    if str(device).startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
    return bound


def on_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Copy a batch's inputs to where the model is.

    To a GPU from pinned memory, which is quicker and does not wait: its own queue keeps the order,
    and torch holds the pinned memory until the copy is made. Batches do not overlap by this, as the
    weights of one are fetched before the next is begun.
    """
    if device.type == "cuda" and inputs.device.type == "cpu":
        return inputs.pin_memory().to(device, non_blocking=True)
    return inputs.to(device)


def sparse_rows(weights: Tensor) -> sparse.csr_array:
    """Take the weights above 0 off the device; the zeros stay there."""
    if weights.device.type == "cpu":
        return sparse.csr_array(weights.numpy())
    rows, columns = weights.nonzero(as_tuple=True)
    values = weights[rows, columns]
    starts = columns.new_zeros(len(weights) + 1)
    starts[1:] = (weights != 0).sum(dim=1).cumsum(dim=0)
    parts = [values, columns.int(), starts.int()]
    return sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=tuple(weights.shape))
