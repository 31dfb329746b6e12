"""What counting alone tells of a vocabulary: how frequent a token is, and what it occurs with.

A masked LM that begins with this has the slowest part of its training behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOKENS = 20_000_000  # counted at most; vectors hardly change with more
_WINDOW = 5
_SMOOTHING = 0.75  # power of the frequencies of contexts, lest rare ones stand out too much
_PART = 1 << 20  # tokens counted at once
_EXTRA, _ROUNDS = 16, 3  # of the randomised decomposition


def log_frequencies(blocks: NDArray[Any], vocabulary: int) -> NDArray[Any]:
    """Natural logarithm of each token's frequency, less its mean over the vocabulary.

    Args:
        blocks: Token ids, (blocks, tokens).
        vocabulary: Number of tokens.

    Returns:
        Float32, (vocabulary,); a token that never occurs counts as half an occurrence.
    """
    counts = np.full(vocabulary, 0.5)
    for part in _parts(blocks):
        counts += np.bincount(part.ravel(), minlength=vocabulary)
    logs = np.log(counts)
    return np.asarray(logs - logs.mean(), np.float32)


def word_vectors(blocks: NDArray[Any], vocabulary: int, width: int, *, seed: int) -> NDArray[Any]:
    """Vectors of tokens that are alike where the tokens stand among the same others.

    The singular vectors of the positive pointwise mutual information of tokens and contexts, each
    times the root of its singular value (Levy et al., 2015, https://aclanthology.org/Q15-1016),
    found by a randomised decomposition (Halko et al., 2011, https://arxiv.org/abs/0909.4061).

    Args:
        blocks: Token ids, (blocks, tokens).
        vocabulary: Number of tokens.
        width: Of a vector.
        seed: For the randomised decomposition.

    Returns:
        Float32, (vocabulary, width), of mean length 1; tokens that never occur are 0.
    """
    kept = max(1, _TOKENS // blocks.shape[1])
    information = _information(_neighbours(blocks[:kept], vocabulary))
    rng = np.random.default_rng([seed, 3])
    basis = rng.standard_normal((vocabulary, min(width + _EXTRA, vocabulary)), np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(information @ (information.T @ basis))
    inner, values, _ = np.linalg.svd((information.T @ basis).T, full_matrices=False)
    found = (basis @ inner)[:, :width] * np.sqrt(values[:width])
    vectors = np.zeros((vocabulary, width), np.float32)
    known = np.diff(information.indptr) > 0
    vectors[known, : found.shape[1]] = found[known]
    length = np.linalg.norm(vectors[known], axis=1)
    return vectors / length.mean() if known.any() else vectors


def _neighbours(blocks: NDArray[Any], vocabulary: int) -> sparse.csr_array:
    """How often two tokens lie near each other, by 1 / distance; symmetric."""
    counts = sparse.csr_array((vocabulary, vocabulary), dtype=np.float64)
    for part in _parts(blocks):
        inner = part[:, 1:-1].astype(np.int64)  # without [CLS] and the last [SEP]
        for distance in range(1, min(_WINDOW, inner.shape[1] - 1) + 1):
            pair = (inner[:, :-distance].ravel(), inner[:, distance:].ravel())
            weight = np.full(len(pair[0]), 1 / distance)
            counts += sparse.coo_array((weight, pair), shape=counts.shape).tocsr()
    return sparse.csr_array(counts + counts.T)


def _information(counts: sparse.csr_array) -> sparse.csr_array:
    """Positive pointwise mutual information of tokens (rows) and contexts (columns)."""
    found = counts.tocoo()
    rows, columns = found.row, found.col
    of_token = np.asarray(counts.sum(axis=1)).ravel()
    of_context = of_token**_SMOOTHING
    values = np.log(found.data * of_context.sum() / (of_token[rows] * of_context[columns]))
    kept = values > 0
    return sparse.csr_array(
        (values[kept].astype(np.float32), (rows[kept], columns[kept])), shape=counts.shape
    )


def _parts(blocks: NDArray[Any]) -> list[NDArray[Any]]:
    size = max(1, _PART // blocks.shape[1])
    return [np.asarray(blocks[at : at + size]) for at in range(0, len(blocks), size)]
