from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.models.term_statistics import count_matrix, count_terms, statistics_from_json

CORPUS = ["b a b", "b c", ""]

corpora = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8).map(" ".join), max_size=8)


def test_documents_lengths_and_document_frequencies_are_counted():
    statistics = count_terms(CORPUS, str.split)
    assert statistics.documents == 3
    assert statistics.total_length == 5
    assert statistics.average_length == pytest.approx(5 / 3)
    assert statistics.terms == ("a", "b", "c")
    assert statistics.document_frequencies.tolist() == [1, 2, 1]


def test_the_corpus_may_be_a_stream():
    statistics = count_terms((text for text in CORPUS), str.split)
    assert statistics.documents == 3


def test_an_empty_corpus_has_no_terms_and_the_average_length_zero():
    statistics = count_terms([], str.split)
    assert (statistics.documents, statistics.terms, statistics.average_length) == (0, (), 0.0)


def test_idf_is_that_of_lucene():
    assert count_terms(CORPUS, str.split).idf().tolist() == pytest.approx(
        [math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)]
    )


def test_a_term_of_every_document_still_has_weight():
    assert (count_terms(["a"] * 1000, str.split).idf() > 0).all()


@given(corpora)
def test_the_order_of_documents_does_not_matter(texts):
    one, other = count_terms(texts, str.split), count_terms(reversed(texts), str.split)
    assert one.to_json() == other.to_json()


@given(corpora)
def test_statistics_survive_json(texts):
    before = count_terms(texts, str.split)
    after = statistics_from_json(json.loads(json.dumps(before.to_json())))
    assert after.to_json() == before.to_json()
    assert after.document_frequencies.dtype == np.int64


@pytest.mark.parametrize(
    "change",
    [
        {"document_frequencies": [1, 2]},
        {"document_frequencies": [1, 4, 1]},
        {"document_frequencies": [0, 2, 1]},
        {"terms": ["a", "b", "b"]},
        {"total_length": 2},
    ],
)
def test_statistics_that_contradict_themselves_are_refused(change):
    with pytest.raises(ValueError):  # noqa: PT011 - the caller names the file
        statistics_from_json({**count_terms(CORPUS, str.split).to_json(), **change})


def test_a_term_that_is_no_text_is_refused():
    with pytest.raises(TypeError):
        statistics_from_json({**count_terms(CORPUS, str.split).to_json(), "terms": ["a", 1, "c"]})


def test_the_matrix_counts_known_terms_and_the_length_counts_all():
    counts, lengths = count_matrix(["b x b", "", "c x x"], str.split, {"a": 0, "b": 1, "c": 2})
    assert counts.toarray().tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert lengths.tolist() == [3, 0, 3]


@pytest.mark.parametrize(("texts", "columns"), [([], {"a": 0}), (["a"], {}), ([], {})])
def test_the_matrix_may_be_empty(texts, columns):
    counts, lengths = count_matrix(texts, str.split, columns)
    assert counts.shape == (len(texts), len(columns))
    assert lengths.shape == (len(texts),)
    assert counts.nnz == 0


@given(corpora)
def test_the_matrix_agrees_with_the_statistics(texts):
    statistics = count_terms(texts, str.split)
    columns = {term: column for column, term in enumerate(statistics.terms)}
    counts, lengths = count_matrix(texts, str.split, columns)
    assert counts.sum() == lengths.sum() == statistics.total_length
    assert (counts > 0).sum(axis=0).tolist() == statistics.document_frequencies.tolist()
