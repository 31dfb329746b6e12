"""The model in training as an encoder: exact weights, no gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from sparse_ir.models.batches import pad, token_batches, tokenize
from sparse_ir.models.head import OutputLayer
from sparse_ir.models.masked_lm import captured_hidden
from sparse_ir.models.saving import OFF
from sparse_ir.models.screening import weigher
from sparse_ir.pruning import keep_top_terms
from sparse_ir.training.unicoil import UnicoilModel
from sparse_ir.vectors import SparseBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sparse_ir.models.screening import Weigher
    from sparse_ir.training.model import SpladeTrainee, TermModel
    from sparse_ir.training.settings import ModelSettings

_BATCH_TOKENS = 4096
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TraineeEncoder:
    """Weighs texts with the weights of this moment."""

    def __init__(
        self,
        trainee: SpladeTrainee,
        tokenizer: Any,
        settings: ModelSettings,
        *,
        precision: str = "fp32",
    ) -> None:
        """Look at a model; it goes on being trained."""
        self._trainee, self._tokenizer, self._settings = trainee, tokenizer, settings
        self._precision = precision

    def reading(self, tokens: int) -> TraineeEncoder:
        """One that reads so many tokens of a text and bounds no document's terms, as in a batch."""
        read = replace(self._settings, max_length=tokens, document_terms=0)
        return TraineeEncoder(self._trainee, self._tokenizer, read, precision=self._precision)

    def documents(self, texts: Sequence[str]) -> sparse.csr_array:
        """Weigh documents: float32, (texts, vocabulary)."""
        found = self._weigh(self._trainee.documents, texts, self._settings.reads_of_document)
        return _heaviest(found, self._settings.document_terms)

    def queries(self, texts: Sequence[str], *, table: bool = False) -> sparse.csr_array:
        """Weigh queries: float32, (texts, vocabulary).

        Args:
            texts: The queries.
            table: By the inference-free table.
        """
        if table or self._trainee.table_only:
            return self._by_table(texts)
        model = self._trainee.queries or self._trainee.documents
        found = self._weigh(model, texts, self._settings.reads_of_query)
        return _heaviest(found, self._trainee.query_terms)

    @torch.no_grad()
    def _weigh(
        self, model: TermModel | UnicoilModel, texts: Sequence[str], max_length: int
    ) -> sparse.csr_array:
        was = model.training
        model.eval()
        weigh = None if isinstance(model, UnicoilModel) else weigher(self._layer(model))
        rows = tokenize(self._tokenizer, texts, max_length).ids
        done, order = [], []
        for batch in token_batches([len(r) for r in rows], batch_tokens=_BATCH_TOKENS):
            ids, mask = pad([rows[i] or [0] for i in batch], self._tokenizer.pad_token_id or 0)
            weights = self._weights(model, weigh, ids, mask)
            done.append(sparse.csr_array(weights.cpu().numpy()))
            order.extend(batch.tolist())
        model.train(was)
        return sparse.csr_array(sparse.vstack(done, format="csr")[np.argsort(order)])

    def _weights(
        self, model: TermModel | UnicoilModel, weigh: Weigher | None, ids: Any, mask: Any
    ) -> Tensor:
        device = next(model.parameters()).device
        inputs = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        kind = _AUTOCAST.get(self._precision)
        with torch.autocast(device.type, dtype=kind, enabled=kind is not None):
            if isinstance(model, UnicoilModel) or weigh is None:
                weights: Tensor = model(*inputs)
                return weights
            hidden = captured_hidden(model.lm, *inputs) * model.scale
        return weigh(hidden, inputs[1], pooling=model.pooling, activation=model.activation).weights

    def _layer(self, model: TermModel) -> OutputLayer:
        bias = model.bias.detach().clone()
        bias[model.dropped] = OFF
        return OutputLayer(model.output.weight.detach(), bias)

    def _by_table(self, texts: Sequence[str]) -> sparse.csr_array:
        table = self._trainee.table
        if table is None:
            raise ValueError("this model has no table of query weights")
        weights = table.weights.detach().cpu().numpy()
        # The finished table counts a text's own tokens; the others weigh nothing here.
        added = self._tokenizer.num_special_tokens_to_add()
        rows = tokenize(self._tokenizer, texts, self._settings.reads_of_query + added).ids
        columns = [np.unique(np.asarray(row, np.int64)) for row in rows]
        starts = np.cumsum([0, *map(len, columns)])
        joined = np.concatenate(columns) if columns else np.empty(0, np.int64)
        matrix = sparse.csr_array(
            (weights[joined], joined, starts), shape=(len(texts), len(weights)), dtype=np.float32
        )
        matrix.eliminate_zeros()
        return _heaviest(matrix, self._trainee.query_terms)


def _heaviest(weights: sparse.csr_array, terms: int) -> sparse.csr_array:
    """Cut as the finished model does; 0 keeps all."""
    if not terms:
        return weights
    names = ("",) * weights.shape[0]
    return keep_top_terms(SparseBatch(names, weights), terms).weights
