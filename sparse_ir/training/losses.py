"""What a ranking model is trained on: scores in, one number out.

Every loss is a pure function of ``Scores``. Rows are queries; a mean is taken over the rows (or
pairs) of what it is given, so for a result that does not depend on the number of devices it must
be given the global batch. Padding (-inf) and unknown teacher scores (NaN) are masked before any
arithmetic: they change neither values nor gradients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from sparse_ir.training.settings import LossSettings


class Scores(NamedTuple):
    """The scores of one global batch of Q queries and M documents.

    Attributes:
        own: Scores of each query with its own documents, the positive first, (Q, n); -inf where a
            query has fewer than n.
        batch: Scores of each query with every document of the batch, (Q, M).
        positive: The column of ``batch`` that is the query's positive, (Q,), int64.
        allowed: False where a document must not count as a negative of the query (another known
            positive, the same text), (Q, M). What it says of the positive itself does not matter.
        is_positive_column: Columns that are some query's positive, (M,), bool.
        teacher_own: A teacher's scores, laid out as ``own``, NaN where unknown; None: no teacher.
        teacher_batch: A teacher's scores, laid out as ``batch``, NaN where unknown; None: none.
    """

    own: Tensor
    batch: Tensor
    positive: Tensor
    allowed: Tensor
    is_positive_column: Tensor
    teacher_own: Tensor | None = None
    teacher_batch: Tensor | None = None


def in_batch(scores: Scores, settings: LossSettings) -> Tensor:
    """Pick the positive among the positives of all queries: softmax cross entropy, mean over Q.

    Henderson et al., 2017, https://arxiv.org/abs/1705.00652; for retrieval Karpukhin et al., 2020,
    https://arxiv.org/abs/2004.04906.
    """
    candidates = scores.allowed & scores.is_positive_column
    return _cross_entropy(scores, candidates, settings)


def in_batch_hard(scores: Scores, settings: LossSettings) -> Tensor:
    """Pick the positive among all documents of the batch, everybody's hard negatives included.

    As ``in_batch``, with every column a candidate (Karpukhin et al., 2020,
    https://arxiv.org/abs/2004.04906; SPLADE v2, https://arxiv.org/abs/2109.10086).
    """
    return _cross_entropy(scores, scores.allowed, settings)


def pairwise(scores: Scores, settings: LossSettings) -> Tensor:
    """Prefer the positive to each negative apart: -log softmax over the pair, mean over pairs.

    RankNet with a known order, log(1 + exp(negative - positive)): Burges et al., 2005,
    https://doi.org/10.1145/1102351.1102363. A query without negatives has no pair.
    """
    margins, real = _margins(scores.own)
    return _mean(functional.softplus(-margins / settings.temperature), real)


def margin_mse(scores: Scores, settings: LossSettings) -> Tensor:
    """Match the teacher's margins: mean over pairs of the squared difference.

    The margin of a pair is the positive's score minus the negative's (Hofstätter et al., 2020,
    https://arxiv.org/abs/2010.02666). A query without negatives has no pair; one with a document
    that the teacher did not score is left out.

    Raises:
        ConfigError: there are no teacher scores.
    """
    teacher = _teacher(scores.teacher_own, "margin_mse", _OWN_ADVICE)
    margins, real = _margins(scores.own)
    known = _known(teacher, scores.own > -torch.inf)
    wanted = torch.where(known, teacher, 0.0)
    wanted = (wanted[:, :1] - wanted[:, 1:]) * settings.margin_scale
    return _mean((margins - wanted).square(), real & known[:, 1:])


def kl(scores: Scores, settings: LossSettings) -> Tensor:
    """Match the teacher's distribution over a query's own documents: KL divergence, mean over Q.

    t² Σ_c p_c (log p_c - log q_c) with p = softmax(teacher / teacher_temperature), q =
    softmax(own / t) and t = student_temperature (Lin et al., 2020,
    https://arxiv.org/abs/2010.11386; SPLADE-v3, https://arxiv.org/abs/2403.06789). It is
    sentence-transformers' ``SparseDistillKLDivLoss`` with the same temperatures; its one
    ``temperature`` sets both and is 2 there unless given, where ours are 1. Unlike there, rows may
    have any number of documents: those with fewer than two, or with one that the teacher did not
    score, are left out of the mean.

    Raises:
        ConfigError: there are no teacher scores.
    """
    teacher = _teacher(scores.teacher_own, "kl", _OWN_ADVICE)
    return _divergence(scores.own, teacher, scores.own > -torch.inf, settings)


def in_batch_kl(scores: Scores, settings: LossSettings) -> Tensor:
    """Match a teacher's distribution over the batch: as ``kl``, over allowed columns.

    Candidates of a query are its positive and every column that may count as its negative, so a
    cheap teacher of pairs (a dense model) teaches with Q x M scores a step (in-batch distillation
    of Lin et al., 2021, https://aclanthology.org/2021.repl4nlp-1.17/).

    Raises:
        ConfigError: there are no teacher scores.
    """
    teacher = _teacher(scores.teacher_batch, "in_batch_kl", _BATCH_ADVICE)
    return _divergence(scores.batch, teacher, _with_positive(scores, scores.allowed), settings)


LOSSES: dict[str, Callable[[Scores, LossSettings], Tensor]] = {
    "in_batch": in_batch,
    "in_batch_hard": in_batch_hard,
    "pairwise": pairwise,
    "margin_mse": margin_mse,
    "kl": kl,
    "in_batch_kl": in_batch_kl,
}
NEED_OWN_TEACHER = frozenset({"margin_mse", "kl"})
"""Losses that need ``Scores.teacher_own``."""


def check_weights(weights: Mapping[str, float]) -> None:
    """Check a combination of losses before anything is trained.

    Raises:
        ConfigError: no loss, an unknown one (the nearest name is proposed), or a weight that is not
            a number above 0.
    """
    if not weights:
        raise ConfigError(f"No loss is given. Give at least one of: {', '.join(LOSSES)}.")
    for name, weight in weights.items():
        if name not in LOSSES:
            hint = nearest(name, LOSSES) or f" Use {', '.join(LOSSES)}."
            raise ConfigError(f"{name} is not a loss.{hint}")
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(f"The weight of {name} is {weight}. Give a number above 0.")


def combine(
    scores: Scores, weights: Mapping[str, float], settings: LossSettings
) -> tuple[Tensor, dict[str, float]]:
    """Add up losses by weight.

    Args:
        scores: The scores of the global batch.
        weights: Loss -> weight above 0.
        settings: Temperatures and scales.

    Returns:
        The sum to minimise, and each loss by name as it is before its weight.

    Raises:
        ConfigError: as ``check_weights``, or a loss needs teacher scores that are not there.
    """
    check_weights(weights)
    values = {name: LOSSES[name](scores, settings) for name in weights}
    stacked = torch.stack(list(values.values()))
    total = (stacked * stacked.new_tensor(list(weights.values()))).sum()
    return total, dict(zip(values, stacked.detach().tolist(), strict=True))


_OWN_ADVICE = (
    "Give examples with a score for each document (sparse-ir distill makes them), or use in_batch, "
    "in_batch_hard or pairwise."
)
_BATCH_ADVICE = (
    "Name a teacher model that scores the batch while training, or use in_batch_hard, or kl with "
    "scored examples."
)


def _teacher(teacher: Tensor | None, loss: str, advice: str) -> Tensor:
    if teacher is None:
        raise ConfigError(f"The loss {loss} needs a teacher's scores, and there are none. {advice}")
    return teacher.detach()


def _with_positive(scores: Scores, candidates: Tensor) -> Tensor:
    return candidates.scatter(1, scores.positive.unsqueeze(1), value=True)


def _cross_entropy(scores: Scores, candidates: Tensor, settings: LossSettings) -> Tensor:
    logits = scores.batch / settings.temperature
    logits = logits.masked_fill(~_with_positive(scores, candidates), -torch.inf)
    return functional.cross_entropy(logits, scores.positive)


def _margins(own: Tensor) -> tuple[Tensor, Tensor]:
    """Margins of all pairs, (Q, n - 1), and which of them are real."""
    real = own > -torch.inf
    filled = torch.where(real, own, 0.0)
    return filled[:, :1] - filled[:, 1:], real[:, 1:] & real[:, :1]


def _known(teacher: Tensor, real: Tensor) -> Tensor:
    """Of the real documents, those in rows that the teacher scored whole."""
    whole = (teacher.isfinite() | ~real).all(dim=1, keepdim=True)
    return real & whole


def _divergence(own: Tensor, teacher: Tensor, real: Tensor, settings: LossSettings) -> Tensor:
    known = _known(teacher, real)
    rows = known.sum(dim=1) > 1
    log_p = _log_softmax(teacher, known, settings.teacher_temperature)
    log_q = _log_softmax(own, known, settings.student_temperature)
    each = torch.where(known, log_p.exp() * (log_p - log_q), 0.0).sum(dim=1)
    return _mean(each, rows) * settings.student_temperature**2


def _log_softmax(scores: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Log probabilities over the real entries of each row; finite, and without use, elsewhere."""
    filled = torch.where(real, scores, 0.0) / temperature
    # A row without a real entry becomes an even distribution, which its caller leaves out.
    lowest = torch.finfo(filled.dtype).min
    log_probabilities = filled.masked_fill(~real, lowest).log_softmax(dim=1)
    return torch.where(real, log_probabilities, 0.0)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of what is counted; 0, still part of the graph, if nothing is."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)
