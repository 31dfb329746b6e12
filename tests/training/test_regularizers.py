"""Regularisers and the metric FLOPS, by hand and against sentence-transformers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from sparse_ir.errors import ConfigError
from sparse_ir.training.regularizers import (
    anti_zero,
    expected_flops,
    flops,
    l1,
    masked_flops,
    mean_terms,
    regularizer,
    warm_up,
)
from sparse_ir.training.settings import REGULARIZERS

WEIGHTS = torch.tensor([[1.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)


def test_flops_squares_the_mean_weight_of_each_term():
    assert flops(WEIGHTS).item() == 2.0**2 + 0 + 1.0**2 + 0  # means 2, 0, 1, 0


def test_flops_of_the_global_batch_is_less_than_the_mean_over_its_parts():
    parts = (flops(WEIGHTS[:1]) + flops(WEIGHTS[1:])) / 2
    assert parts.item() == (1 + 4 + 9) / 2
    assert flops(WEIGHTS) < parts


def test_l1_is_the_mean_of_the_sums():
    assert l1(WEIGHTS).item() == (3.0 + 3.0) / 2


@pytest.mark.parametrize(("threshold", "expected"), [(0, 5.0), (1, 0.5**2 + 1.0**2), (2, 0.0)])
def test_masked_flops_leaves_texts_with_few_terms_out(threshold, expected):
    # The texts have 2 terms and 1; one left out still counts in n.
    assert masked_flops(WEIGHTS, threshold).item() == expected


def test_masked_flops_does_not_press_on_texts_left_out():
    weights = WEIGHTS.clone().requires_grad_()
    masked_flops(weights, 1).backward()
    # d/dw_0j = 2 mean_j / n, with means 0.5, 0, 1, 0.
    assert weights.grad.tolist() == [[0.5, 0.0, 1.0, 0.0], [0.0] * 4]


def test_anti_zero_is_1_for_empty_vectors_and_next_to_nothing_for_full_ones():
    assert anti_zero(torch.zeros(3, 5)).item() == 1.0
    assert anti_zero(WEIGHTS).item() == pytest.approx(math.exp(-3))
    assert anti_zero(torch.full((2, 100), 1.0)).item() < 1e-40


def test_anti_zero_lifts_nearly_empty_texts_with_a_bounded_force():
    weights = torch.tensor([[0.01, 0.0], [5.0, 5.0]], requires_grad=True)
    anti_zero(weights).backward()
    assert weights.grad[0].tolist() == pytest.approx([-0.5 * math.exp(-0.01)] * 2)
    assert weights.grad[1].abs().max() < 1e-4


@pytest.mark.parametrize("name", [*REGULARIZERS, "anti_zero"])
def test_gradients_are_right(name):
    torch.manual_seed(0)
    weights = (torch.rand(3, 6, dtype=torch.float64) + 0.1).requires_grad_()
    function = anti_zero if name == "anti_zero" else regularizer(name, threshold=2)
    assert torch.autograd.gradcheck(function, (weights,))


def test_regularizers_are_found_by_name():
    assert regularizer("flops")(WEIGHTS) == flops(WEIGHTS)
    assert regularizer("l1")(WEIGHTS) == l1(WEIGHTS)
    assert regularizer("masked_flops", threshold=1)(WEIGHTS) == masked_flops(WEIGHTS, 1)
    with pytest.raises(ConfigError, match="Did you mean masked_flops"):
        regularizer("mask_flops")


@pytest.mark.parametrize("threshold", [None, 3])
def test_flops_equals_sentence_transformers(threshold):
    from sentence_transformers.sparse_encoder.losses import FlopsLoss

    torch.manual_seed(1)
    weights = torch.relu(torch.randn(6, 8))
    expected = FlopsLoss(None, threshold=threshold).compute_loss_from_embeddings(weights).item()
    ours = flops(weights) if threshold is None else masked_flops(weights, threshold)
    assert ours.item() == pytest.approx(expected, rel=1e-6)


QUERIES = torch.tensor([[1.0, 0.0, 9.0], [0.5, 0.0, 0.0]])  # shares 1, 0, 1/2
DOCUMENTS = torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0], [7.0, 2.0, 0.0], [0.0, 1.0, 0.0]])


def test_expected_flops_counts_products_whatever_the_weights():
    # Shares of documents: 1/2, 1, 1/4. 1 · 1/2 + 0 · 1 + 1/2 · 1/4.
    assert expected_flops(QUERIES, DOCUMENTS) == pytest.approx(0.625)


def test_expected_flops_is_the_mean_number_of_terms_in_common():
    common = [[int(((q > 0) & (d > 0)).sum()) for d in DOCUMENTS] for q in QUERIES]
    assert expected_flops(QUERIES, DOCUMENTS) == pytest.approx(np.mean(common))


def test_expected_flops_of_csr_equals_that_of_dense():
    queries, documents = (sparse.csr_array(w.numpy()) for w in (QUERIES, DOCUMENTS))
    queries.data[1] = 0.0  # a stored zero is no term
    dense = torch.from_numpy(queries.toarray())
    assert expected_flops(queries, documents) == expected_flops(dense, DOCUMENTS)
    assert expected_flops(queries, DOCUMENTS) == expected_flops(dense, documents)


def test_nothing_costs_nothing():
    assert expected_flops(torch.zeros(0, 3), DOCUMENTS) == 0.0
    assert mean_terms(torch.zeros(0, 3)) == 0.0


def test_mean_terms_counts_positive_weights_per_text():
    assert mean_terms(DOCUMENTS) == 7 / 4
    assert mean_terms(sparse.csr_array(DOCUMENTS.numpy())) == 7 / 4


def test_warm_up_rises_from_0_to_1_and_stays():
    assert [warm_up(s, 4, "linear") for s in (0, 1, 2, 4, 9)] == [0.0, 0.25, 0.5, 1.0, 1.0]
    assert [warm_up(s, 4, "quadratic") for s in (0, 1, 2, 4, 9)] == [0.0, 0.0625, 0.25, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0
    with pytest.raises(ConfigError, match="linear or quadratic"):
        warm_up(0, 4, "cubic")
