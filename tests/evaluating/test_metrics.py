"""Metrics equal trec_eval's, whatever run and judgements look like."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys

import pytest
import pytrec_eval

from sparse_ir.errors import ConfigError, InputError
from sparse_ir.evaluating.metrics import score_run

TREC_EVAL = {
    "ndcg": "ndcg",
    "ndcg@3": "ndcg_cut.3",
    "ndcg@10": "ndcg_cut.10",
    "map": "map",
    "map@3": "map_cut.3",
    "mrr": "recip_rank",
    "recall": "set_recall",
    "recall@3": "recall.3",
    "recall@100": "recall.100",
    "precision@3": "P.3",
    "p@20": "P.20",
    "hit_rate@3": "success.3",
}
# The middle two are equal in single precision only, the last two are both infinite there.
SCORES = [-1.5, 0.0, 0.25, 1.0, 1.0 + 1e-9, 7.25, 1e300, 2e300]
# pytrec_eval never returns from some judgements of -2, which trec_eval keeps for its own use.
GRADES = {"binary": [0, 1], "graded": [0, 1, 2, 3], "negative": [-1, 0, 1, 2]}


def random_case(seed: int):
    rng = random.Random(seed)
    doc_ids = [f"d{i}" for i in range(25)] + ["Ä", "é", "文", "😀", "z"]
    query_ids = [f"q{i}" for i in range(8)]
    grades = rng.choice(list(GRADES.values()))
    qrels, run = {}, {}
    for query_id in query_ids[:6]:
        judged = rng.sample(doc_ids, rng.randint(1, 20))
        qrels[query_id] = {d: rng.choice(grades) for d in judged}
    for query_id in query_ids[rng.randint(0, 5) :]:
        found = rng.sample(doc_ids, rng.randint(1, len(doc_ids)))
        run[query_id] = {d: rng.choice([*SCORES, rng.random()]) for d in found}
    return run, qrels, rng.randint(1, 2)


def trec_eval(run, qrels, min_grade):
    evaluator = pytrec_eval.RelevanceEvaluator(
        qrels, set(TREC_EVAL.values()), relevance_level=min_grade
    )
    answered = evaluator.evaluate(run)
    return {
        ours: {
            query_id: answered.get(query_id, {}).get(theirs.replace(".", "_"), 0.0)
            for query_id in qrels
        }
        for ours, theirs in TREC_EVAL.items()
    }


@pytest.mark.parametrize("seed", range(200))
def test_every_metric_equals_trec_eval_on_random_runs(seed):
    run, qrels, min_grade = random_case(seed)
    expected = trec_eval(run, qrels, min_grade)
    evaluation = score_run(run, qrels, list(TREC_EVAL), min_grade=min_grade)
    for metric, values in expected.items():
        assert evaluation.per_query[metric] == pytest.approx(values, abs=1e-6), metric
        mean = sum(values.values()) / len(qrels)
        assert evaluation.mean[metric] == pytest.approx(mean, abs=1e-6), metric


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_mrr_with_a_cutoff_is_the_reciprocal_rank_or_zero_below_it(seed):
    run, qrels, min_grade = random_case(seed)
    unlimited = trec_eval(run, qrels, min_grade)["mrr"]
    expected = {q: v if v and round(1 / v) <= 3 else 0.0 for q, v in unlimited.items()}
    evaluation = score_run(run, qrels, ["mrr@3"], min_grade=min_grade)
    assert evaluation.per_query["mrr@3"] == pytest.approx(expected, abs=1e-6)


def test_values_by_hand():
    run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    qrels = {"q": {"b": 2, "c": 1, "x": 1}}
    mean = score_run(
        run, qrels, ["ndcg@3", "mrr@3", "map@3", "recall@2", "p@2", "hit_rate@1", "judged@2"]
    ).mean
    dcg, ideal = 2 / math.log2(3) + 1 / 2, 2 + 1 / math.log2(3) + 1 / 2
    assert mean["ndcg@3"] == pytest.approx(dcg / ideal)
    assert mean["mrr@3"] == pytest.approx(1 / 2)
    assert mean["map@3"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert mean["recall@2"] == pytest.approx(1 / 3)
    assert mean["p@2"] == pytest.approx(1 / 2)
    assert mean["hit_rate@1"] == 0
    assert mean["judged@2"] == pytest.approx(1 / 2)


def test_equal_scores_rank_by_doc_id_descending_in_whatever_order_they_come():
    qrels = {"q": {"b": 1}}
    for order in ("abc", "cba", "bac"):
        run = {"q": dict.fromkeys(order, 1.0)}
        assert score_run(run, qrels, ["mrr@10"]).mean["mrr@10"] == pytest.approx(1 / 2)


def test_judged_queries_without_an_answer_count_as_zero_and_unjudged_ones_not_at_all():
    run = {"good": {"a": 1.0}, "unjudged": {"a": 1.0}, "empty": {}}
    qrels = {"good": {"a": 1}, "missing": {"a": 1}, "empty": {"a": 1}, "no judgement": {}}
    evaluation = score_run(run, qrels, ["mrr@10", "judged@10"])
    assert evaluation.per_query["mrr@10"] == {"good": 1.0, "missing": 0.0, "empty": 0.0}
    assert evaluation.mean["mrr@10"] == pytest.approx(1 / 3)
    assert evaluation.mean["judged@10"] == pytest.approx(1 / 3)
    assert (evaluation.queries, evaluation.unanswered, evaluation.ignored) == (3, 2, 1)


def test_a_negative_grade_is_judged_and_worth_nothing():
    run = {"q": {"spam": 3.0, "b": 2.0}}
    mean = score_run(run, {"q": {"spam": -2, "b": 1}}, ["ndcg@2", "mrr@2", "p@2", "judged@2"]).mean
    assert mean == pytest.approx(
        {"ndcg@2": 1 / math.log2(3), "mrr@2": 1 / 2, "p@2": 1 / 2, "judged@2": 1.0}
    )


def test_min_grade_holds_for_all_but_ndcg():
    run = {"q": {"a": 3.0, "b": 2.0}}
    qrels = {"q": {"a": 1, "b": 2}}
    mean = score_run(run, qrels, ["ndcg@1", "mrr@2", "recall@1"], min_grade=2).mean
    assert mean == pytest.approx({"ndcg@1": 1 / 2, "mrr@2": 1 / 2, "recall@1": 0.0})


def test_the_suffix_sets_the_lowest_grade_of_one_metric():
    run = {"q": {"a": 3.0, "b": 2.0}}
    qrels = {"q": {"a": 1, "b": 2}}
    mean = score_run(run, qrels, ["mrr@2", "mrr@2-l2", "ndcg@1-l2"]).mean
    assert mean == pytest.approx({"mrr@2": 1.0, "mrr@2-l2": 1 / 2, "ndcg@1-l2": 0.0})


def test_judged_is_the_share_of_the_hits_there_are():
    run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    qrels = {"q": {"a": 0, "c": -1}}
    mean = score_run(run, qrels, ["judged@2", "judged@10"]).mean
    assert mean == pytest.approx({"judged@2": 1 / 2, "judged@10": 2 / 3})


def test_deep_runs_are_scored_in_parts_with_the_same_result(monkeypatch):
    run, qrels, _ = random_case(3)
    whole = score_run(run, qrels, ["map", "ndcg@10"])
    monkeypatch.setattr("sparse_ir.evaluating.ranking._TABLE_CELLS", 1)
    assert score_run(run, qrels, ["map", "ndcg@10"]) == whole


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("ndgc@10", "Did you mean ndcg?"),
        ("bpref", "is not a metric"),
        ("ndcg@", "Did you mean ndcg?"),
        ("ndcg@-1", "is not a metric"),
        ("ndcg@0", "must be at least 1"),
        ("recall@10-l0", "must be at least 1"),
        ("precision", "precision@10"),
        ("judged", "judged@10"),
        ("", "is not a metric"),
    ],
)
def test_a_metric_that_is_none_is_refused_with_advice(metric, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        score_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, [metric])


def test_min_grade_below_one_is_refused():
    with pytest.raises(ConfigError, match="min_grade is 0"):
        score_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, min_grade=0)


def test_qrels_that_match_no_query_are_refused_with_an_example_of_both():
    with pytest.raises(
        InputError, match=r"0 of 1 queries are judged: the run has '7', the qrels 'q7'"
    ):
        score_run({"7": {"a": 1.0}}, {"q7": {"a": 1}})


@pytest.mark.parametrize("run", [{}, {"q": {}}])
def test_an_empty_run_is_refused(run):
    with pytest.raises(InputError, match="run is empty"):
        score_run(run, {"q": {"a": 1}})


def test_empty_qrels_are_refused():
    with pytest.raises(InputError, match="qrels are empty"):
        score_run({"q": {"a": 1.0}}, {})


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(InputError, match="document 'b' for query 'q'"):
        score_run({"q": {"a": 1.0, "b": math.nan}}, {"q": {"a": 1}})


def test_importing_metrics_loads_no_ranx_and_scoring_none_of_its_plots():
    code = (
        "import sys\n"
        "from sparse_ir.evaluating.metrics import score_run\n"
        "assert not {'ranx', 'numba', 'torch'} & set(sys.modules)\n"
        "score_run({'q': {'d': 1.0}}, {'q': {'d': 1}}, ['mrr@10'])\n"
        "assert not {'ranx', 'matplotlib', 'pandas', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_whole_of_ranx_can_be_imported_afterwards(tmp_path):
    code = (
        "from sparse_ir.evaluating.metrics import score_run\n"
        "score_run({'q': {'d': 1.0}}, {'q': {'d': 1}}, ['mrr@10'])\n"
        "import ranx\n"
        "from ranx import metrics\n"
        "assert ranx.Qrels and ranx.Run and metrics.ndcg\n"
    )
    environment = {**os.environ, "IR_DATASETS_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
