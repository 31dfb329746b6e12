"""What is trained: a masked LM (or two, or a table) that gives texts dense rows of term weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sparse_ir.models.masked_lm import captured_hidden
from sparse_ir.models.saving import OFF
from sparse_ir.models.trainable_head import trained_weights

if TYPE_CHECKING:
    from torch import Tensor

    from sparse_ir.training.tokens import TokenGroup
    from sparse_ir.training.unicoil import UnicoilModel


class TermModel(nn.Module):
    """A masked LM whose pooled logits weigh the terms of its vocabulary, with gradients.

    Attributes:
        lm: The transformers model.
        dropped: Columns that stay 0.
        revive: Whether a text's own tokens can be raised again where they have fallen to 0.
    """

    fixed_bias: Tensor | None

    def __init__(
        self,
        lm: Any,
        *,
        scale: float,
        bias: Tensor | None,
        pooling: str,
        activation: str,
        dropped: list[int],
    ) -> None:
        """Wrap a masked LM that ends where its output layer begins.

        Args:
            lm: The model, prepared by ``MaskedLM``.
            scale: What it multiplies its logits by.
            bias: Its output bias where that is no parameter of the output layer.
            pooling: "max" or "sum".
            activation: "log1p" or "log1p_log1p".
            dropped: Columns that never get a weight.
        """
        super().__init__()
        self.lm = lm
        self.scale, self.pooling, self.activation = scale, pooling, activation
        self.dropped = dropped
        self.revive = False
        self.register_buffer("fixed_bias", bias, persistent=False)

    @property
    def size(self) -> int:
        """Number of terms."""
        return len(self.output.weight)

    def part(self, name: str) -> str:
        """Which learning rate a parameter has: "body" or "head", what lies outside of the body."""
        return "body" if name.startswith(f"lm.{self.lm.base_model_prefix}.") else "head"

    @property
    def output(self) -> Any:
        """The module that holds the output layer's weights."""
        return self.lm.get_output_embeddings()

    @property
    def bias(self) -> Tensor:
        """The output bias, (vocabulary,)."""
        if self.fixed_bias is not None:
            return self.fixed_bias
        bias: Tensor = self.output.bias
        return bias if self.scale == 1.0 else bias * self.scale

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Weigh a padded batch of token ids: float32, (texts, vocabulary)."""
        hidden = captured_hidden(self.lm, ids, mask) * self.scale
        bias, revived = self.bias, None
        if self.revive:
            revived = present_tokens(ids, mask, len(bias))
        if self.dropped:
            columns = torch.tensor(self.dropped, device=bias.device)
            bias = bias.index_fill(0, columns, OFF)
            revived = None if revived is None else revived.index_fill(1, columns, value=False)
        return trained_weights(
            hidden,
            mask,
            self.output.weight,
            bias,
            pooling=self.pooling,
            activation=self.activation,
            revived=revived,
        )


class QueryTable(nn.Module):
    """One weight a token, above 0: a query weighs each of its distinct tokens by it.

    The weights are softplus of the parameter, so that no token can fall silent for good. Learned
    tables: Nardini et al., 2025, https://arxiv.org/abs/2505.01452.
    """

    counted: Tensor

    def __init__(self, weights: Tensor, *, dropped: list[int], frozen: bool) -> None:
        """Begin with these weights, (vocabulary,), of at least 0."""
        super().__init__()
        start = weights.clamp_min(1e-4)
        self.raw = nn.Parameter(start + torch.log(-torch.expm1(-start)), requires_grad=not frozen)
        counted = torch.ones_like(weights)
        counted[dropped] = 0.0
        self.register_buffer("counted", counted, persistent=False)

    @property
    def weights(self) -> Tensor:
        """The weight of each token, (vocabulary,)."""
        return nn.functional.softplus(self.raw) * self.counted

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Weigh a padded batch of token ids: float32, (texts, vocabulary)."""
        return present_tokens(ids, mask, len(self.raw)) * self.weights


def present_tokens(ids: Tensor, mask: Tensor, vocabulary: int) -> Tensor:
    """Which tokens a padded batch of texts has: bool, (texts, vocabulary)."""
    present = torch.zeros((len(ids), vocabulary), dtype=torch.bool, device=ids.device)
    present.scatter_(1, ids * mask, True)
    present[:, 0] = ((ids == 0) & mask.bool()).any(dim=1)  # where padding went
    return present


class SpladeTrainee(nn.Module):
    """Both sides of a retrieval model.

    Attributes:
        documents: Weighs documents, and queries too unless they have a model of their own.
        queries: The queries' own model, or None.
        table: The inference-free weights of queries, or None.
        query_terms: The heaviest terms kept of a query; 0 for all.
        table_only: Queries are weighed by the table alone.
    """

    def __init__(
        self,
        documents: TermModel | UnicoilModel,
        *,
        queries: TermModel | None = None,
        table: QueryTable | None = None,
        table_only: bool = False,
        query_terms: int = 0,
    ) -> None:
        """Join the parts."""
        super().__init__()
        self.documents, self.queries, self.table = documents, queries, table
        self.table_only, self.query_terms = table_only, query_terms

    @property
    def size(self) -> int:
        """Number of terms."""
        return self.documents.size

    def forward(
        self, queries: list[TokenGroup], documents: list[TokenGroup]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Weigh a batch.

        Args:
            queries: Groups of token ids with the place of each text in the batch; may be empty.
            documents: Likewise.

        Returns:
            The queries' weights by model, (Q, V), or None; by table, (Q, V), or None; the
            documents', (M, V), or None.
        """
        by_table = by_model = None
        if queries and self.table is not None:
            by_table = self.weigh(queries, self.table)
        if queries and not self.table_only:
            by_model = self.keep_heaviest(self.weigh(queries, self.queries or self.documents))
        return by_model, by_table, self.weigh(documents, self.documents) if documents else None

    def weigh(self, groups: list[TokenGroup], model: nn.Module) -> Tensor:
        """Weigh groups of texts and put them into the order of the batch: (texts, vocabulary)."""
        rows = [model(group["ids"], group["mask"]) for group in groups]
        if len(rows) == 1:
            single: Tensor = rows[0]
            return single[groups[0]["order"].argsort()]
        order = torch.cat([group["order"] for group in groups])
        return torch.cat(rows)[order.argsort()]

    def keep_heaviest(self, weights: Tensor) -> Tensor:
        """Keep a query's heaviest ``query_terms`` terms; ties with the last are all kept."""
        if not self.query_terms or self.query_terms >= weights.shape[1]:
            return weights
        least = weights.detach().topk(self.query_terms, dim=1).values[:, -1:]
        return torch.where(weights >= least, weights, 0.0)
