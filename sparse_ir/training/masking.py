"""A corpus as blocks of token ids on disk, and the masked batches that a step reads of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from sparse_ir.data.files import writing
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

IGNORED = -100
"""The label of a token that is not to be predicted."""

_TEXTS = 256  # tokenised at once


def write_blocks(path: Path, texts: Iterable[str], tokenizer: Any, max_tokens: int) -> int:
    """Tokenise texts and pack them into blocks of one length, so that nothing is padded.

    A block is [CLS], tokens, [SEP]; within it a [SEP] parts two texts. What is left at the end and
    fills no block is left away.

    Args:
        path: The file, numbers of ``_number_type`` in a row.
        texts: Read once.
        tokenizer: A fast transformers tokenizer.
        max_tokens: Length of a block.

    Returns:
        Number of blocks.

    Raises:
        InputError: the texts do not fill one block.
        StorageError: the file cannot be written.
    """
    kind = _number_type(len(tokenizer))
    payload, blocks = max_tokens - 2, 0
    rest = np.empty(0, kind)
    with writing(path, "wb") as stream:
        for ids in _token_ids(texts, tokenizer):
            rest = np.concatenate([rest, np.fromiter(ids, kind)])
            whole = len(rest) // payload
            rows = np.empty((whole, max_tokens), kind)
            rows[:, 0], rows[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
            rows[:, 1:-1] = rest[: whole * payload].reshape(whole, payload)
            stream.write(rows.tobytes())
            rest, blocks = rest[whole * payload :], blocks + whole
        if not blocks:
            raise InputError(
                f"the corpus has {len(rest):,} tokens, fewer than max_tokens ({max_tokens}). Give "
                "more text."
            )
    return blocks


def _token_ids(texts: Iterable[str], tokenizer: Any) -> Iterator[list[int]]:
    """The ids of some texts at a time, with a [SEP] behind each text."""
    stream, backend = iter(texts), tokenizer.backend_tokenizer
    while part := list(islice(stream, _TEXTS)):
        found = backend.encode_batch_fast(part, add_special_tokens=False)
        yield [i for text in found for i in (*text.ids, tokenizer.sep_token_id)]


def _number_type(size: int) -> Any:
    return np.uint16 if size <= 1 << 16 else np.uint32


def read_blocks(path: Path, vocabulary: int, max_tokens: int) -> NDArray[Any]:
    """Map a file of ``write_blocks`` into memory: (blocks, max_tokens)."""
    numbers = np.memmap(path, _number_type(vocabulary), "r")
    return numbers.reshape(-1, max_tokens)


class MaskedBatches(torch.utils.data.Dataset[dict[str, Any]]):
    """Step -> its blocks with some tokens hidden; seed and number alone decide which.

    An item holds this device's ``input_ids`` and ``labels``, (rows, tokens), int64, and ``total``,
    the number of tokens that all devices together have to predict, (1,).
    """

    def __init__(
        self,
        blocks: NDArray[Any],
        tokenizer: Any,
        *,
        steps: int,
        rows: int,
        masking_share: float,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare ``steps`` batches of ``rows`` blocks for one of ``world_size`` devices."""
        self._blocks, self._steps, self._rows, self._seed = blocks, steps, rows, seed
        self._rank, self._world_size = rank, world_size
        self._collator = transformers.DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=masking_share
        )
        self._special = torch.tensor(tokenizer.all_special_ids)
        self._epoch: tuple[int, NDArray[Any]] | None = None

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        places = range(step * self._rows, (step + 1) * self._rows)
        chosen = np.stack([self._blocks[self._block(place)] for place in places])
        ids = torch.from_numpy(chosen.astype(np.int64))
        drawn = np.random.default_rng([self._seed, 1, step]).integers(1 << 31)
        with torch.random.fork_rng(devices=[]):  # the collator draws from torch's own numbers
            torch.manual_seed(int(drawn))
            ids, labels = self._collator.torch_mask_tokens(
                ids, special_tokens_mask=torch.isin(ids, self._special)
            )
        total = (labels != IGNORED).sum().clamp_min(1)
        mine = slice(self._rank, None, self._world_size)
        return {"input_ids": ids[mine], "labels": labels[mine], "total": total}

    def _block(self, place: int) -> int:
        """The block at a place of the endless row of shuffled epochs."""
        epoch, at = divmod(place, len(self._blocks))
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, 0, epoch])
            self._epoch = epoch, rng.permutation(len(self._blocks))
        return int(self._epoch[1][at])
