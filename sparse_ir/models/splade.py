"""The SPLADE encoder: a masked LM whose pooled logits weigh the terms of its vocabulary."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.batched import BATCH_TOKENS, on_device, sparse_rows
from sparse_ir.models.batches import maximal_length, named_tokens
from sparse_ir.models.fingerprint import splade_fingerprint, tokenizer_digest, weights_digest
from sparse_ir.models.layout_encoder import LayoutEncoder
from sparse_ir.models.layouts import SpladeLayout, read_layout
from sparse_ir.models.masked_lm import PRECISIONS, find_device, load_masked_lm, load_tokenizer
from sparse_ir.models.screening import weigher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor

    from sparse_ir.models.head import TermWeights
    from sparse_ir.models.screening import Weigher
    from sparse_ir.models.sides import TableLayout


class SpladeEncoder(LayoutEncoder):
    """Weighs the terms of a masked LM's vocabulary for a text.

    Attributes:
        tokenizer: The model's transformers tokenizer.
        layout: How the folder is used: pooling, activation, maximal length, what is dropped.
        max_length: Tokens read of a text, special ones included.
    """

    _device: torch.device

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_tokens: int | None = None,
        max_length: int | None = None,
        layout: SpladeLayout | None = None,
        table: TableLayout | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load a model folder.

        Args:
            path: A folder that transformers or sentence-transformers saved.
            name: What ``load_encoder`` takes to load it again; the folder by default.
            device: "auto" (CUDA, then MPS, then CPU) or any name torch knows.
            precision: "fp32", "bf16", "fp16", or "int8" on a CPU with VNNI; the logits are float32
                in each.
            batch_tokens: Upper bound of texts times longest text in a batch.
            max_length: Read fewer tokens of a text than the model allows.
            layout: Use the folder otherwise than its files say.
            table: An inference-free query side that fits the documents too.
            trust_remote_code: Run Python code that the folder brings.

        Raises:
            ModelError: the folder holds no masked LM with its head and tokenizer.
            ConfigError: a setting is wrong.
        """
        self.path = Path(path).resolve()
        self.name = name or str(self.path)
        self.batch_tokens = batch_tokens or BATCH_TOKENS
        self._table = table
        self._chosen_length = max_length
        self._device = find_device(device)
        if precision not in (*PRECISIONS, "int8"):
            raise ConfigError(f"precision is {precision!r}. Use fp32, bf16, fp16 or int8.")
        self.layout = layout or read_layout(self.path)
        folder = self.layout.model
        self.tokenizer = load_tokenizer(
            folder, lowercase=self.layout.lowercase, trust_remote_code=trust_remote_code
        )
        self._model = load_masked_lm(folder, trust_remote_code=trust_remote_code)
        self._model.to(self._device, precision)
        if len(self.tokenizer) > self._model.size:
            raise ModelError(
                f"{folder}: the tokenizer knows {len(self.tokenizer)} tokens, the model only "
                f"{self._model.size}. They do not belong together."
            )
        self.max_length = maximal_length(
            self.tokenizer, self._model.config, chosen=max_length, saved=self.layout.max_length
        )
        self._dropped_positions = self._dropped(self.layout.drop_positions)
        self._dropped_columns = self._dropped(self.layout.drop_columns)

    @cached_property
    def _weigher(self) -> Weigher:
        return weigher(self._model.layer)

    @property
    def size(self) -> int:
        """Number of terms."""
        return self._model.size

    def get_sparse(self, input_ids: Any, attention_mask: Any) -> list[dict[str, float]]:
        """Weigh texts that are tokens already.

        Args:
            input_ids: (batch, tokens), tensor or nested list.
            attention_mask: 1 for tokens, 0 for padding, (batch, tokens).

        Returns:
            Term -> weight for each text, heaviest first, not rounded.
        """
        ids, mask = torch.as_tensor(input_ids), torch.as_tensor(attention_mask)
        rows = sparse_rows(self._weigh(ids, mask).weights)
        found = []
        for i in range(rows.shape[0]):
            columns = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
            weights = rows.data[rows.indptr[i] : rows.indptr[i + 1]]
            order = np.lexsort((columns, -weights))
            found.append({self.vocabulary[columns[j]]: float(weights[j]) for j in order})
        return found

    def _weigh_batch(self, ids: NDArray[Any], mask: NDArray[Any]) -> sparse.csr_array:
        return sparse_rows(self._weigh(torch.from_numpy(ids), torch.from_numpy(mask)).weights)

    def _weigh_one(
        self, ids: NDArray[Any], mask: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        inputs = torch.from_numpy(ids), torch.from_numpy(mask)
        return self._weigh(*inputs, positions=True).of_one()

    @torch.inference_mode()
    def _weigh(self, ids: Tensor, mask: Tensor, *, positions: bool = False) -> TermWeights:
        ids, mask = on_device(ids, self._device), on_device(mask, self._device)
        hidden = self._model.hidden(ids, mask)
        counted = mask.bool()
        if self._dropped_positions is not None:
            counted &= ~torch.isin(ids, self._dropped_positions)
        found = self._weigher(
            hidden,
            counted,
            pooling=self.layout.pooling,
            activation=self.layout.activation,
            positions=positions,
        )
        if self._dropped_columns is not None:
            found.weights[:, self._dropped_columns] = 0.0
        return found

    def _fingerprint(self, prompt: str, **bounds: float) -> str:
        return splade_fingerprint(
            self.layout,
            weights=weights_digest(self.layout.model),
            tokenizer=tokenizer_digest(self.layout.model),
            max_length=self.max_length,
            prompt=prompt,
            **bounds,
        )

    def _dropped(self, names: Sequence[str]) -> Tensor | None:
        ids = named_tokens(self.tokenizer, names)
        return torch.tensor(ids, device=self._device) if ids else None
