"""Run and judgements of different ids are refused, with examples of both."""

from __future__ import annotations

import pytest

from sparse_ir.errors import InputError
from sparse_ir.evaluating.evaluate import evaluate
from sparse_ir.evaluating.metrics import score_run
from sparse_ir.evaluating.overlap import require_common_queries, require_overlap


def test_queries_of_other_ids_are_refused_with_counts_and_examples():
    run = {f"q{i}": {"d": 1.0} for i in range(5)}
    with pytest.raises(InputError) as caught:
        require_common_queries(run, {"1": {"d": 1}, "2": {"d": 1}})
    assert "0 of 5 queries are judged: the run has 'q0', 'q1', 'q2', …" in str(caught.value)
    assert "the qrels '1', '2' (2 in all)" in str(caught.value)


def test_documents_of_other_ids_are_refused_with_the_pair_most_alike():
    run = {"q1": {"D7": 3.0, "D12": 2.0}, "q2": {"D5": 1.0}, "other": {"D9": 1.0}}
    qrels = {"q1": {"x": 1, "d12": 1}, "q2": {"d5": 1}}
    with pytest.raises(InputError) as caught:
        require_overlap(run, qrels, names=("bm25.trec", "qrels.tsv"))
    message = str(caught.value)
    assert message.startswith("0 of 3 hits are judged")
    assert "for query 'q1' bm25.trec has document 'D12', qrels.tsv 'd12'" in message


def test_a_run_whose_documents_are_judged_for_other_queries_is_bad_but_valid():
    run = {"q1": {"b": 1.0}, "q2": {"a": 1.0}}
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    require_overlap(run, qrels)
    assert evaluate(run, qrels).mean["mrr@10"] == 0.0


def test_evaluate_refuses_what_training_may_score():
    run, qrels = {"q": {"a": 1.0}}, {"q": {"b": 1}}
    assert score_run(run, qrels).mean["mrr@10"] == 0.0  # an encoder that has learnt nothing yet
    with pytest.raises(InputError, match="0 of 1 hits"):
        evaluate(run, qrels)


def test_answered_queries_without_a_judged_hit_are_counted():
    run = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"c": 1.0}, "q4": {"d": 1.0}}
    qrels = {"q1": {"b": 0}, "q2": {"x": 1}, "q3": {"x": 1}}
    found = score_run(run, qrels, ["mrr@10"])
    assert (found.queries, found.unanswered, found.unjudged, found.ignored) == (3, 1, 1, 1)
    assert score_run(run, qrels, ["mrr@1"]).unjudged == 2  # b is second
