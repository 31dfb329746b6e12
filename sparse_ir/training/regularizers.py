"""What keeps vectors sparse while a model learns, and the measure of what sparsity saves.

Each regulariser takes the weights of all texts of the GLOBAL batch, (n, vocabulary), >= 0. FLOPS
is not a mean over texts, so on parts of a batch it is another, larger number.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor


def flops(weights: Tensor) -> Tensor:
    """Σ_j (mean_i w_ij)²: presses most on terms that many texts share.

    A smooth stand-in for the products a search computes, which are counted by ``expected_flops``
    (Paria et al., 2020, https://arxiv.org/abs/2004.05665).
    """
    return weights.mean(dim=0).square().sum()


def l1(weights: Tensor) -> Tensor:
    """mean_i Σ_j w_ij: presses on every weight alike.

    Zamani et al., 2018, https://doi.org/10.1145/3269206.3271800.
    """
    return weights.sum(dim=1).mean()


def masked_flops(weights: Tensor, threshold: int) -> Tensor:
    """FLOPS that leaves texts alone once they have at most ``threshold`` terms.

    Their weights count as 0 and they still count in n (ℓ0-masked FLOPS, Geng et al., 2025,
    https://arxiv.org/abs/2504.14839): short vectors are not pressed further for the sake of long
    ones.
    """
    longer = (weights > 0).sum(dim=1, keepdim=True) > threshold
    return flops(weights.masked_fill(~longer, 0.0))


def anti_zero(weights: Tensor) -> Tensor:
    """mean_i exp(-Σ_j w_ij): 1 when every vector is empty, next to 0 when none nearly is.

    Against the collapse to all-zero vectors of FLOPS-regularised training. It pulls with a force of
    at most 1/n and only on texts that are nearly empty; a text already empty has no positive
    weight left to pull on, which is why the sparsity controller also sounds an alarm. Our own
    bounded form of the idea.
    """
    return weights.sum(dim=1).neg().exp().mean()


def regularizer(name: str, *, threshold: int = 0) -> Callable[[Tensor], Tensor]:
    """Look up "flops", "l1" or "masked_flops".

    Args:
        name: Which one.
        threshold: Terms up to which masked_flops leaves a text alone.

    Raises:
        ConfigError: there is no such regulariser; the nearest name is proposed.
    """
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "flops": flops,
        "l1": l1,
        "masked_flops": partial(masked_flops, threshold=threshold),
    }
    if name not in known:
        hint = nearest(name, known) or f" Use {', '.join(known)}."
        raise ConfigError(f"{name} is not a regularizer.{hint}")
    return known[name]


def expected_flops(
    queries: Tensor | sparse.csr_array, documents: Tensor | sparse.csr_array
) -> float:
    """Σ_j p_j(q) p_j(d): products that scoring one query with one document takes on average.

    The metric, not the regulariser ``flops``: p_j is the share of texts that hold term j, whatever
    its weight (Paria et al., 2020, https://arxiv.org/abs/2004.05665). 0 without texts.

    Args:
        queries: Weights of any number of queries, (n, vocabulary), dense or CSR.
        documents: Weights of any number of documents over the same vocabulary.
    """
    return float(_shares(queries) @ _shares(documents))


def mean_terms(weights: Tensor | sparse.csr_array) -> float:
    """Mean number of terms per text. 0 without texts."""
    return float(_shares(weights).sum())


def warm_up(step: int, steps: int, kind: str = "quadratic") -> float:
    """How much of a regulariser's weight counts at a step: from 0 at step 0 to 1 at ``steps``.

    A weight that is there in full from the start empties the vectors before the model has learnt
    anything (Formal et al., 2021, https://arxiv.org/abs/2107.05720, which rises quadratically).

    Args:
        step: The step, counted from 0.
        steps: Steps until the full weight; 0 for no warm-up.
        kind: "linear" or "quadratic".

    Raises:
        ConfigError: another kind.
    """
    if kind not in {"linear", "quadratic"}:
        raise ConfigError(f"warm-up is {kind!r}. Use linear or quadratic.")
    share = 1.0 if step >= steps else step / steps
    return share if kind == "linear" else share * share


def _shares(weights: Tensor | sparse.csr_array) -> NDArray[np.float64]:
    """The share of texts that hold each term, (vocabulary,)."""
    n, size = weights.shape
    rows: Any = weights  # untyped, for both kinds
    if hasattr(rows, "indptr"):
        counts = np.bincount(rows.indices[rows.data > 0], minlength=size)
    else:
        counts = (rows > 0).sum(dim=0).cpu().numpy()
    shares: NDArray[np.float64] = counts / max(1, n)
    return shares
