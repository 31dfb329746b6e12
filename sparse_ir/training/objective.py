"""One number for a global batch: losses over its scores, regularisers over its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sparse_ir.training.losses import Scores, combine
from sparse_ir.training.model import present_tokens
from sparse_ir.training.regularizers import anti_zero, regularizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from sparse_ir.training.settings import TrainSettings


class Weights(NamedTuple):
    """The weights of a global batch.

    Attributes:
        queries: By the model, (Q, V), or None where a table alone weighs queries.
        table: By the table, (Q, V), or None.
        documents: (M, V).
    """

    queries: Tensor | None
    table: Tensor | None
    documents: Any  # a Tensor; None while chunks hold queries alone


class Lambdas(NamedTuple):
    """Weights of the regularisers at a step."""

    query: float
    document: float


class Objective(NamedTuple):
    """What a step minimises, and what it is made of.

    Attributes:
        loss: A scalar with gradients.
        parts: Name -> value, for the log.
        query_terms: Mean terms of a query by the model (the table's where there is no model).
        document_terms: Mean terms of a document.
    """

    loss: Tensor
    parts: dict[str, float]
    query_terms: float
    document_terms: float


def objective(
    weights: Weights, batch: Mapping[str, Any], lambdas: Lambdas, settings: TrainSettings
) -> Objective:
    """Add up losses and regularisers of a global batch.

    Args:
        weights: Of all devices.
        batch: ``own``, ``allowed``, ``teacher_own``, ``teacher_batch`` as in ``sampling.Batches``.
        lambdas: Weights of the regularisers.
        settings: Losses with their weights and the rest.
    """
    sparsity = settings.sparsity
    regularize = regularizer(sparsity.regularizer, threshold=sparsity.mask_terms)
    main = weights.table if weights.queries is None else weights.queries
    if main is None:
        raise ValueError("a batch needs query weights of one kind at least")
    loss, parts = _ranking(main, weights.documents, batch, settings)
    if weights.queries is not None and weights.table is not None:
        second, named = _ranking(weights.table, weights.documents, batch, settings)
        loss = loss + settings.model.table_weight * second
        parts.update({f"table_{name}": value for name, value in named.items()})
    document = regularize(weights.documents)
    loss = loss + lambdas.document * document
    parts["regularizer_document"] = float(document.detach())
    if weights.queries is not None:  # a table has as many terms as the query has tokens
        query = regularize(weights.queries)
        loss = loss + lambdas.query * query
        parts["regularizer_query"] = float(query.detach())
    if sparsity.anti_zero:
        sides = [w for w in (weights.queries, weights.documents) if w is not None]
        loss = loss + sparsity.anti_zero * torch.stack([anti_zero(w) for w in sides]).sum()
    return Objective(loss, parts, _terms(main), _terms(weights.documents))


def _ranking(
    queries: Tensor, documents: Tensor, batch: Mapping[str, Any], settings: TrainSettings
) -> tuple[Tensor, dict[str, float]]:
    with torch.autocast(documents.device.type, enabled=False):  # no rounding of the sums
        scores = _scores(queries, documents, batch)
    return combine(scores, settings.losses, settings.loss)


def _scores(queries: Tensor, documents: Tensor, batch: Mapping[str, Any]) -> Scores:
    all_scores = queries @ documents.T
    own = batch["own"]
    mine = all_scores.gather(1, own.clamp_min(0)).masked_fill(own < 0, -torch.inf)
    positive = own[:, 0]
    is_positive = torch.zeros(len(documents), dtype=torch.bool, device=documents.device)
    is_positive[positive] = True
    return Scores(
        own=mine,
        batch=all_scores,
        positive=positive,
        allowed=batch["allowed"],
        is_positive_column=is_positive,
        teacher_own=_or_none(batch["teacher_own"]),
        teacher_batch=_or_none(batch["teacher_batch"]),
    )


def _or_none(scores: Tensor) -> Tensor | None:
    return scores if scores.numel() else None


def _terms(weights: Tensor) -> float:
    return float((weights.detach() > 0).sum(dim=1).float().mean())


def anchor(weights: Tensor, groups: list[Any], targets: Tensor) -> tuple[Tensor, int]:
    """Squared distances of each text's own tokens' weights from their targets.

    Args:
        weights: Of this device's texts, (texts, vocabulary).
        groups: Their token ids.
        targets: One a token, (vocabulary,); tokens with target 0 are left out.

    Returns:
        Their sum, and how many they are.
    """
    total = weights.new_zeros(())
    count = 0
    for group in groups:
        own = present_tokens(group["ids"], group["mask"], weights.shape[1]) & (targets > 0)
        rows, columns = own.nonzero(as_tuple=True)
        found = weights[group["order"][rows], columns]
        total = total + (found - targets[columns]).square().sum()
        count += len(found)
    return total, count
