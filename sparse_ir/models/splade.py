"""The SPLADE encoder: a masked LM whose pooled logits weigh the terms of its vocabulary."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from sparse_ir.errors import ConfigError, EncodingError, ModelError
from sparse_ir.models.base import Explanation, TermOrigin
from sparse_ir.models.batches import (
    maximal_length,
    named_tokens,
    pad,
    token_batches,
    tokenize,
    vocabulary_terms,
)
from sparse_ir.models.fingerprint import splade_fingerprint, tokenizer_digest, weights_digest
from sparse_ir.models.inference_free import InferenceFreeQueries
from sparse_ir.models.layouts import SpladeLayout, read_layout
from sparse_ir.models.masked_lm import (
    PRECISIONS,
    find_device,
    load_masked_lm,
    load_tokenizer,
)
from sparse_ir.models.memory import is_out_of_memory
from sparse_ir.models.origins import token_words
from sparse_ir.models.screening import weigher
from sparse_ir.models.tokens_ahead import TokensAhead
from sparse_ir.pruning import keep_top_terms
from sparse_ir.vectors import SparseBatch, concatenate, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from sparse_ir.models.head import TermWeights
    from sparse_ir.models.screening import Weigher
    from sparse_ir.models.sides import TableLayout

BATCH_TOKENS = 4096
"""Texts times longest text of a batch."""

_WINDOW = 4096  # texts tokenised and sorted at a time
_log = logging.getLogger(__name__)


class SpladeEncoder:
    """Weighs the terms of a masked LM's vocabulary for a text.

    Attributes:
        tokenizer: The model's transformers tokenizer.
        layout: How the folder is used: pooling, activation, maximal length, what is dropped.
        max_length: Tokens read of a text, special ones included.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_tokens: int = BATCH_TOKENS,
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
        self.batch_tokens = batch_tokens
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

    @cached_property
    def _ahead(self) -> TokensAhead:
        return TokensAhead(self.tokenizer, self.max_length, window=_WINDOW)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The term of every column; a column without a token of its own is "[id:N]"."""
        return vocabulary_terms(self.tokenizer, self._model.size)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of weights, tokenizer, pooling, activation, length, drops and prompt."""
        kept = self.layout.document_terms
        more = {"document_terms": kept} if kept else {}
        return self._fingerprint(self.layout.document_prompt, **more)

    @cached_property
    def query_fingerprint(self) -> str:
        """As ``fingerprint``; another one where queries have a prompt or terms of their own."""
        kept = {"query_terms": self.layout.query_terms} if self.layout.query_terms else {}
        return self._fingerprint(self.layout.query_prompt, **kept)

    @cached_property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Its own, and that of the inference-free query side where there is one."""
        if self._table is None:
            return (self.query_fingerprint,)
        table = InferenceFreeQueries(self._table, max_length=self._chosen_length)
        return (self.query_fingerprint, table.query_fingerprint)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.document_prompt, ids, on_cut, advance)
        kept = self.layout.document_terms
        return keep_top_terms(found, kept) if kept else found

    def foresee(self, texts: Sequence[str]) -> None:
        """Begin to tokenise what ``encode_documents`` will get next: this very sequence."""
        self._ahead.begin(texts, 0, self.layout.document_prompt)

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.query_prompt, ids)
        kept = self.layout.query_terms
        return keep_top_terms(found, kept) if kept else found

    def get_sparse(self, input_ids: Any, attention_mask: Any) -> list[dict[str, float]]:
        """Weigh texts that are tokens already.

        Args:
            input_ids: (batch, tokens), tensor or nested list.
            attention_mask: 1 for tokens, 0 for padding, (batch, tokens).

        Returns:
            Term -> weight for each text, heaviest first, not rounded.
        """
        ids, mask = torch.as_tensor(input_ids), torch.as_tensor(attention_mask)
        rows = _sparse(self._weigh(ids, mask).weights)
        found = []
        for i in range(rows.shape[0]):
            columns = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
            weights = rows.data[rows.indptr[i] : rows.indptr[i + 1]]
            order = np.lexsort((columns, -weights))
            found.append({self.vocabulary[columns[j]]: float(weights[j]) for j in order})
        return found

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term; see ``SparseEncoder``."""
        prompt = self.layout.query_prompt if query else self.layout.document_prompt
        tokens = tokenize(self.tokenizer, [prompt + text], self.max_length)
        row = tokens.ids[0]
        if not row:
            return Explanation(text, (), tokens.cut[0])
        ids = torch.tensor([row])
        found = self._weigh(ids, torch.ones_like(ids), positions=True)
        weights, positions = found.weights[0].cpu(), found.where(0)
        words = token_words(self.tokenizer, text, row, prompt=prompt)
        columns = weights.nonzero().flatten()
        columns = columns[weights[columns].argsort(descending=True, stable=True)]
        kept = self.layout.query_terms if query else self.layout.document_terms
        columns = columns[: kept or None]
        origins = (
            TermOrigin(self.vocabulary[c], float(weights[c]), *words[token])
            for c, token in zip(columns.tolist(), positions[columns].tolist(), strict=True)
        )
        return Explanation(text, tuple(origins), tokens.cut[0])

    def text_terms(self, text: str) -> list[str]:
        """List the tokens of a text, as far as they are read; see ``SparseEncoder``."""
        special = set(self.tokenizer.all_special_ids)
        found = tokenize(self.tokenizer, [text], self.max_length).ids[0]
        return [self.vocabulary[i] for i in dict.fromkeys(found) if i not in special]

    def _encode(
        self,
        texts: Sequence[str],
        prompt: str,
        ids: Sequence[str] | None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        if isinstance(texts, str):
            raise ValueError("texts is one string. Give a list of texts.")
        names = [str(i) for i in range(len(texts))] if ids is None else list(ids)
        if len(names) != len(texts):
            raise ValueError(f"{len(names)} ids for {len(texts)} texts")
        cut = 0
        batches = []
        for start in range(0, len(texts), self._ahead.window):
            tokens = self._ahead.take(texts, start, prompt)
            cut += sum(tokens.cut)
            ids = names[start : start + self._ahead.window]
            batches.append(self._encode_tokens(tokens.ids, ids, advance))
        if cut and on_cut is not None:
            on_cut(cut)
        elif cut:
            _log.warning(
                "%d of %d texts are longer than %d tokens; the rest of them is not read",
                cut,
                len(texts),
                self.max_length,
            )
        if not batches:
            return SparseBatch((), sparse.csr_array((0, self._model.size), dtype=np.float32))
        return batches[0] if len(batches) == 1 else concatenate(batches)

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
                self._halve(len(chosen), max(len(rows[i]) for i in chosen), error)
                left = [i for i in left if i not in done]

    def _halve(self, texts: int, longest: int, error: Exception) -> None:
        """Make batches half of the one that was too large."""
        if texts == 1:
            raise EncodingError(
                f"memory ran out on {self._device} with a single text of {longest} tokens. Use "
                "--precision bf16 or fp16, another device, or --passages, which read less at a "
                "time."
            ) from error
        self.batch_tokens = min(self.batch_tokens, texts * longest) // 2
        _log.warning(
            "memory ran out on %s; from here on batches have %d tokens",
            self._device,
            self.batch_tokens,
        )
        torch.cuda.empty_cache()

    def encode_batch(self, rows: Sequence[Sequence[int]]) -> sparse.csr_array:
        """Weigh one batch of token ids, (batch, vocabulary).

        Raises:
            ModelError: the model gives a weight that is not a number.
        """
        input_ids, mask = pad(rows, self.tokenizer.pad_token_id or 0)
        if input_ids.size == 0:  # a tokenizer without special tokens leaves nothing of ""
            return sparse.csr_array((len(rows), self._model.size), dtype=np.float32)
        found = _sparse(self._weigh(torch.from_numpy(input_ids), torch.from_numpy(mask)).weights)
        if not np.isfinite(found.data).all():
            raise ModelError(
                f"{self.name} gives weights that are not finite numbers. If you asked for fp16, "
                "use bf16 or fp32."
            )
        return found

    @torch.inference_mode()
    def _weigh(self, ids: Tensor, mask: Tensor, *, positions: bool = False) -> TermWeights:
        ids, mask = ids.to(self._device), mask.to(self._device)
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

    def _fingerprint(self, prompt: str, **more: int) -> str:
        return splade_fingerprint(
            self.layout,
            weights=weights_digest(self.layout.model),
            tokenizer=tokenizer_digest(self.layout.model),
            max_length=self.max_length,
            prompt=prompt,
            **more,
        )

    def _dropped(self, names: Sequence[str]) -> Tensor | None:
        ids = named_tokens(self.tokenizer, names)
        return torch.tensor(ids, device=self._device) if ids else None


def _sparse(weights: Tensor) -> sparse.csr_array:
    """Take the weights above 0 off the device; the zeros stay there."""
    if weights.device.type == "cpu":
        return sparse.csr_array(weights.numpy())
    rows, columns = weights.nonzero(as_tuple=True)
    values = weights[rows, columns]
    starts = torch.zeros(len(weights) + 1, dtype=torch.int64, device=weights.device)
    starts[1:] = (weights != 0).sum(dim=1).cumsum(dim=0)
    parts = [values, columns.to(torch.int32), starts.to(torch.int32)]
    return sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=tuple(weights.shape))
