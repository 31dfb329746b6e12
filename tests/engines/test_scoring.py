"""One order of additions, in float32, so that engines agree to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sparse_ir.engines.scoring import dot, score_all

LARGE = float(2**24)  # the first integer beyond which float32 cannot count by one


def test_nothing_shared_scores_nothing():
    assert dot({1: 2.0}, [0, 2], [1.0, 1.0]) == 0.0


def test_products_and_sums_are_float32():
    assert dot({0: 0.1}, [0], [0.1]) == float(np.float32(0.1) * np.float32(0.1)) != 0.1 * 0.1


def test_terms_are_added_from_left_to_right():
    # each 1 is lost beside 2^24; added together first they would not be
    assert dot({0: 1.0, 1: 1.0, 2: 1.0}, [0, 1, 2], [LARGE, 1.0, 1.0]) == LARGE
    assert dot({0: 1.0, 1: 1.0, 2: 1.0}, [0, 1, 2], [1.0, 1.0, LARGE]) == LARGE + 2


def test_what_is_too_large_is_infinite_without_a_warning():
    assert dot({0: 3e38}, [0], [10.0]) == np.inf
    documents = sparse.csr_array(np.array([[10.0]], np.float32))
    assert score_all([(0, 3e38)], documents)[1].tolist() == [np.inf]


def test_columns_without_weights_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        dot({0: 1.0}, [0, 1], [1.0])


def test_all_documents_score_as_one_does():
    rows = np.array(
        [[LARGE, 0.1, 0.0, 4.0], [1.0, 0.2, 0.0, 0.0], [1.0, 0.0, 5.0, 0.0]], np.float32
    )
    query = [(0, 1.0), (1, 0.7)]
    found, scores = score_all(query, sparse.csr_array(rows))
    assert found.tolist() == [0, 1, 3]
    assert scores.dtype == np.float32
    for document, score in zip(found, scores, strict=True):
        columns = np.flatnonzero(rows[:, document])
        assert score == dot(dict(query), columns.tolist(), rows[columns, document].tolist())
