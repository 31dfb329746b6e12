"""A transformers model of a folder with its tokenizer, run over texts in batches of like length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from sparse_ir.errors import ConfigError, ModelError, brief
from sparse_ir.models.batched import halved
from sparse_ir.models.batches import maximal_length, pad, token_batches, tokenize
from sparse_ir.models.fingerprint import fingerprint, tokenizer_digest, weights_digest
from sparse_ir.models.masked_lm import PRECISIONS, find_device, load_tokenizer
from sparse_ir.models.memory import is_out_of_memory
from sparse_ir.models.pretrained import load_pretrained
from sparse_ir.models.tokens_ahead import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

BATCH_TOKENS = 8192
"""Texts times longest text of a batch."""


class Options(NamedTuple):
    """How a model is run; the same for every kind.

    Attributes:
        device: "auto" (CUDA, then MPS, then CPU) or any name torch knows.
        precision: "fp32", "bf16" or "fp16".
        batch_tokens: Upper bound of texts times longest text in a batch; None for 8,192.
        max_length: Read fewer tokens of a text than the model allows.
        trust_remote_code: Run Python code that the folder brings.
    """

    device: str = "auto"
    precision: str = "fp32"
    batch_tokens: int | None = None
    max_length: int | None = None
    trust_remote_code: bool = False


class Batch(NamedTuple):
    """What the model made of one batch.

    Attributes:
        rows: Positions of the texts in what was given, (batch,).
        ids: Token ids, on the device, (batch, tokens).
        mask: 1 for tokens, 0 for padding, on the device, (batch, tokens).
        output: The model's output.
    """

    rows: NDArray[Any]
    ids: Tensor
    mask: Tensor
    output: Any


class Backbone:
    """A model and its tokenizer on a device.

    Attributes:
        folder: Where they were loaded from.
        config: The model's config.
        tokenizer: The transformers tokenizer.
        model: The transformers model, for inference alone.
        device: Where it runs.
        max_length: Tokens read of a text, special ones included.
        batch_tokens: Upper bound of texts times longest text in a batch; halved where memory
            runs out.
    """

    def __init__(
        self,
        folder: Path,
        options: Options,
        *,
        auto: str = "AutoModel",
        saved_length: int | None = None,
        lowercase: bool = False,
    ) -> None:
        """Load a folder that transformers saved.

        Args:
            folder: Holds ``config.json``, weights and tokenizer.
            options: Device, precision, batches.
            auto: The transformers class that loads it.
            saved_length: The length that the folder's own settings name.
            lowercase: Lower-case texts before the tokenizer sees them.

        Raises:
            ModelError: the folder holds no such model, or weights of it are missing.
            ConfigError: an option is wrong.
        """
        self.folder, self.options = folder, options
        self.batch_tokens = options.batch_tokens or BATCH_TOKENS
        self.device = find_device(options.device)
        if options.precision not in PRECISIONS:
            raise ConfigError(f"precision is {options.precision!r}. Use fp32, bf16 or fp16.")
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} holds no config.json, so it is no model folder. Give a folder that "
                "transformers or sentence-transformers saved."
            )
        trusted = options.trust_remote_code
        self.tokenizer = load_tokenizer(folder, lowercase=lowercase, trust_remote_code=trusted)
        self.model = _load(folder, auto, trust_remote_code=trusted)
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(PRECISIONS[options.precision])
        self.model.to(self.device)
        self.config = self.model.config
        self.max_length = maximal_length(
            self.tokenizer, self.config, chosen=options.max_length, saved=saved_length
        )

    def fingerprint(self, parts: dict[str, Any]) -> str:
        """SHA-256, hex, of weights, tokenizer, length and whatever else decides the output."""
        own = {
            "weights": weights_digest(self.folder),
            "tokenizer": tokenizer_digest(self.folder),
            "max_length": self.max_length,
        }
        return fingerprint({**own, **parts})

    def run(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Run the model over texts, in batches of like length, the longest first.

        Yields:
            Batches; every text occurs in one of them, unless it has no token at all.

        Raises:
            EncodingError: memory runs out with a single text.
        """
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            tokens = tokenize(self.tokenizer, window, self.max_length).ids
            for batch in self._run(tokens):
                yield batch._replace(rows=batch.rows + start)

    @torch.inference_mode()
    def forward(
        self, rows: Sequence[Sequence[int]], *, attention: Tensor | None = None, **inputs: Tensor
    ) -> tuple[Tensor, Tensor, Any]:
        """Run one batch of token ids.

        Args:
            rows: Token ids, special ones included.
            attention: Which tokens are read, (batch, tokens); by default all but padding.
            inputs: Whatever else the model takes.

        Returns:
            Ids and mask, (batch, tokens), and the model's output.
        """
        ids, mask = (torch.from_numpy(a).to(self.device) for a in pad(rows, self.padding))
        seen = mask if attention is None else attention.to(self.device)
        on_device = {name: value.to(self.device) for name, value in inputs.items()}
        return ids, mask, self.model(input_ids=ids, attention_mask=seen, **on_device)

    @property
    def padding(self) -> int:
        """The id that fills a batch."""
        return int(self.tokenizer.pad_token_id or 0)

    def _run(self, tokens: list[list[int]]) -> Iterator[Batch]:
        """Run all rows, in batches of half the size from where memory runs out."""
        # a tokenizer without special tokens leaves nothing of ""
        left = np.array([i for i, row in enumerate(tokens) if row], np.int64)
        while len(left):
            batches = token_batches([len(tokens[i]) for i in left], batch_tokens=self.batch_tokens)
            done: set[int] = set()
            for batch in batches:
                chosen = left[batch]
                rows = [tokens[i] for i in chosen]
                try:
                    made = self.forward(rows)
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
                    lengths = [len(row) for row in rows]
                    self.batch_tokens = halved(self.batch_tokens, lengths, self.device, error)
                    break
                done.update(chosen.tolist())
                yield Batch(chosen, *made)
            left = np.array([i for i in left if i not in done], np.int64)


def _load(folder: Path, auto: str, *, trust_remote_code: bool) -> Any:
    try:
        model, info = load_pretrained(auto, folder, trust_remote_code=trust_remote_code)
    except ModelError:
        raise
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(
            f"{folder}: the model cannot be loaded: {type(error).__name__}: {brief(error)}"
        ) from error
    # A pooler is often not saved, and nothing here reads what it makes.
    lacking = sorted(key for key in map(str, info["missing_keys"]) if "pooler" not in key)
    if lacking:
        raise ModelError(
            f"{folder} holds no weights for {', '.join(lacking[:3])}. Give a folder saved with "
            f"all that {type(model).__name__} needs."
        )
    return model.float().eval()
